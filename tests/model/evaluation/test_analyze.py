"""visualize.py analyze: figures by class and confusions against brute force; the table, the JSON and the page."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, command, environment
from helpers.metric_names import METRICS
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

import visualize
from dataset.formats.manifest import Manifest, write_manifest
from model.embedding.hdf5_file import read_embeddings, write_embeddings
from model.evaluation.by_class.analysis import FIGURES, Analysis, analyze, wilson_interval
from model.evaluation.by_class.nearest_wrong import NearestWrong
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from model.metrics.ranking.retrieval import evaluate_retrieval, make_task
from runtime.errors import UserError
from runtime.json_files import read_json_lines
from visualization.analyze.recall_chart import histogram

ODD = "<b>&\"'</b> ünï"  # a class that HTML must not take for markup


def manifest(identities: list, prefix: str, cameras: np.ndarray | None = None) -> Manifest:
    def text(values: list) -> np.ndarray:
        return np.array([str(value) for value in values], object)

    paths = text([f"{prefix}{i}.jpg" for i in range(len(identities))])
    cameras = None if cameras is None else text(cameras)
    return Manifest(text(identities), paths, Path(), Path(f"{prefix}.csv"), cameras)


def random_case(seed: int, excluder: str, tied: bool) -> tuple[np.ndarray, np.ndarray, Manifest, Manifest]:
    """Clusters, or few different points; classes of one image, junk (-1), distractors (0), queries without a match."""
    rng = np.random.default_rng(seed)
    query_ids, gallery_ids = rng.integers(1, 12, 40), rng.integers(-1, 10, 90)
    if excluder == "diagonal":  # all against all, with classes of one image
        query_ids = gallery_ids = np.concatenate([gallery_ids, [50, 51]])
    if tied:
        points = np.array([[1, 2, 2, 0], [2, 1, 0, 2], [0, 3, 0, 0], [1, 1, 1, 2], [2, 2, 1, 0]], np.float32)
        query_emb, gallery_emb = (points[rng.integers(0, 5, len(ids))] for ids in (query_ids, gallery_ids))
    else:
        centres = rng.standard_normal((60, 4))
        query_emb, gallery_emb = (
            (centres[ids] + rng.standard_normal((len(ids), 4))).astype(np.float32) for ids in (query_ids, gallery_ids)
        )
    cameras = [rng.integers(0, 3, len(ids)) for ids in (query_ids, gallery_ids)]
    query = manifest(query_ids.tolist(), "q", cameras[0])
    if excluder == "diagonal":
        return gallery_emb, gallery_emb, query, query
    return query_emb, gallery_emb, query, manifest(gallery_ids.tolist(), "g", cameras[1])


def left_out(query: Manifest, i: int, gallery: Manifest, j: int, excluder: str) -> bool:
    if excluder == "diagonal":
        return query.paths[i] == gallery.paths[j]
    same = query.identities[i] == gallery.identities[j] and query.cameras[i] == gallery.cameras[j]
    return same or gallery.identities[j] == "-1"


def brute_force(distances: np.ndarray, query: Manifest, gallery: Manifest, excluder: str) -> tuple[dict, dict]:
    """By sorting: figures of each query by class, and (class, other class) -> its wrong pairs (distance, i, j)."""
    by_class: dict[str, list[dict]] = {}
    wrong: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
    for i, name in enumerate(query.identities):
        keep = [j for j in range(len(gallery)) if not left_out(query, i, gallery, j, excluder)]
        good = {j for j in keep if gallery.identities[j] == name}
        if not good:
            continue
        order = sorted(keep, key=lambda j: (distances[i, j], j in good, j))
        places = [k for k, j in enumerate(order, 1) if j in good]
        precisions = [n / place for n, place in enumerate(places, 1)]
        row = {f"recall@{k}": float(places[0] <= k) for k in (1, 2, 4, 8)}
        row["map"] = sum(precisions) / len(good)
        row["map@r"] = sum(p for p, place in zip(precisions, places, strict=True) if place <= len(good)) / len(good)
        row["average_rank"], row["first_rank"] = sum(places) / len(good), float(places[0])
        by_class.setdefault(name, []).append(row)
        if places[0] > 1:
            wrong.setdefault((name, gallery.identities[order[0]]), []).append((distances[i, order[0]], i, order[0]))
    return by_class, wrong


def mean_of(rows: list[dict]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}


def analysis_of(query_emb, gallery_emb, query: Manifest, gallery: Manifest, excluder: str, metric: str) -> Analysis:
    task = make_task(query, gallery, excluder)
    distances = EmbeddingDistances(query_emb[task.queries], task.of_gallery(gallery_emb), metric)
    return analyze(task, distances, query.identities, gallery.identities, metric)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("excluder", ["diagonal", "market1501"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(metric: str, excluder: str, tied: bool, seed: int) -> None:
    query_emb, gallery_emb, query, gallery = random_case(seed, excluder, tied)
    got = analysis_of(query_emb, gallery_emb, query, gallery, excluder, metric)
    distances = cdist(query_emb.astype(float), gallery_emb.astype(float), metric)
    if tied:  # float64's rounding is no difference
        distances = distances.round(9)
    by_class, wrong = brute_force(distances, query, gallery, excluder)

    assert got.metrics == pytest.approx(mean_of([row for rows in by_class.values() for row in rows]), abs=1e-12)
    assert got.class_means == pytest.approx(mean_of([mean_of(rows) for rows in by_class.values()]), abs=1e-12)
    expected = {name: mean_of(rows) for name, rows in by_class.items()}
    order = sorted(expected, key=lambda name: (expected[name]["recall@1"], round(expected[name]["map"], 12), name))
    assert [one.name for one in got.classes] == order
    for one in got.classes:
        assert one.figures == pytest.approx(expected[one.name], abs=1e-12)
        assert one.queries == len(by_class[one.name])
        assert one.queries + one.skipped == (query.identities == one.name).sum()
    assert len(set(query.identities)) == got.counts["classes"] > got.counts["classes_used"] == len(expected)

    assert {(c.query_class, c.found_class): c.count for c in got.confusions} == {k: len(v) for k, v in wrong.items()}
    for one in got.confusions:
        distance, i, j = min(wrong[one.query_class, one.found_class])
        assert (one.query, one.image) == (i, j)
        assert one.distance == pytest.approx(distance, abs=1e-7)
        assert one.share == one.count / len(by_class[one.query_class])
    assert got.counts["queries_wrong"] == sum(map(len, wrong.values())) > 0

    both: dict[frozenset, int] = {}
    for pair, rows in wrong.items():
        both[frozenset(pair)] = both.get(frozenset(pair), 0) + len(rows)
    assert {frozenset(pair.classes): pair.count for pair in got.pairs} == both
    counts = [pair.count for pair in got.pairs]
    assert counts == sorted(counts, reverse=True)
    for pair in got.pairs:
        first, second = pair.classes
        assert pair.counts == (len(wrong.get((first, second), [])), len(wrong.get((second, first), [])))
        assert pair.counts[0] >= pair.counts[1]
        assert pair.share == pair.count / (len(by_class[first]) + len(by_class.get(second, [])))
        nearest = min(wrong.get((first, second), []) + wrong.get((second, first), []))
        assert pair.example.distance == pytest.approx(nearest[0], abs=1e-7)


@pytest.mark.parametrize("excluder", ["diagonal", "market1501"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_figures_are_those_of_the_evaluation(excluder: str, tied: bool) -> None:
    """To the last digit, and with the same counts."""
    case = random_case(7, excluder, tied)
    got = analysis_of(*case, excluder, "euclidean")
    result = evaluate_retrieval(*case, excluder, "euclidean")
    assert got.metrics == {name: result.metrics[name] for name in FIGURES}
    assert result.counts.items() <= got.counts.items()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [1, 7, 64, 200])
def test_nearest_wrong_is_exact(metric: str, width: int) -> None:
    """Points that single precision cannot tell apart, tile by tile: found is the nearest in float64."""
    rng = np.random.default_rng(width)
    gallery = (1000 + rng.integers(0, 3, (200, 3)) * 2.0**-13 + rng.integers(0, 2, (200, 3))).astype(np.float32)
    query = (gallery[rng.integers(0, 200, 30)] + 2.0**-14).astype(np.float32)
    hidden = rng.random((30, 200)) < 0.3
    hidden[3] = True  # a query without a single non-match
    distances = EmbeddingDistances(query, gallery, metric)
    wrong, rows = NearestWrong(distances), np.arange(30)
    for start in range(0, 200, width):
        tile = distances.tile(rows, slice(start, min(start + width, 200)))
        tile[hidden[:, start : start + width]] = np.inf
        wrong.see(tile, rows, start)
    exact = np.array([distances.pairs(np.full(200, row), np.arange(200)) for row in rows])
    exact[hidden] = np.inf
    equal = exact <= exact.min(1, keepdims=True) + distances.same(exact.min(1, keepdims=True))
    first = np.where(np.isfinite(exact.min(1)), equal.argmax(1), -1)
    np.testing.assert_array_equal(wrong.columns, first)
    np.testing.assert_allclose(wrong.distances, exact.min(1), rtol=1e-11, atol=1e-13)


def test_wilson_interval() -> None:
    """Equal to SciPy's, and with a width at both ends."""
    for trials in (1, 2, 5, 40, 1000):
        for successes in {0, 1, trials // 3, trials}:
            low, high = wilson_interval(np.array([successes]), np.array([trials]))
            expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
            assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert 0 <= low[0] < high[0] <= 1


def test_nothing_is_confused() -> None:
    """One class alone, and classes far apart: no pairs, and nothing to divide by."""
    for identities in (["a"] * 4, ["a", "a", "b", "b"]):
        emb = np.array([[ord(name), 0.1 * i] for i, name in enumerate(identities)], np.float32)
        images = manifest(identities, "q")
        got = analysis_of(emb, emb, images, images, "diagonal", "euclidean")
        assert got.metrics["recall@1"] == got.class_means["map"] == 1
        assert got.confusions == got.pairs == []
        assert got.counts["queries_wrong"] == 0


def test_histogram_counts_each_class_once() -> None:
    shares = [0, 0.1, 3 / 10, 0.3 - 1e-3, 0.999, 1.0]
    assert "1, 1, 1, 1, 0, 0, 0, 0, 0, 2 in each tenth" in histogram(shares)
    assert "0, 0, 0, 0, 0, 0, 0, 0, 0, 0 in each tenth" in histogram([])


class Page(HTMLParser):
    """Notes what is not well-formed, all text, images and scripts."""

    VOID = ("meta", "img", "br", "rect", "line", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """emb.h5 and test.csv of 24 images of 5 classes; one image is missing, one is no image, one is 16 bits grey."""
    rng = np.random.default_rng(0)
    identities = ["plain", ODD, "third", "fourth"] * 6
    identities[23] = "alone"
    rows = []
    for number, name in enumerate(identities):
        path = tmp_path / "images" / f"{number} <i>.png"
        path.parent.mkdir(exist_ok=True)
        if number == 0:
            path.write_text("no image")
        elif number == 2:
            Image.fromarray(rng.integers(0, 65536, (30, 20), np.uint16)).save(path)
        elif number != 1:
            Image.fromarray(rng.integers(0, 256, (200, 300 + number, 3), np.uint8)).save(path)
        rows.append((name, f"images/{number} <i>.png"))
    write_manifest(tmp_path / "test.csv", rows)
    columns = [np.array(column, object) for column in zip(*rows, strict=True)]
    images = Manifest(*columns, tmp_path, tmp_path / "test.csv")
    emb = rng.standard_normal((24, 8))
    emb[1], emb[3] = emb[0] + 0.01, emb[2] + 0.01  # these become examples
    write_embeddings(tmp_path / "emb.h5", emb, images, {"checkpoint": "ckpt-<7>"})
    return tmp_path


def run(*words: object) -> int:
    return visualize.main(["analyze", *map(str, words)])


def no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def test_table_json_and_page(source: Path, capsys: pytest.CaptureFixture) -> None:
    """One set of figures in all three, and the page is whole, with every name as text."""
    files = ["--query_embeddings", source / "emb.h5", "--query_dataset", source / "test.csv"]
    assert run(*files, "--out", source, "--classes", 3, "--pairs", 20) == 0
    printed = capsys.readouterr().out
    got = json.loads((source / "analysis.json").read_text(), parse_constant=no_constant)
    emb = read_embeddings(source / "emb.h5")
    images = Manifest(emb.identities, emb.paths, source, source / "test.csv")
    result = evaluate_retrieval(emb.emb, emb.emb, images, images, "diagonal", "euclidean")
    assert got["metrics"] == {name: result.metrics[name] for name in FIGURES}
    assert got["counts"]["queries_skipped_identity_absent"] == 1
    assert sum(one["queries"] for one in got["classes"]) == 23
    assert sum(one["count"] for one in got["confusions"]) == got["counts"]["queries_wrong"]
    assert sum(pair["count"] for pair in got["confused_pairs"]) == got["counts"]["queries_wrong"]
    assert {one["class"] for one in got["classes"]} == {"plain", ODD, "third", "fourth"}
    assert all(low <= one["recall@1"] <= high for one in got["classes"] for low, high in [one["recall@1_interval"]])

    over_queries = next(line.split()[3:] for line in printed.splitlines() if line.startswith("mean over queries"))
    shares = [f"{100 * got['metrics'][name]:.2f}" for name in FIGURES[:-2]]
    assert over_queries == [*shares, *(f"{got['metrics'][name]:,.2f}" for name in FIGURES[-2:])]
    hardest = next(line for line in printed.splitlines() if line.strip().startswith(got["classes"][0]["class"]))
    assert f"{100 * got['classes'][0]['recall@1']:.2f}" in hardest
    assert "hardest classes, 3 of 4" in printed
    assert "2 of the examples' images cannot be opened" in printed

    text = (source / "analysis.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.problems
    assert not page.open
    assert not {"b", "i"} & {tag for tag, _ in page.tags}  # names did not become markup
    words = "".join(page.texts)
    assert ODD in words
    assert "ckpt-<7>" in words
    assert "images/3 <i>.png" in words
    assert all(cell in words for cell in over_queries)
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert images
    assert all(image.startswith("data:image/jpeg;base64,") for image in images)
    assert "cannot be opened" in words
    assert not [scheme for scheme in ("http:", "https:") if scheme in text]  # it needs no network


def test_without_pictures_and_without_tensorflow(source: Path) -> None:
    """The file alone: it tells its images itself; where they are is not known, and nothing but the page lacks them."""
    code = "import sys; sys.modules['tensorflow'] = None; import visualize; sys.exit(visualize.main(sys.argv[1:]))"
    words = ["analyze", "--query_embeddings", source / "emb.h5", "--out", source / "page.html"]
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=environment(), timeout=100)
    assert done.returncode == 0, done.stderr
    assert "--image_root" in done.stdout
    page = Page((source / "page.html").read_text(encoding="utf-8"))
    assert not page.problems
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not (source / "analysis.json").exists()


def test_query_against_gallery(source: Path, capsys: pytest.CaptureFixture) -> None:
    """Numbers of images are those of either list; both files are named one by one, and written where they are named."""
    emb = read_embeddings(source / "emb.h5")
    images = Manifest(emb.identities, emb.paths, source, source / "test.csv")
    parts = {"q": images.select(np.arange(8)), "g": images.select(np.arange(8, 24))}
    for name, part in parts.items():
        rows = emb.emb[:8] if name == "q" else emb.emb[8:]
        write_embeddings(source / f"{name}.h5", rows, part, {})
    files = ["--query_embeddings", source / "q.h5", "--gallery_embeddings", source / "g.h5", "--excluder", "diagonal"]
    outputs = ["--out", source / "a.json", "--out", source / "b.HTML"]
    assert run(*files, *outputs, "--image_root", source, "--metric", "cosine") == 0
    got = json.loads((source / "a.json").read_text())
    result = evaluate_retrieval(emb.emb[:8], emb.emb[8:], parts["q"], parts["g"], "diagonal", "cosine")
    assert got["metrics"] == {name: result.metrics[name] for name in FIGURES}
    names = dict(zip(emb.paths, emb.identities, strict=True))
    place = {path: number for number, path in enumerate(emb.paths)}
    for one in got["confusions"]:
        example = one["example"]
        assert names[example["query"]] == one["query_class"]
        assert names[example["image"]] == one["found_class"]
        pair = emb.emb[[place[example["query"]], place[example["image"]]]].astype(float)
        assert example["distance"] == pytest.approx(cdist(pair[:1], pair[1:], "cosine")[0, 0], abs=1e-9)
    assert not Page((source / "b.HTML").read_text(encoding="utf-8")).problems


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--model_dir RUN"),
        (["--query_embeddings", "emb.h5", "--model_dir", "run"], "give one of them"),
        (["--query_embeddings", "emb.h5", "--classes", "-1"], "--classes -1: it must be at least 0"),
        (["--query_embeddings", "emb.h5", "--memory_gb", "nan"], "greater than 0"),
        (["--query_embeddings", "emb.h5", "--out", "page.txt"], "must end in .html or .json"),
        (["--query_embeddings", "emb.h5", "--out", "nowhere/page.html"], "does not exist"),
        (["--query_embeddings", "emb.h5", "--out", ".", "--out", "analysis.json"], "named twice"),
        (["--query_embeddings", "gone.h5", "--out", "page.html"], "no such file"),
    ],
)
def test_mistakes_are_told(words: list[str], told: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    with pytest.raises(UserError, match=re.escape(told)) as error:
        run(*words)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_of_a_run(trained: Path, tmp_path: Path) -> None:
    """The network embeds the set, and the figures are those that the evaluator writes of that checkpoint."""
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    done = command("evaluate.py", "--model_dir", folder, "--once")
    assert done.returncode == 0, done.stderr
    lines = {line["set"]: line for line in read_json_lines(folder / "results.jsonl")}
    for name in ("test", "query_gallery"):
        assert run("--model_dir", folder, "--eval_set", name) == 0
        got = json.loads((folder / "pictures" / "analysis.json").read_text())
        assert got["facts"]["set"] == name
        assert got["counts"]["queries_used"] == lines[name]["counts"]["queries_used"]
        assert got["metrics"] == pytest.approx({key: lines[name]["metrics"][key] for key in FIGURES}, abs=1e-6)
        assert not Page((folder / "pictures" / "analysis.html").read_text(encoding="utf-8")).problems
