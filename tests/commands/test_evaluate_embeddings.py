"""evaluate.py on files of embeddings, as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process
from helpers.embedding_files import NAMES, EmbeddingFiles, average_precisions
from scipy.spatial.distance import cdist

from evaluate import main
from model.metrics.excluders import find_excluder


@pytest.mark.parametrize("form", list(NAMES))
def test_the_command(form: str, tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path, form)
    done = command("evaluate.py", *files.words("--excluder", form, "--metric", "cosine", "--batch_size", 7))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads((tmp_path / "out.json").read_text())
    expected = average_precisions(files, "cosine")
    assert result["aps"] == pytest.approx(expected)
    used = [ap for ap in expected if ap is not None]
    assert result["mAP"] == pytest.approx(np.mean(used))
    assert len(result["CMC"]) == 90
    assert result["CMC"][0] == result["metrics"]["cmc@1"]
    assert result["CMC"][9] == result["metrics"]["cmc@10"]
    assert result["CMC"][-1] == 1
    assert result["counts"]["queries_used"] == len(used)
    assert result["definitions"]["metric"] == "cosine"
    assert result["definitions"]["excluder"] == find_excluder(form).MEANING
    assert result["definitions"]["mAP"].startswith("map: ")
    assert f"{100 * result['mAP']:.2f}" in done.stdout


def test_needs_no_tensorflow(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    code = "import sys, evaluate; evaluate.main(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    done = process("-c", code, *files.words("--excluder", "market1501"))
    assert done.returncode == 0, done.stderr


def test_market_ap_and_ties(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    plain, market = files.run(), files.run("--use_market_ap")
    assert market["mAP"] == plain["metrics"]["map_market"] == pytest.approx(np.nanmean(np.array(market["aps"], float)))
    assert plain["mAP"] == plain["metrics"]["map"]
    assert market["definitions"]["mAP"].startswith("map_market: ")
    same = np.zeros_like(files.gallery[2])
    files.write("gallery", same, None, None)
    worst, best = files.run("--ties", "pessimistic"), files.run("--ties", "optimistic")
    assert worst["metrics"]["cmc@1"] == 0
    assert best["metrics"]["cmc@1"] == best["mAP"] == 1


def test_all_against_all(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    result = files.run_all_against_all()
    ids, _, emb = files.gallery
    distances = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(distances, np.inf)
    assert result["CMC"][0] == pytest.approx((ids[distances.argmin(1)] == ids).mean())
    assert result["definitions"]["excluder"].startswith("diagonal")
    assert files.run_all_against_all("--rerank", "4,2,0.3")["metrics"] != result["metrics"]


def test_the_metric_of_the_training_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    for name in ("query", "gallery"):
        files.write(name, getattr(files, name)[2], None, None, params=json.dumps({"metric": "cityblock"}))
    assert files.run()["definitions"]["metric"] == "cityblock"
    assert files.run()["aps"] == pytest.approx(average_precisions(files, "cityblock"))
    for option in (("--rerank", "4,2,0.3"), ("--index", "faiss")):
        line = files.refused(capsys, *files.words("--excluder", "market1501", *option))
        assert f"{option[0]} is for Euclidean or cosine distances" in line
    files.write("query", files.query[2], None, None)
    assert files.run()["definitions"]["metric"] == "euclidean"


def test_skipped_queries(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    texts, _, emb = files.query
    paths = [line.split(",")[1] for line in (tmp_path / "query.csv").read_text().split()]
    paths[0] = "query/0777_c1s1_000000_00.jpg"
    texts = ["0777", *texts[1:]]
    (tmp_path / "query.csv").write_text("".join(f"{t},{p}\n" for t, p in zip(texts, paths, strict=True)))
    files.write("query", emb, paths, texts)
    result = files.run()
    assert result["aps"][0] is None
    assert result["counts"]["queries_skipped_identity_absent"] == 1
    assert "1 whose identity is not in the gallery" in capsys.readouterr().out
    (tmp_path / "query.csv").write_text(f"0777,{paths[0]}\n")
    files.write("query", emb[:1], paths[:1], texts[:1])
    line = files.refused(capsys, *files.words("--excluder", "market1501"))
    assert "none of the 1 queries" in line


def test_figures_are_printed_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = EmbeddingFiles(tmp_path).words("--excluder", "market1501")
    del words[words.index("--filename") : words.index("--filename") + 2]
    assert main(words) == 0
    assert "mAP is map" in capsys.readouterr().out
