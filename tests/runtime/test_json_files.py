"""JSON and JSON-lines files: values of another shape, and names that are no UTF-8."""

import os

import pytest

from runtime.errors import UserError
from runtime.json_files import append_json_line, read_json, read_json_lines, read_json_object, write_json


def test_names_that_are_no_utf8_come_back(tmp_path):
    value = {"step": 1, "dataset": os.fsdecode(b"bad\xff"), "name": "ünï"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    append_json_line(tmp_path / "a.jsonl", value)
    assert read_json_lines(tmp_path / "a.jsonl") == [value]


@pytest.mark.parametrize(
    "line", ["5", "[]", "{}", "null", '{"step": "a"}', '{"step": true}', "[" * 100_000, "{", "\xff"]
)
def test_a_line_that_is_no_object_with_a_step(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n' + line + "\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"metrics.jsonl: line 2 is .*remove it"):
        read_json_lines(file)


def test_another_value_than_an_object_is_named(tmp_path):
    for text, kind in (("[]", "a list"), ("5", "a number"), ('"a"', "a string"), ("null", "null"), ("true", "a truth")):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match=f"a.json: it holds {kind}"):
            read_json_object(tmp_path / "a.json")
