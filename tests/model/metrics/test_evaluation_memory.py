"""Memory of evaluation and re-ranking at the size of Market-1501; published re-ranking at a tenth of it."""

import numpy as np
import pytest
from helpers.commands import process

from benchmarks.reranking import in_a_process


@pytest.mark.parametrize(
    ("call", "most"),
    # MB in addition to the embeddings (280 MB); with these and Python it stays below 2 GB.
    [
        ("evaluation.in_process('this project', None, 128, 0, 1)", 400),
        pytest.param("evaluation.in_process('this project', None, 128, 500_000, 1)", 1500, marks=pytest.mark.slow),
        pytest.param("reranking.in_a_process('blocks', 3368, 15913)", 1, marks=pytest.mark.slow),  # GB
    ],
)
def test_memory(call: str, most: float) -> None:
    """Measured in a process started by a small one, because a new process inherits the peak of its parent."""
    done = process("-c", f"from benchmarks import evaluation, reranking; print({call}[1])")
    assert done.returncode == 0, done.stderr
    assert 0.05 * most < float(done.stdout) < most


@pytest.mark.slow
def test_the_published_algorithm_at_a_tenth() -> None:
    found, expected = (in_a_process(how, 400, 1600)[2] for how in ("blocks", "whole_matrices"))
    # In float32, the published algorithm orders a few near ties differently.
    assert np.mean(np.abs(found - expected) > 1e-5) < 0.005
