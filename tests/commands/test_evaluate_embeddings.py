"""evaluate.py on files of embeddings: metrics, options, errors and warnings; input files are never overwritten."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process
from helpers.embedding_files import NAMES, EmbeddingFiles, average_precisions
from helpers.retrieval_oracle import evaluate_distances, left_out, manifest
from scipy.spatial.distance import cdist

from dataset.formats.manifest import read_manifest
from evaluate import main
from model.metrics.clusters import cluster_metrics
from model.metrics.excluders import find_excluder
from model.metrics.search.rerank import Reranker
from model.metrics.single_shot import single_gallery_shot

MARKET = ("--excluder", "market1501")


@pytest.fixture
def files(tmp_path: Path) -> EmbeddingFiles:
    return EmbeddingFiles(tmp_path)


@pytest.mark.parametrize("form", list(NAMES))
def test_the_command(form: str, tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path, form)
    done = command("evaluate.py", *files.words("--excluder", form, "--metric", "cosine", "--batch_size", 7))
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tmp_path / "out.json").read_text())
    expected = average_precisions(files, "cosine")
    assert result["aps"] == pytest.approx(expected)
    used = [ap for ap in expected if ap is not None]
    assert result["mAP"] == pytest.approx(np.mean(used))
    assert (len(result["CMC"]), result["CMC"][-1]) == (90, 1)
    assert [result["CMC"][k - 1] for k in (1, 10)] == [result["metrics"][f"cmc@{k}"] for k in (1, 10)]
    assert result["counts"]["queries_used"] == len(used)
    assert result["definitions"]["metric"] == "cosine"
    assert result["definitions"]["excluder"] == find_excluder(form).MEANING
    assert result["definitions"]["mAP"].startswith("map: ")
    assert f"{100 * result['mAP']:.2f}" in done.stdout


def test_needs_no_tensorflow(files: EmbeddingFiles) -> None:
    code = "import sys, evaluate; evaluate.main(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    done = process("-c", code, *files.words(*MARKET))
    assert done.returncode == 0, done.stderr


def test_market_ap_and_ties(files: EmbeddingFiles) -> None:
    plain, market = files.run(), files.run("--use_market_ap")
    assert market["mAP"] == plain["metrics"]["map_market"] == pytest.approx(np.nanmean(np.array(market["aps"], float)))
    assert plain["mAP"] == plain["metrics"]["map"]
    assert market["definitions"]["mAP"].startswith("map_market: ")
    same = np.zeros_like(files.gallery[2])
    files.write("gallery", same, None, None)
    worst, best = files.run("--ties", "pessimistic"), files.run("--ties", "optimistic")
    assert worst["metrics"]["cmc@1"] == 0
    assert best["metrics"]["cmc@1"] == best["mAP"] == 1


def test_all_against_all(files: EmbeddingFiles) -> None:
    result = files.run_all_against_all()
    ids, _, emb = files.gallery
    distances = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(distances, np.inf)
    assert result["CMC"][0] == pytest.approx((ids[distances.argmin(1)] == ids).mean())
    assert result["definitions"]["excluder"].startswith("diagonal")
    assert files.run_all_against_all("--rerank", "4,2,0.3")["metrics"] != result["metrics"]


def test_the_metric_of_the_training_is_the_default(files: EmbeddingFiles, capsys: pytest.CaptureFixture) -> None:
    for name in ("query", "gallery"):
        files.write(name, getattr(files, name)[2], None, None, params=json.dumps({"metric": "cityblock"}))
    assert files.run()["definitions"]["metric"] == "cityblock"
    assert files.run()["aps"] == pytest.approx(average_precisions(files, "cityblock"))
    for option in (("--rerank", "4,2,0.3"), ("--index", "faiss")):
        line = files.refused(capsys, *files.words(*MARKET, *option))
        assert f"{option[0]} needs a Euclidean or cosine distance" in line
    files.write("query", files.query[2], None, None)
    assert files.run()["definitions"]["metric"] == "euclidean"


def test_skipped_queries(files: EmbeddingFiles, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    texts, paths, emb = files.query[0].astype(object), files.paths("query"), files.query[2]
    texts[0] = "0777"
    files.relabel("query", texts, paths)
    result = files.run()
    assert result["aps"][0] is None
    assert result["counts"]["queries_skipped_identity_absent"] == 1
    assert "1 with an identity that is not in the gallery" in capsys.readouterr().out
    files.relabel("query", texts[:1], paths[:1])
    files.write("query", emb[:1], None, None)
    assert "none of the 1 queries" in files.refused(capsys, *files.words(*MARKET))


def test_metrics_are_printed_without_a_file(files: EmbeddingFiles, capsys: pytest.CaptureFixture) -> None:
    words = files.words()
    del words[words.index("--filename") : words.index("--filename") + 2]
    assert main([*words, *MARKET]) == 0
    assert "mAP is map" in capsys.readouterr().out


def test_options_change_what_they_say(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path, columns=True)
    plain = files.run()
    reranked = files.run("--rerank", "5,2,0.3", "--memory_gb", "0.1")
    assert reranked["mAP"] != plain["mAP"]
    assert "k1 5, k2 2, lambda 0.3" in reranked["definitions"]["rerank"]
    assert files.run("--rerank", "5,2,1")["aps"] == pytest.approx(plain["aps"])  # lambda 1 gives the original distances
    expanded = files.run("--query_expansion", "3,2")
    assert expanded["mAP"] != plain["mAP"]
    assert "3 nearest" in expanded["definitions"]["query_expansion"]
    assert files.run("--pool_sequences", "mean")["counts"]["gallery"] < 90
    many = files.run("--multi_query", "max")["counts"]
    groups = set(zip(*files.query[:2], strict=True))  # identities and cameras
    assert (many["queries"], many["gallery"]) == (len(groups), 90)
    assert EmbeddingFiles(tmp_path).run("--multi_query", "max")["counts"] == many  # cameras from the file names
    assert set(files.run("--fpr", "0.05")["metrics"]) >= {"tpr@fpr=0.05", "threshold@fpr=0.05"}


def test_index(files: EmbeddingFiles, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("faiss")
    plain, index = files.run(), files.run("--index", "faiss")
    assert "mAP" not in index
    assert index["metrics"]["index_recall"] == 1  # a small gallery is searched exactly
    for name in ("cmc@1", "cmc@10", "recall@2", "recall@8"):
        assert index["metrics"][name] == plain["metrics"][name]
    assert "the index found 100.00% of the images that exact search finds" in capsys.readouterr().err


def test_reranking_with_skipped_queries(files: EmbeddingFiles, tmp_path: Path) -> None:
    """Queries without a match are neighbours too; junk is not."""
    texts, query_emb, gallery_emb = files.query[0].astype(object), files.query[2], files.gallery[2]
    texts[::2] = "0555"  # an identity that the gallery does not have
    files.relabel("query", texts, files.paths("query"))
    query, gallery = (read_manifest(tmp_path / f"{name}.csv", Path()) for name in ("query", "gallery"))
    known = gallery.identities != "-1"
    distances = np.full((len(query), len(gallery)), 9.0)
    distances[:, known] = Reranker(query_emb, gallery_emb[known], k1=5, k2=2, weight=0.3).distances(slice(None))
    expected = evaluate_distances(distances, query, gallery, "market1501")
    result = files.run("--rerank", "5,2,0.3", "--batch_size", "3")
    assert result["metrics"] == pytest.approx(expected.metrics)
    assert result["counts"]["queries_used"] == 10


def test_single_gallery_shot_excludes_the_same_images(files: EmbeddingFiles) -> None:
    (*query, emb), (*gallery, gallery_emb) = files.query, files.gallery
    exact = cdist(emb.astype(float), gallery_emb.astype(float))
    out = left_out(manifest(*query), manifest(*gallery), "market1501")
    identities = gallery[0].astype(int), query[0].astype(int)
    expected = np.nanmean(single_gallery_shot(exact, *identities, out), axis=0)
    metrics = files.run("--single_gallery_shot")["metrics"]
    assert [metrics[f"cmc_single_shot@{k}"] for k in (1, 5, 10, 20)] == pytest.approx(expected.tolist())


def test_clusters_are_of_the_queries_identities(files: EmbeddingFiles) -> None:
    ids, _, emb = files.gallery
    known = np.isin(ids, files.query[0])
    expected = cluster_metrics(emb[known], ids[known])
    metrics = files.run("--clusters")["metrics"]
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_query_is_not_expanded_by_itself(files: EmbeddingFiles, tmp_path: Path) -> None:
    emb, labels = files.gallery[2], read_manifest(tmp_path / "gallery.csv", Path())
    nearest = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(nearest, np.inf)
    expanded = np.array([(emb[i] + emb[row.argsort()[:2]].sum(0)) / 3 for i, row in enumerate(nearest)])
    expected = evaluate_distances(cdist(expanded, emb.astype(float)), labels, labels, "diagonal")
    result = files.run_all_against_all("--query_expansion", "2")
    assert result["mAP"] == pytest.approx(expected.metrics["map"])


def test_a_note_says_what_could_not_be_checked(files: EmbeddingFiles, capsys: pytest.CaptureFixture) -> None:
    files.write("gallery", files.gallery[2], None, None, checkpoint="ckpt-2")
    files.write("query", files.query[2], None, None, checkpoint="ckpt-1")
    result = files.run()
    told = capsys.readouterr().err
    assert told.count("has no paths: its order is assumed") == 2
    assert "differ in their checkpoint: ckpt-1 and ckpt-2" in told
    assert not result["inputs"]["gallery"]["paths_verified"]
    assert result["inputs"]["query"]["checkpoint"] == "ckpt-1"


def test_the_error_for_invalid_input_is_one_line(
    files: EmbeddingFiles, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before, words = files.run(), files.words()
    texts, _, emb = files.gallery
    paths = files.paths("gallery")
    all_against_all = [word.replace("--gallery", "--query") for word in words[4:8]]
    cases = [
        ([], "give --model_dir RUN"),
        (words, "--excluder is missing"),
        ([*words, "--excluder", "market"], "argument --excluder: invalid choice: 'market' (choose from"),
        ([*words, "--excluder", "duke"], "finds no camera in the name of"),
        ([*words[:2], *MARKET], "--query_embeddings is missing"),
        ([*words[4:], *MARKET], "--query_dataset is missing"),
        ([*words[:6], *MARKET], "--gallery_embeddings is missing"),
        ([*words, *MARKET, "--metric", "l2"], "argument --metric: invalid choice: 'l2' (choose from"),
        ([*words, *MARKET, "--batch_size", "0"], "--batch_size: 0: it must be a whole number of at least 1"),
        ([*words, *MARKET, "--memory_gb", "0"], "--memory_gb: 0: it must be a number greater than 0"),
        ([*words, *MARKET, "--fpr", "1"], "--fpr: 1: it must be a number between 0 and 1"),
        ([*words, *MARKET, "--rerank", "20,6"], "--rerank: 20,6: it must be K1,K2,LAMBDA"),
        ([*words, *MARKET, "--rerank", "20,6,7"], "--rerank: 7: it must be a number between 0 and 1"),
        ([*words, *MARKET, "--query_expansion", "x"], "--query_expansion: x: it must be a whole number"),
        ([*words, *MARKET, "--index", "faiss", "--rerank", "9,2,0.3"], "CMC and Recall@K only"),
        ([*words, *MARKET, "--once"], "--once is for a run"),
        ([*words, *MARKET, "--model_dir", "runs/x"], "give only one of them"),
        ([*words, *MARKET, "--filename", tmp_path / "no" / "o.json"], "does not exist"),
        ([*words, *MARKET, "--filename", tmp_path], "is a folder"),
        ([*words, *MARKET, "--pool_sequences", "mean"], "no image has a sequence"),
        ([*words, "--excluder", "diagonal", "--multi_query", "mean"], "an --excluder by cameras"),
        ([*words, *MARKET, "--device", "cpu"], "--device is for a run"),
        ([*all_against_all, *MARKET, "--rerank", "4,2,0.3"], "the list has junk"),
    ]
    for given, message in cases:
        assert message in files.refused(capsys, *given)

    def gallery(message: str, emb: np.ndarray, paths: list[str] | None, texts: list[str] | None) -> None:
        files.write("gallery", emb, paths, texts)
        line = files.refused(capsys, *words, *MARKET)
        assert message in line
        assert str(tmp_path / "gallery.h5") in line

    gallery("gallery.csv", emb[:-1], paths[:-1], texts[:-1])
    gallery(paths[0], emb, paths[::-1], texts[::-1])
    broken = emb.copy()
    broken[4, 2] = np.nan
    gallery(paths[4], broken, paths, texts)
    files.write("gallery", emb[:, :5], paths, texts)
    assert "6 and 5 dimensions" in files.refused(capsys, *words, *MARKET)
    data = (tmp_path / "query.h5").read_bytes()
    for content in (b"", b"identity,path\n", data[: len(data) // 2]):
        (tmp_path / "query.h5").write_bytes(content)
        assert "query.h5" in files.refused(capsys, *words, *MARKET)
    (tmp_path / "query.h5").unlink()
    assert "query.h5" in files.refused(capsys, *words, *MARKET)
    (tmp_path / "query.csv").write_text("")
    assert "no images in it" in files.refused(capsys, *words, *MARKET)
    assert json.loads((tmp_path / "out.json").read_text()) == before  # the old result is kept


@pytest.mark.parametrize("name", ["query.h5", "gallery.h5", "query.csv", "gallery.csv"])
def test_inputs_are_never_replaced(
    name: str, files: EmbeddingFiles, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = (tmp_path / name).read_bytes()
    line = files.refused(capsys, *files.words(*MARKET, "--filename", tmp_path / "." / name))
    assert "is one of the inputs" in line
    assert (tmp_path / name).read_bytes() == before


def test_a_note_warns_of_flattering_options(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = EmbeddingFiles(tmp_path, columns=True)
    files.run("--excluder", "diagonal")
    assert "matches in the query's own camera count" in capsys.readouterr().err
    for name, more in (("query", {"aggregator": "mean"}), ("gallery", {})):
        params = json.dumps({"metric": "cosine" if more else "euclidean"})
        files.write(name, getattr(files, name)[2], None, None, checkpoint="ckpt-1", params=params, **more)
    files.run()
    told = capsys.readouterr().err
    assert "differ in their aggregator: mean and none" in told
    assert "metric euclidean: the files do not agree" in told
