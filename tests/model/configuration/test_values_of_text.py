"""Values given as text, and the upper limits of parameters."""

import json

import pytest

from model.configuration.loading import check_params, parse_overrides, parse_value
from model.configuration.params import Params
from model.searching.space import parse_space
from runtime.errors import UserError


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("dataset", "2024", "2024"),
        ("dataset", '"2024"', "2024"),
        ("dataset", "true", "true"),
        ("dataset", "1e5", "1e5"),
        ("dataset", "null", "null"),
        ("dataset", "[1]", "[1]"),
        ("dataset", "9" * 5000, "9" * 5000),
        ("dataset", "[" * 100_000, "[" * 100_000),
        ("warm_start_from", "123", "123"),
        ("warm_start_from", "null", None),
        ("margin", "1", 1),
        ("margin", "soft", "soft"),
        ("eval_sets", '["1"]', ["1"]),
        ("triplet_strategy", '[[0, "batch_all"]]', [[0, "batch_all"]]),
        ("batch_p", "4", 4),
        ("unknown", "4", 4),
    ],
)
def test_text_is_json_unless_only_a_string_fits(key, text, value):
    assert parse_value(key, text) == value
    assert parse_overrides([f"{key}={text}"]) == {key: value}


def test_a_search_reads_values_as_the_scripts_do():
    assert parse_space(["dataset=2023,2024"])[0].values == ["2023", "2024"]
    assert parse_space(["batch_p=2,3"])[0].values == [2, 3]


NUMBERS = [
    key
    for key, schema in Params.model_json_schema()["properties"].items()
    if {part.get("type") for part in schema.get("anyOf", [schema])} & {"integer", "number"} and "enum" not in schema
]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [10**31, 1e308, 10**400], ids=["large", "float", "huge"])
def test_every_number_has_an_upper_limit(key, value):
    with pytest.raises(UserError, match=f"{key}.*(<=? ?[0-9]|at most)") as refused:
        check_params({key: value}, "params.json")
    assert json.dumps(key).strip('"') in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"batch_p": 10**6, "batch_k": 10**6},
        {"image_size": 8192, "batch_p": 1000},
        {"memory_size": 10**7, "embedding_size": 65536},
    ],
)
def test_no_tensor_is_larger_than_any_memory(values):
    with pytest.raises(UserError, match="GB, more than 64; lower"):
        check_params(values, "params.json")
