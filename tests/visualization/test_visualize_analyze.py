"""`visualize.py analyze`: table, JSON and page of the same numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process
from helpers.embedded_sets import noise
from helpers.embedding_files import write_embeddings
from helpers.html_page import Parsed

from dataset.formats.manifest import Manifest, read_manifest, write_manifest
from model.embedding.hdf5_file import read_embeddings
from model.evaluation.by_class.analysis import RANKING_METRICS
from model.metrics.ranking.retrieval import evaluate_retrieval
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines
from visualization.analyze.command import count_tenths
from visualization.analyze.worst_queries import count_first_ranks


def test_histogram_counts_each_class_once() -> None:
    shares = [0, 0.1, 3 / 10, 0.3 - 1e-3, 0.999, 1.0]
    assert count_tenths(shares) == [1, 1, 1, 1, 0, 0, 0, 0, 0, 2]
    assert count_tenths([]) == [0] * 10


@pytest.fixture
def images(files: Path) -> Manifest:
    """The list of the embeddings, in the order of the file."""
    return read_manifest(files / "x.csv", files)


def test_table_json_and_page(files: Path, images: Manifest, tmp_path: Path) -> None:
    """One set of numbers in all three, and the page is complete, with every name as text."""
    words = ["--query_embeddings", files / "x.h5", "--query_dataset", files / "x.csv", "--out", tmp_path]
    code, printed, _ = command("visualize.py", "analyze", *words, "--classes", 3, "--pairs", 20)
    assert code == 0
    got = json.loads((tmp_path / "analysis.json").read_text())
    json.dumps(got, allow_nan=False)  # all numbers are finite
    emb = read_embeddings(files / "x.h5").emb
    result = evaluate_retrieval(emb, emb, images, images, "diagonal", "cosine")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    assert got["counts"]["queries_skipped_identity_absent"] == 1
    assert sum(one["queries"] for one in got["classes"]) == 40
    assert got["counts"]["queries_wrong"] >= 4
    for name in ("confusions", "confused_pairs"):
        assert sum(one["count"] for one in got[name]) == got["counts"]["queries_wrong"]
    assert {one["class"] for one in got["classes"]} == set(images.identities) - {"alone"}
    assert all(low <= one["recall@1"] <= high for one in got["classes"] for low, high in [one["recall@1_interval"]])

    over_queries = next(line.split()[3:] for line in printed.splitlines() if line.startswith("mean over queries"))
    shares = [f"{100 * got['metrics'][name]:.2f}" for name in RANKING_METRICS[:-2]]
    assert over_queries == [*shares, *(f"{got['metrics'][name]:,.2f}" for name in RANKING_METRICS[-2:])]
    assert "The median class has 4 queries, so recall@1 of a class is one of few values" in printed
    assert "examples that cannot be opened: 2 images" in printed

    page = Parsed(tmp_path / "analysis.html")
    assert not page.all("b")  # names did not become markup
    for text in ("<b>id 2 & 車", "ckpt-<7>", "Größe <3> $.png", "cannot be opened", *over_queries):
        assert text in page.words
    assert page.all("img")
    wrong = got["counts"]["queries_wrong"]
    assert f"Worst queries (3 of {wrong} with a wrong nearest image)" in page.words
    counts = page.all("svg")[0]["aria-label"].partition(": ")[2].split(", ")
    assert (int(counts[0]), sum(map(int, counts))) == (40 - wrong, 40)


def test_classes_with_many_queries_are_listed(tmp_path: Path) -> None:
    """The hardest classes are listed in the terminal and on the page; names break at separators only."""
    emb, labels = noise(60, 3, 4)
    write_manifest(
        tmp_path / "x.csv", [(f"class_of_cars_{label}", f"val/{n:06d}.crop.jpg") for n, label in enumerate(labels)]
    )
    write_embeddings(tmp_path / "x.h5", emb, read_manifest(tmp_path / "x.csv", tmp_path), {})
    done = command("visualize.py", "analyze", "--query_embeddings", tmp_path / "x.h5", "--classes", 2)
    assert done.returncode == 0, done.stderr
    assert "hardest classes, 2 of 3" in done.stdout
    got = json.loads((tmp_path / "analysis.json").read_text())
    page = Parsed(tmp_path / "analysis.html")
    tenths = ", ".join(map(str, count_tenths(one["recall@1"] for one in got["classes"])))
    assert f"by recall@1: {tenths} in each tenth" in page.all("svg")[0]["aria-label"]
    assert "Hardest classes (2 of 3)" in page.words
    assert "class_<wbr>of_<wbr>cars_0" in (tmp_path / "analysis.html").read_text()


def test_first_ranks_are_counted_in_ranges_that_double() -> None:
    assert count_first_ranks(np.array([1, 2, 3, 4, 5, 8, 9])) == (["1", "2", "3–4", "5–8", "9–16"], [1, 1, 2, 2, 1])


def test_without_pictures_and_without_tensorflow(files: Path, tmp_path: Path) -> None:
    """The file alone has the paths. Their folder is unknown, so the page has no images."""
    code = "import sys; sys.modules['tensorflow'] = None; import visualize; sys.exit(visualize.main(sys.argv[1:]))"
    done = process("-c", code, "analyze", "--query_embeddings", files / "x.h5", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "--image_root" in done.stdout
    assert not Parsed(tmp_path / "page.html").all("img")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_query_against_gallery(files: Path, images: Manifest, tmp_path: Path) -> None:
    """Examples name images of the right list; --out names both files."""
    emb = read_embeddings(files / "x.h5").emb
    parts = [np.arange(8), np.arange(8, len(emb))]
    lists = [images.select(rows) for rows in parts]
    words = ["--excluder", "diagonal", "--image_root", files, "--metric", "cityblock"]
    for name, rows, part in zip(("query", "gallery"), parts, lists, strict=True):
        write_embeddings(tmp_path / f"{name}.h5", emb[rows], part, {})
        words += [f"--{name}_embeddings", tmp_path / f"{name}.h5"]
    outputs = ["--out", tmp_path / "a.json", "--out", tmp_path / "b.HTML"]
    assert command("visualize.py", "analyze", *words, *outputs).returncode == 0
    got = json.loads((tmp_path / "a.json").read_text())
    result = evaluate_retrieval(*(emb[rows] for rows in parts), *lists, "diagonal", "cityblock")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    place = {path: number for number, path in enumerate(images.paths)}
    assert len(got["confusions"]) == 2
    for one in got["confusions"]:
        query, image = place[one["example"]["query"]], place[one["example"]["image"]]
        assert images.identities[[query, image]].tolist() == [one["query_class"], one["found_class"]]
        assert one["example"]["distance"] == pytest.approx(np.abs(emb[query] - emb[image]).sum(), rel=1e-5)
    assert Parsed(tmp_path / "b.HTML").all("img")


@pytest.mark.slow
def test_of_a_run(run: RunFolder) -> None:
    """The network embeds the set, and the metrics are those that the evaluator writes of that checkpoint."""
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
