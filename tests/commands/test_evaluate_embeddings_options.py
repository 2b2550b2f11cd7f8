"""evaluate.py on files of embeddings: each option computes what it says."""

from pathlib import Path

import numpy as np
import pytest
from helpers.embedding_files import EmbeddingFiles
from helpers.retrieval_oracle import evaluate_distances
from scipy.spatial.distance import cdist

from dataset.formats.manifest import read_manifest
from model.metrics.clusters import cluster_metrics
from model.metrics.search.rerank import Reranker
from model.metrics.single_shot import single_gallery_shot


def test_options_change_what_they_say(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path, columns=True)
    plain = files.run()
    reranked = files.run("--rerank", "5,2,0.3", "--memory_gb", "0.1")
    assert reranked["mAP"] != plain["mAP"]
    assert "k1 5, k2 2, lambda 0.3" in reranked["definitions"]["rerank"]
    assert files.run("--rerank", "5,2,1")["aps"] == pytest.approx(plain["aps"])  # lambda 1: the original distances
    expanded = files.run("--query_expansion", "3,2")
    assert expanded["mAP"] != plain["mAP"]
    assert "3 nearest" in expanded["definitions"]["query_expansion"]
    assert files.run("--pool_sequences", "mean")["counts"]["gallery"] < 90
    many = files.run("--multi_query", "max")["counts"]
    groups = set(zip(*files.query[:2], strict=True))  # identities and cameras
    assert (many["queries"], many["gallery"]) == (len(groups), 90)
    assert EmbeddingFiles(tmp_path).run("--multi_query", "max")["counts"] == many  # cameras from the names
    assert set(files.run("--fpr", "0.05")["metrics"]) >= {"tpr@fpr=0.05", "threshold@fpr=0.05"}


def test_index(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("faiss")
    files = EmbeddingFiles(tmp_path)
    plain, index = files.run(), files.run("--index", "faiss")
    assert "mAP" not in index
    assert index["metrics"]["index_recall"] == 1  # so small a gallery is searched exactly
    for name in ("cmc@1", "cmc@10", "recall@2", "recall@8"):
        assert index["metrics"][name] == plain["metrics"][name]
    assert "the index found 100.00% of what an exact search finds" in capsys.readouterr().err


def test_reranking_with_skipped_queries(tmp_path: Path) -> None:
    """All queries are neighbours of each other, also those that have no match; junk is nobody's neighbour."""
    files = EmbeddingFiles(tmp_path)
    texts, query_emb, gallery_emb = files.query[0].astype(object), files.query[2], files.gallery[2]
    texts[::2] = "0555"  # somebody whom the gallery does not know
    paths = [line.split(",")[1] for line in (tmp_path / "query.csv").read_text().split()]
    (tmp_path / "query.csv").write_text("".join(f"{t},{p}\n" for t, p in zip(texts, paths, strict=True)))
    files.write("query", query_emb, paths, texts)
    query, gallery = (read_manifest(tmp_path / f"{name}.csv", Path()) for name in ("query", "gallery"))
    known = gallery.identities != "-1"
    distances = np.full((len(query), len(gallery)), 9.0)
    distances[:, known] = Reranker(query_emb, gallery_emb[known], k1=5, k2=2, weight=0.3).distances(slice(None))
    expected = evaluate_distances(distances, query, gallery, "market1501")
    result = files.run("--rerank", "5,2,0.3", "--batch_size", "3")
    assert result["metrics"] == pytest.approx(expected.metrics)
    assert result["counts"]["queries_used"] == 10


def test_single_gallery_shot_leaves_out_what_the_excluder_does(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    (ids, cameras, emb), (gallery_ids, gallery_cameras, gallery_emb) = files.query, files.gallery
    exact = cdist(emb.astype(float), gallery_emb.astype(float))
    _, codes = np.unique(np.concatenate([ids, gallery_ids]), return_inverse=True)
    same = ids[:, None] == gallery_ids
    out = (same & (cameras[:, None] == gallery_cameras)) | (gallery_ids == "-1")
    expected = np.nanmean(single_gallery_shot(exact, codes[len(ids) :], codes[: len(ids)], out), axis=0)
    metrics = files.run("--single_gallery_shot")["metrics"]
    assert [metrics[f"cmc_single_shot@{k}"] for k in (1, 5, 10, 20)] == pytest.approx(expected.tolist())


def test_clusters_are_of_the_queries_identities(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    ids, _, emb = files.gallery
    known = np.isin(ids, files.query[0])
    expected = cluster_metrics(emb[known], ids[known])
    metrics = files.run("--clusters")["metrics"]
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_query_is_not_expanded_by_itself(tmp_path: Path) -> None:
    files = EmbeddingFiles(tmp_path)
    emb, labels = files.gallery[2], read_manifest(tmp_path / "gallery.csv", Path())
    nearest = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(nearest, np.inf)
    expanded = np.array([(emb[i] + emb[row.argsort()[:2]].sum(0)) / 3 for i, row in enumerate(nearest)])
    expected = evaluate_distances(cdist(expanded, emb.astype(float)), labels, labels, "diagonal")
    result = files.run_all_against_all("--query_expansion", "2")
    assert result["mAP"] == pytest.approx(expected.metrics["map"])
