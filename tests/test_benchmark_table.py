"""The table of `python -m benchmarks`."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import input_pipeline
from benchmarks.__main__ import advice
from benchmarks.comparison import Comparison, compared, draw, line, write_json
from benchmarks.growth import exponent
from benchmarks.processes import NotRunError, in_turn


def step(name: str, value: float) -> Comparison:
    return Comparison("step", name, value, "images/s", "PyTorch", 1.0, 0.9, 1.1)


def test_a_ratio_is_formed_in_every_round():
    found = compared("step", "a", "images/s", 10, [1.0, 2.0, 4.0], "b", [2.0, 1.0, 6.0])
    assert (found.value, found.ratio, found.low, found.high) == (5.0, 1.5, 0.5, 2.0)
    assert "1.50 times b" in line(found)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"float32": 100.0, "mixed_bfloat16": 150.0}, "set precision to mixed_bfloat16 (1.5 times as fast)"),
        ({"float32": 100.0, "float32, XLA": 200.0}, "set jit_compile to true (2.0 times as fast)"),
        ({"float32": 100.0, "mixed_bfloat16": 50.0}, "only smaller images or another network"),
    ],
)
def test_the_advice_names_the_parameter_to_change(rates, said):
    assert said in advice([step(f"basic, 64x64x64, {way}", rate) for way, rate in rates.items()])


def test_the_advice_names_a_slow_input():
    slow = Comparison("input", input_pipeline.USUAL, 50.0, "images/s", "decoding", 0.5, 0.4, 0.6)
    assert "waits for its input" in advice([slow, step("basic, 64x64x64, float32", 100.0)])


def test_all_comparisons_are_written_and_drawn(tmp_path):
    rows = [step("basic, 64x64x64, float32", 100.0), step("basic, 64x64x64, mixed_bfloat16", 50.0)]
    write_json(rows, "nothing", tmp_path / "b.json")
    draw(rows, tmp_path / "b.png")
    written = json.loads((tmp_path / "b.json").read_text())
    assert [row["value"] for row in written["comparisons"]] == [100.0, 50.0]
    assert written["machine"]
    assert np.ptp(np.asarray(Image.open(tmp_path / "b.png").convert("L"))) > 100


def test_the_exponent_is_that_of_the_largest_sizes():
    assert exponent([1, 10, 100, 1000], [50.0, 100.0, 10_000.0, 1_000_000.0]) == pytest.approx(2.0)


def _sum_of(n: int):
    return lambda: sum(range(n))


def _broken():
    raise ValueError("no such thing")


def test_contenders_take_turns_and_failures_are_named():
    seconds = in_turn({"few": (_sum_of, (10,)), "many": (_sum_of, (3_000_000,))}, rounds=2, turn=0.01)
    assert [len(times) for times in seconds.values()] == [2, 2]
    assert min(map(min, seconds.values())) > 0
    with pytest.raises(NotRunError, match="no such thing"):
        in_turn({"broken": (_broken, ())}, rounds=1)
