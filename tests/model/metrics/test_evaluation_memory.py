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
RERANKING = """
import resource
from benchmarks.reranking import blocks, embeddings

query, gallery = embeddings(3368, 15913)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blocks(query, gallery)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""


def peak(code: str, *words: object) -> float:
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment())
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_market_1501() -> None:
    assert peak(CODE, 0) < 400


@pytest.mark.slow
def test_half_a_million_distractors() -> None:
    assert peak(CODE, 500_000) < 1500  # with the embeddings (280 MB) and Python itself below 2 GB


@pytest.mark.slow
def test_reranking() -> None:
    assert peak(RERANKING) < 2400
