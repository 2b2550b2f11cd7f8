"""Memory of an evaluation at the size of Market-1501, by the peak of a process that does nothing else."""

import subprocess
import sys

import pytest
from helpers.commands import ROOT, environment

# Peak in MB above what the process has with the embeddings made.
CODE = """
import sys
from multiprocessing import SimpleQueue

from benchmarks.evaluation import measure

answers = SimpleQueue()
measure("this project", None, 128, int(sys.argv[1]), 1, answers)
print(answers.get()[1])
"""


def peak(code: str, *words: object) -> float:
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment())
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize(
    ("distractors", "most"),
    # With the embeddings (280 MB) and Python itself below 2 GB.
    [(0, 400), pytest.param(500_000, 1500, marks=pytest.mark.slow)],
)
def test_market_1501(distractors: int, most: float) -> None:
    assert peak(CODE, distractors) < most
