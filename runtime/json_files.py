"""JSON and JSON-lines files: reading with clear errors, atomic writing."""

import json
import os
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.files import replace_file, sync, writing
from runtime.input_files import read_bytes, read_text

_JSON_BYTES = 2**28  # of a file


def json_text(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that can be written as UTF-8: bytes of a path that are not UTF-8 are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON."""
    with replace_file(path) as file:
        file.write(json_text(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file. A missing or malformed file, or a repeated key, is a `UserError`."""
    path = Path(path)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise UserError(f"{path}: {twice[0]!r} is given twice; keep one of them")
        return dict(pairs)

    try:
        return json.loads(read_text(path, _JSON_BYTES), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:  # the latter for thousands of brackets
        raise UserError(f"{path}: malformed JSON: {error}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; another value is a `UserError`, as in `read_json`."""
    values = read_json(path)
    if not isinstance(values, dict):
        kind = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}.get(
            type(values), "a number"
        )
        raise UserError(f"{path}: it holds {kind}; it must hold one JSON object, {{...}}")
    return values


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, each with a `step`. An incomplete last line of a killed writer is skipped.

    Raises:
        UserError: when another line is no such object.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = read_bytes(path).split(b"\n")
    found = []
    for number, text in enumerate(lines[:-1], start=1):  # after the last newline is nothing, or an incomplete line
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is damaged ({error}); correct or remove it") from error
        if not isinstance(line, dict) or type(line.get("step")) is not int:
            raise UserError(f"{path}: line {number} is not a result of a step; correct or remove it")
        found.append(line)
    return found


def drop_json_lines_after(path: Path, step: int) -> int:
    """Removes the lines of steps after `step`, which training will repeat. Returns how many it removed."""
    lines = read_json_lines(path)
    kept = [line for line in lines if line["step"] <= step]
    if len(kept) < len(lines):
        with replace_file(path) as file:
            file.writelines(json_text(line) + "\n" for line in kept)
    return len(lines) - len(kept)


def append_json_line(path: Path, value: Any) -> None:
    """Appends an object as one line and flushes it to disk. An incomplete last line is removed first."""
    line = json_text(value).encode() + b"\n"
    with writing(path), open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)
        sync(file)
