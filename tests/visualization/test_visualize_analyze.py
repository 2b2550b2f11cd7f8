"""visualize.py analyze: the table, the JSON and the page."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process
from helpers.embedding_files import write_embeddings
from helpers.html_page import Parsed
from PIL import Image
from scipy.spatial.distance import cdist

from dataset.formats.manifest import Manifest, write_manifest
from model.embedding.hdf5_file import read_embeddings
from model.evaluation.by_class.analysis import RANKING_METRICS
from model.metrics.ranking.retrieval import evaluate_retrieval
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines
from visualization.analyze.command import count_tenths

ODD = "<b>&\"'</b> ünï"  # a class that HTML must not take for markup


def test_histogram_counts_each_class_once() -> None:
    shares = [0, 0.1, 3 / 10, 0.3 - 1e-3, 0.999, 1.0]
    assert count_tenths(shares) == [1, 1, 1, 1, 0, 0, 0, 0, 0, 2]
    assert count_tenths([]) == [0] * 10


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


def no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def test_table_json_and_page(source: Path) -> None:
    """One set of figures in all three, and the page is whole, with every name as text."""
    files = ["--query_embeddings", source / "emb.h5", "--query_dataset", source / "test.csv"]
    code, printed, _ = command("visualize.py", "analyze", *files, "--out", source, "--classes", 3, "--pairs", 20)
    assert code == 0
    got = json.loads((source / "analysis.json").read_text(), parse_constant=no_constant)
    emb = read_embeddings(source / "emb.h5")
    images = Manifest(emb.identities, emb.paths, source, source / "test.csv")
    result = evaluate_retrieval(emb.emb, emb.emb, images, images, "diagonal", "euclidean")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    assert got["counts"]["queries_skipped_identity_absent"] == 1
    assert sum(one["queries"] for one in got["classes"]) == 23
    assert sum(one["count"] for one in got["confusions"]) == got["counts"]["queries_wrong"]
    assert sum(pair["count"] for pair in got["confused_pairs"]) == got["counts"]["queries_wrong"]
    assert {one["class"] for one in got["classes"]} == {"plain", ODD, "third", "fourth"}
    assert all(low <= one["recall@1"] <= high for one in got["classes"] for low, high in [one["recall@1_interval"]])

    over_queries = next(line.split()[3:] for line in printed.splitlines() if line.startswith("mean over queries"))
    shares = [f"{100 * got['metrics'][name]:.2f}" for name in RANKING_METRICS[:-2]]
    assert over_queries == [*shares, *(f"{got['metrics'][name]:,.2f}" for name in RANKING_METRICS[-2:])]
    hardest = next(line for line in printed.splitlines() if line.strip().startswith(got["classes"][0]["class"]))
    assert f"{100 * got['classes'][0]['recall@1']:.2f}" in hardest
    assert "hardest classes, 3 of 4" in printed
    assert "2 of the examples' images cannot be opened" in printed

    page = Parsed(source / "analysis.html")
    assert not {"b", "i"} & {tag for tag, _ in page.tags}  # names did not become markup
    for words in (ODD, "ckpt-<7>", "images/3 <i>.png", "cannot be opened", *over_queries):
        assert words in page.words
    assert page.all("img")
    tenths = ", ".join(map(str, count_tenths(one["recall@1"] for one in got["classes"])))
    assert f"by recall@1: {tenths} in each tenth" in page.all("svg")[0]["aria-label"]


def test_without_pictures_and_without_tensorflow(source: Path) -> None:
    """The file alone: it tells its images itself; where they are is not known, and nothing but the page lacks them."""
    code = "import sys; sys.modules['tensorflow'] = None; import visualize; sys.exit(visualize.main(sys.argv[1:]))"
    done = process("-c", code, "analyze", "--query_embeddings", source / "emb.h5", "--out", source / "page.html")
    assert done.returncode == 0, done.stderr
    assert "--image_root" in done.stdout
    assert not Parsed(source / "page.html").all("img")
    assert not (source / "analysis.json").exists()


def test_query_against_gallery(source: Path) -> None:
    """Numbers of images are those of either list; both files are named one by one, and written where they are named."""
    emb = read_embeddings(source / "emb.h5")
    images = Manifest(emb.identities, emb.paths, source, source / "test.csv")
    parts = {"q": images.select(np.arange(8)), "g": images.select(np.arange(8, 24))}
    for name, part in parts.items():
        rows = emb.emb[:8] if name == "q" else emb.emb[8:]
        write_embeddings(source / f"{name}.h5", rows, part, {})
    files = ["--query_embeddings", source / "q.h5", "--gallery_embeddings", source / "g.h5", "--excluder", "diagonal"]
    outputs = ["--out", source / "a.json", "--out", source / "b.HTML"]
    assert (
        command("visualize.py", "analyze", *files, *outputs, "--image_root", source, "--metric", "cosine").returncode
        == 0
    )
    got = json.loads((source / "a.json").read_text())
    result = evaluate_retrieval(emb.emb[:8], emb.emb[8:], parts["q"], parts["g"], "diagonal", "cosine")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    names = dict(zip(emb.paths, emb.identities, strict=True))
    place = {path: number for number, path in enumerate(emb.paths)}
    for one in got["confusions"]:
        example = one["example"]
        assert names[example["query"]] == one["query_class"]
        assert names[example["image"]] == one["found_class"]
        pair = emb.emb[[place[example["query"]], place[example["image"]]]].astype(float)
        assert example["distance"] == pytest.approx(cdist(pair[:1], pair[1:], "cosine")[0, 0], abs=1e-9)
    assert Parsed(source / "b.HTML").all("img")


@pytest.mark.slow
def test_of_a_run(run: RunFolder) -> None:
    """The network embeds the set, and the figures are those that the evaluator writes of that checkpoint."""
    done = command("evaluate.py", "--model_dir", run.folder, "--once")
    assert done.returncode == 0, done.stderr
    lines = {line["set"]: line for line in read_json_lines(run.results)}
    for name in ("test", "query_gallery"):
        assert command("visualize.py", "analyze", "--model_dir", run.folder, "--eval_set", name).returncode == 0
        got = json.loads((run.folder / "pictures" / "analysis.json").read_text())
        assert got["facts"]["set"] == name
        assert got["counts"]["queries_used"] == lines[name]["counts"]["queries_used"]
        assert got["metrics"] == pytest.approx({key: lines[name]["metrics"][key] for key in RANKING_METRICS}, abs=1e-6)
        assert Parsed(run.folder / "pictures" / "analysis.html").all("img")
