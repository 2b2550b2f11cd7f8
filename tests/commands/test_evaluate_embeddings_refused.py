"""evaluate.py on files of embeddings: what it refuses, what it warns of, and that it spoils no file."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.embedding_files import EmbeddingFiles


def test_what_could_not_be_checked_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    files.write("gallery", files.gallery[2], None, None, checkpoint="ckpt-2")
    files.write("query", files.query[2], None, None, checkpoint="ckpt-1")
    result = files.run()
    told = capsys.readouterr().err
    assert told.count("does not tell the paths of its images") == 2
    assert "differ in their checkpoint: ckpt-1 and ckpt-2" in told
    assert not result["inputs"]["gallery"]["paths_verified"]
    assert result["inputs"]["query"]["checkpoint"] == "ckpt-1"


def test_bad_input_is_answered_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    words, market = files.words(), ("--excluder", "market1501")
    texts, _, emb = files.gallery
    paths = [line.split(",")[1] for line in (tmp_path / "gallery.csv").read_text().split()]
    cases = [
        ([], "give --model_dir RUN"),
        (words, "--excluder is missing"),
        ([*words, "--excluder", "market"], "argument --excluder: invalid choice: 'market' (choose from"),
        ([*words, "--excluder", "duke"], "no camera in the name of"),
        ([*words[:2], *market], "--query_embeddings is missing"),
        ([*words[4:], *market], "--query_dataset is missing"),
        ([*words[:6], *market], "--gallery_embeddings is missing"),
        ([*words, *market, "--metric", "l2"], "argument --metric: invalid choice: 'l2' (choose from"),
        ([*words, *market, "--batch_size", "0"], "--batch_size: 0: it must be a whole number of at least 1"),
        ([*words, *market, "--memory_gb", "0"], "--memory_gb: 0: it must be a number greater than 0"),
        ([*words, *market, "--fpr", "1"], "--fpr: 1: it must be a number between 0 and 1"),
        ([*words, *market, "--rerank", "20,6"], "--rerank: 20,6: it must be K1,K2,LAMBDA"),
        ([*words, *market, "--rerank", "20,6,7"], "--rerank: 7: it must be a number between 0 and 1"),
        ([*words, *market, "--query_expansion", "x"], "--query_expansion: x: it must be a whole number"),
        ([*words, *market, "--rerank", "9,2,0.3", "--metric", "cityblock"], "Euclidean or cosine"),
        ([*words, *market, "--index", "faiss", "--rerank", "9,2,0.3"], "CMC and Recall@K only"),
        ([*words, *market, "--once"], "--once is for a run"),
        ([*words, *market, "--model_dir", "runs/x"], "give one of them"),
        ([*words, *market, "--filename", tmp_path / "no" / "o.json"], "does not exist"),
        ([*words, *market, "--filename", tmp_path], "is a folder"),
        ([*words, *market, "--pool_sequences", "mean"], "no image has a sequence"),
        ([*words, "--excluder", "diagonal", "--multi_query", "mean"], "an --excluder that goes by cameras"),
        ([*words, *market, "--device", "cpu"], "--device is for a run"),
    ]
    for given, message in cases:
        assert message in files.refused(capsys, *given)

    def gallery(message: str, emb: np.ndarray, paths: list[str] | None, texts: list[str] | None) -> None:
        files.write("gallery", emb, paths, texts)
        line = files.refused(capsys, *words, *market)
        assert message in line
        assert str(tmp_path / "gallery.h5") in line

    gallery("gallery.csv", emb[:-1], paths[:-1], texts[:-1])
    gallery(paths[0], emb, paths[::-1], texts[::-1])
    broken = emb.copy()
    broken[4, 2] = np.nan
    gallery(paths[4], broken, paths, texts)
    files.write("gallery", emb[:, :5], paths, texts)
    assert "6 and 5 dimensions" in files.refused(capsys, *words, *market)
    data = (tmp_path / "query.h5").read_bytes()
    for content in (b"", b"identity,path\n", data[: len(data) // 2]):
        (tmp_path / "query.h5").write_bytes(content)
        assert "query.h5" in files.refused(capsys, *words, *market)
    assert not (tmp_path / "out.json").exists()
    (tmp_path / "query.csv").write_text("")
    assert "no images in it" in files.refused(capsys, *words, *market)


@pytest.mark.parametrize("name", ["query.h5", "gallery.h5", "query.csv", "gallery.csv"])
def test_inputs_are_never_replaced(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    before = (tmp_path / name).read_bytes()
    line = files.refused(capsys, *files.words("--excluder", "market1501", "--filename", tmp_path / "." / name))
    assert "is one of the inputs" in line
    assert (tmp_path / name).read_bytes() == before


def test_junk_cannot_be_reranked_all_against_all(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = EmbeddingFiles(tmp_path).words()[4:8]  # the gallery's
    words = [word.replace("--gallery", "--query") for word in words]
    given = ("--excluder", "market1501", "--rerank", "4,2,0.3")
    assert "the list has junk" in EmbeddingFiles(tmp_path).refused(capsys, *words, *given)


def test_what_flatters_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path, columns=True)
    files.run("--excluder", "diagonal")
    assert "matches in the query's own camera count" in capsys.readouterr().err
    for name, more in (("query", {"aggregator": "mean"}), ("gallery", {})):
        params = json.dumps({"metric": "cosine" if more else "euclidean"})
        files.write(name, getattr(files, name)[2], None, None, checkpoint="ckpt-1", params=params, **more)
    files.run()
    told = capsys.readouterr().err
    assert "differ in their aggregator: mean and none" in told
    assert "metric euclidean: the files do not tell one and the same" in told


def test_an_old_result_stays_when_nothing_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path)
    before = files.run()
    (tmp_path / "gallery.h5").unlink()
    assert "gallery.h5" in files.refused(capsys, *files.words("--excluder", "market1501"))
    assert json.loads((tmp_path / "out.json").read_text()) == before
