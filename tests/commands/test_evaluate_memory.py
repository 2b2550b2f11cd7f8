"""evaluate.py --memory_gb: the results of files in memory, within the bound; too small a bound is refused."""

import json
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.embedding_files import EmbeddingFiles
from helpers.peak_memory import run_measured

OPTIONS = [
    (),
    ("--metric", "cosine", "--single_gallery_shot"),
    ("--metric", "cityblock", "--query_expansion", "3,2"),
    ("--excluder", "diagonal", "--ties", "stable", "--use_market_ap"),
    ("--pool_sequences", "mean", "--multi_query", "max"),
    ("--rerank", "5,2,0.3"),
    ("--clusters",),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_results_are_those_in_memory(options: tuple[str, ...], tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path, columns=True)
    assert files.run(*options, "--memory_gb", "0.2") == files.run(*options)


def test_index(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    files = EmbeddingFiles(tmp_path)
    assert files.run("--index", "faiss", "--memory_gb", "0.2") == files.run("--index", "faiss")


def test_all_against_all_in_half_precision_and_chunks(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    with h5py.File(tmp_path / "gallery.h5", "r+") as file:
        emb = file["emb"][:]
        del file["emb"]
        file.create_dataset("emb", data=emb.astype(np.float16), chunks=(7, 2), compression="gzip")
    assert files.run_all_against_all("--memory_gb", "0.2") == files.run_all_against_all()


def test_too_small_a_bound_is_refused_with_one_that_works(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    for options in ((), ("--rerank", "5,2,0.3"), ("--clusters",)):
        words = files.words("--excluder", "market1501", *options, "--memory_gb")
        line = files.refused(capsys, *words, "0.001")
        least = re.search(r"--memory_gb 0.001 is too small: give at least ([0-9.]+)", line)
        assert least
        files.run(*options, "--memory_gb", least[1])
        below = f"{float(least[1]) - 0.01:.2f}"
        assert "is too small" in files.refused(capsys, *words, below)


def test_invalid_files_are_refused_as_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    texts, _, emb = files.gallery
    paths, broken = files.paths("gallery"), emb.copy()
    broken[80, 2] = np.nan
    for given in ((broken, paths, texts), (emb, paths[::-1], texts[::-1]), (emb[:-1], paths[:-1], texts[:-1])):
        files.write("gallery", *given)
        words = files.words("--excluder", "market1501")
        assert files.refused(capsys, *words, "--memory_gb", "0.2") == files.refused(capsys, *words)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("options", [(), ("--query_expansion", "3"), ("--metric", "cityblock"), ("--index", "faiss")])
def test_a_gallery_larger_than_the_bound(options: tuple[str, ...], tmp_path: Path) -> None:
    """410 MB in 0.2 GB, in addition to what a small evaluation takes; the same results as in memory."""
    if "faiss" in options:
        pytest.importorskip("faiss")
    random, dimensions = np.random.default_rng(0), 1024
    centres = 0.6 * random.standard_normal((3000, dimensions), np.float32)
    peaks, results = [], []
    for folder, counts in (("small", (20, 100)), ("large", (400, 100_000))):
        (tmp_path / folder).mkdir()
        words: list[object] = ["--excluder", "market1501", "--filename", tmp_path / folder / "out.json", *options]
        for name, count in zip(("query", "gallery"), counts, strict=True):
            identities = random.integers(0, 20 if folder == "small" else 3000, count)
            table, file = (tmp_path / folder / f"{name}.{ending}" for ending in ("csv", "h5"))
            rows = [f"{i},{name}/{n}.jpg,{n % 6}\n" for n, i in enumerate(identities)]
            table.write_text("identity,path,camera\n" + "".join(rows))
            with h5py.File(file, "w") as h5:
                emb = h5.create_dataset("emb", (count, dimensions), np.float32)
                for start in range(0, count, 4096):
                    here = centres[identities[start : start + 4096]]
                    emb[start : start + 4096] = here + random.standard_normal(here.shape, np.float32)
            words += [f"--{name}_dataset", table, f"--{name}_embeddings", file]
        for bound in ((), ("--memory_gb", "0.2")):
            peaks.append(run_measured("evaluate", *words, *bound)[1])
            results.append(json.loads((tmp_path / folder / "out.json").read_text()))
    assert peaks[2] > peaks[0] + 400
    assert peaks[3] < peaks[0] + 200
    if "faiss" not in options:  # other cells
        assert results[3] == results[2]
