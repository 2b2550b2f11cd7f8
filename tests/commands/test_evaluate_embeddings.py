"""evaluate.py on files of embeddings, as a user runs it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.commands import command
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from dataset.formats.manifest import Manifest, read_manifest
from evaluate import main
from model.metrics.clusters import cluster_figures
from model.metrics.excluders import find_excluder
from model.metrics.ranking.retrieval import evaluate_distances
from model.metrics.search.rerank import Reranker
from model.metrics.single_shot import single_gallery_shot

NAMES = {
    "market1501": "{:04d}_c{}s1_{:06d}_00.jpg",
    "duke": "{:04d}_c{}_f{:07d}.jpg",
    "mars": "{:04d}C{}T0001F{:03d}.jpg",
}


class Files:
    """Query and gallery in the older headerless form, with embeddings, in a folder."""

    def __init__(self, folder: Path, form: str = "market1501", columns: bool = False) -> None:
        random = np.random.default_rng(0)
        self.folder = folder
        for name, count in (("query", 20), ("gallery", 90)):
            identities = random.integers(1, 9, count)
            if name == "gallery":
                identities[:8], identities[8:15] = -1, 0
            cameras = random.integers(1, 4, count)
            emb = (np.eye(10, 6)[identities] + 0.6 * random.standard_normal((count, 6))).astype(np.float32)
            texts = [f"{i:04d}" if i >= 0 else "-1" for i in identities]
            paths = [NAMES[form].format(i, c, n) for n, (i, c) in enumerate(zip(identities, cameras, strict=True))]
            rows = [f"{i},{name}/{p}" for i, p in zip(texts, paths, strict=True)]
            if columns:
                rows = [f"{row},{c},{t}_{c}" for row, c, t in zip(rows, cameras, texts, strict=True)]
                rows.insert(0, "identity,path,camera,sequence")
            (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
            self.write(name, emb, [f"{name}/{p}" for p in paths], texts)
            setattr(self, name, (np.array(texts), cameras, emb))

    def write(self, name: str, emb: np.ndarray, paths: list[str] | None, texts: list[str] | None, **attributes) -> None:
        with h5py.File(self.folder / f"{name}.h5", "w") as file:
            file["emb"] = emb
            if paths is not None:
                file.create_dataset("path", data=list(paths), dtype=h5py.string_dtype())
                file.create_dataset("identity", data=list(map(str, texts)), dtype=h5py.string_dtype())
            file.attrs.update(attributes)

    def words(self, *others: object) -> list[str]:
        words = []
        for name in ("query", "gallery"):
            words += [f"--{name}_dataset", self.folder / f"{name}.csv"]
            words += [f"--{name}_embeddings", self.folder / f"{name}.h5"]
        return [str(word) for word in (*words, "--filename", self.folder / "out.json", *others)]

    def run(self, *others: object) -> dict:
        assert main(self.words("--excluder", "market1501", *others)) == 0
        return json.loads((self.folder / "out.json").read_text())

    def refused(self, capsys: pytest.CaptureFixture, *others: object) -> str:
        """The one line on stderr."""
        from runtime.errors import exit_code

        capsys.readouterr()
        assert exit_code(lambda: main([str(word) for word in others])) == 2
        text = capsys.readouterr()
        assert text.err.startswith("error: ")
        assert text.err.count("\n") == 1
        return text.err


def average_precisions(files: Files, metric: str = "euclidean") -> list[float | None]:
    (ids, cameras, emb), (gallery_ids, gallery_cameras, gallery_emb) = files.query, files.gallery
    distances, aps = cdist(emb.astype(float), gallery_emb.astype(float), metric), []
    for i in range(len(ids)):
        same = gallery_ids == ids[i]
        keep = ~((same & (gallery_cameras == cameras[i])) | (gallery_ids == "-1"))
        aps.append(average_precision_score(same[keep], -distances[i, keep]) if same[keep].any() else None)
    return aps


@pytest.mark.parametrize("form", list(NAMES))
def test_the_command(form: str, tmp_path: Path) -> None:
    files = Files(tmp_path, form)
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
    files = Files(tmp_path)
    code = "import sys, evaluate; evaluate.main(sys.argv[1:]); assert 'tensorflow' not in sys.modules"
    done = command("-c", code, *files.words("--excluder", "market1501"))
    assert done.returncode == 0, done.stderr


def test_market_ap_and_ties(tmp_path: Path) -> None:
    files = Files(tmp_path)
    plain, market = files.run(), files.run("--use_market_ap")
    assert market["mAP"] == plain["metrics"]["map_market"] == pytest.approx(np.nanmean(np.array(market["aps"], float)))
    assert plain["mAP"] == plain["metrics"]["map"]
    assert market["definitions"]["mAP"].startswith("map_market: ")
    same = np.zeros_like(files.gallery[2])
    texts = files.gallery[0].tolist()
    files.write("gallery", same, None, None)
    worst, best = files.run("--ties", "pessimistic"), files.run("--ties", "optimistic")
    assert worst["metrics"]["cmc@1"] == 0
    assert best["metrics"]["cmc@1"] == best["mAP"] == 1
    assert len(texts) == 90


def test_options_change_what_they_say(tmp_path: Path) -> None:
    files = Files(tmp_path, columns=True)
    plain = files.run()
    reranked = files.run("--rerank", "5,2,0.3", "--memory_gb", "0.1")
    assert reranked["mAP"] != plain["mAP"]
    assert "k1 5, k2 2, lambda 0.3" in reranked["definitions"]["rerank"]
    assert files.run("--rerank", "5,2,1")["aps"] == pytest.approx(plain["aps"])  # lambda 1: the original distances
    expanded = files.run("--query_expansion", "3,2")
    assert expanded["mAP"] != plain["mAP"]
    assert "3 nearest" in expanded["definitions"]["query_expansion"]
    shot = files.run("--single_gallery_shot")
    assert 0 < shot["metrics"]["cmc_single_shot@1"] <= shot["metrics"]["cmc_single_shot@5"] <= 1
    clusters = files.run("--clusters")
    assert 0 < clusters["metrics"]["nmi"] <= 1
    pooled = files.run("--pool_sequences", "mean")
    assert pooled["counts"]["gallery"] < 90
    many = files.run("--multi_query", "max")
    assert many["counts"]["queries"] < 20
    assert many["counts"]["gallery"] == 90
    assert set(files.run("--fpr", "0.05")["metrics"]) >= {"tpr@fpr=0.05", "threshold@fpr=0.05"}


def test_index(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("faiss")
    files = Files(tmp_path)
    plain, index = files.run(), files.run("--index", "faiss")
    assert "mAP" not in index
    assert index["metrics"]["index_recall"] == 1  # so small a gallery is searched exactly
    for name in ("cmc@1", "cmc@10", "recall@2", "recall@8"):
        assert index["metrics"][name] == plain["metrics"][name]
    assert "the index found 100.00% of what an exact search finds" in capsys.readouterr().err


def test_all_against_all(tmp_path: Path) -> None:
    files = Files(tmp_path)
    words = ["--query_dataset", tmp_path / "gallery.csv", "--query_embeddings", tmp_path / "gallery.h5"]
    words += ["--filename", tmp_path / "out.json"]
    assert main([str(word) for word in words]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    ids, _, emb = files.gallery
    distances = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(distances, np.inf)
    assert result["CMC"][0] == pytest.approx((ids[distances.argmin(1)] == ids).mean())
    assert result["definitions"]["excluder"].startswith("diagonal")
    assert main([*map(str, words), "--rerank", "4,2,0.3"]) == 0


def test_the_metric_of_the_training_is_the_default(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for name in ("query", "gallery"):
        files.write(name, getattr(files, name)[2], None, None, params=json.dumps({"metric": "cityblock"}))
    assert files.run()["definitions"]["metric"] == "cityblock"
    assert files.run()["aps"] == pytest.approx(average_precisions(files, "cityblock"))
    files.write("query", files.query[2], None, None)
    assert files.run()["definitions"]["metric"] == "euclidean"


def test_what_could_not_be_checked_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = Files(tmp_path)
    files.write("gallery", files.gallery[2], None, None, checkpoint="ckpt-2")
    files.write("query", files.query[2], None, None, checkpoint="ckpt-1")
    result = files.run()
    told = capsys.readouterr().err
    assert told.count("does not tell the paths of its images") == 2
    assert "differ in their checkpoint: ckpt-1 and ckpt-2" in told
    assert not result["inputs"]["gallery"]["paths_verified"]
    assert result["inputs"]["query"]["checkpoint"] == "ckpt-1"


def test_skipped_queries(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = Files(tmp_path)
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


def test_bad_input_is_answered_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = Files(tmp_path)
    words, market = files.words(), ("--excluder", "market1501")
    texts, _, emb = files.gallery
    paths = [line.split(",")[1] for line in (tmp_path / "gallery.csv").read_text().split()]
    cases = [
        ([], "give --model_dir RUN"),
        (words, "--excluder is missing"),
        ([*words, "--excluder", "market"], "--excluder market: it must be one of diagonal, duke, market1501, mars"),
        ([*words, "--excluder", "duke"], "no camera in the name of"),
        ([*words[:2], *market], "--query_dataset alone is not enough: give --query_embeddings too"),
        ([*words[4:], *market], "there are no queries: give --query_dataset too"),
        ([*words[:6], *market], "--gallery_dataset alone is not enough"),
        ([*words, *market, "--metric", "l2"], "--metric l2: it must be one of euclidean"),
        ([*words, *market, "--batch_size", "0"], "--batch_size 0"),
        ([*words, *market, "--memory_gb", "0"], "--memory_gb 0"),
        ([*words, *market, "--fpr", "1"], "--fpr 1"),
        ([*words, *market, "--rerank", "20,6"], "--rerank 20,6: it must be K1,K2,LAMBDA"),
        ([*words, *market, "--rerank", "20,6,7"], "LAMBDA between 0 and 1"),
        ([*words, *market, "--query_expansion", "x"], "--query_expansion x: it must be K or K,ALPHA"),
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


def test_figures_are_printed_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = Files(tmp_path).words("--excluder", "market1501")
    del words[words.index("--filename") : words.index("--filename") + 2]
    assert main(words) == 0
    assert "mAP is map" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["query.h5", "gallery.h5", "query.csv", "gallery.csv"])
def test_inputs_are_never_replaced(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = Files(tmp_path)
    before = (tmp_path / name).read_bytes()
    line = files.refused(capsys, *files.words("--excluder", "market1501", "--filename", tmp_path / "." / name))
    assert "is one of the inputs" in line
    assert (tmp_path / name).read_bytes() == before


def with_strangers(files: Files) -> tuple[Manifest, Manifest, np.ndarray, np.ndarray]:
    """Every other query becomes somebody whom the gallery does not know; labels and embeddings."""
    texts = files.query[0].astype(object)
    texts[::2] = "0555"
    paths = [line.split(",")[1] for line in (files.folder / "query.csv").read_text().split()]
    (files.folder / "query.csv").write_text("".join(f"{t},{p}\n" for t, p in zip(texts, paths, strict=True)))
    files.write("query", files.query[2], paths, texts)
    parts = [read_manifest(files.folder / f"{name}.csv", Path()) for name in ("query", "gallery")]
    return *parts, files.query[2], files.gallery[2]


def test_reranking_with_skipped_queries(tmp_path: Path) -> None:
    """All queries are neighbours of each other, also those that have no match; junk is nobody's neighbour."""
    files = Files(tmp_path)
    query, gallery, query_emb, gallery_emb = with_strangers(files)
    known = gallery.identities != "-1"
    distances = np.full((len(query), len(gallery)), 9.0)
    distances[:, known] = Reranker(query_emb, gallery_emb[known], k1=5, k2=2, weight=0.3).distances(slice(None))
    expected = evaluate_distances(distances, query, gallery, "market1501")
    result = files.run("--rerank", "5,2,0.3", "--batch_size", "3")
    assert result["metrics"] == pytest.approx(expected.metrics)
    assert result["counts"]["queries_used"] == 10


def test_single_gallery_shot_leaves_out_what_the_excluder_does(tmp_path: Path) -> None:
    files = Files(tmp_path)
    (ids, cameras, emb), (gallery_ids, gallery_cameras, gallery_emb) = files.query, files.gallery
    exact = cdist(emb.astype(float), gallery_emb.astype(float))
    _, codes = np.unique(np.concatenate([ids, gallery_ids]), return_inverse=True)
    same = ids[:, None] == gallery_ids
    out = (same & (cameras[:, None] == gallery_cameras)) | (gallery_ids == "-1")
    expected = np.nanmean(single_gallery_shot(exact, codes[len(ids) :], codes[: len(ids)], out), axis=0)
    metrics = files.run("--single_gallery_shot")["metrics"]
    assert [metrics[f"cmc_single_shot@{k}"] for k in (1, 5, 10, 20)] == pytest.approx(expected.tolist())


def test_clusters_are_of_the_queries_identities(tmp_path: Path) -> None:
    files = Files(tmp_path)
    ids, _, emb = files.gallery
    known = np.isin(ids, files.query[0])
    expected = cluster_figures(emb[known], ids[known])
    metrics = files.run("--clusters")["metrics"]
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_query_is_not_expanded_by_itself(tmp_path: Path) -> None:
    files = Files(tmp_path)
    emb, labels = files.gallery[2], read_manifest(tmp_path / "gallery.csv", Path())
    nearest = cdist(emb.astype(float), emb.astype(float))
    np.fill_diagonal(nearest, np.inf)
    expanded = np.array([(emb[i] + emb[row.argsort()[:2]].sum(0)) / 3 for i, row in enumerate(nearest)])
    expected = evaluate_distances(cdist(expanded, emb.astype(float)), labels, labels, "diagonal")
    words = ["--query_dataset", tmp_path / "gallery.csv", "--query_embeddings", tmp_path / "gallery.h5"]
    assert main([*map(str, words), "--query_expansion", "2", "--filename", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["mAP"] == pytest.approx(expected.metrics["map"])


def test_cameras_of_a_multi_query_may_come_from_the_names(tmp_path: Path) -> None:
    files = Files(tmp_path)
    ids, cameras, _ = files.query
    groups = dict.fromkeys(zip(ids, cameras, strict=True))
    assert files.run("--multi_query", "mean")["counts"]["queries"] == len(groups) < 20


def test_what_flatters_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = Files(tmp_path, columns=True)
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
    files = Files(tmp_path)
    before = files.run()
    (tmp_path / "gallery.h5").unlink()
    assert "gallery.h5" in files.refused(capsys, *files.words("--excluder", "market1501"))
    assert json.loads((tmp_path / "out.json").read_text()) == before
