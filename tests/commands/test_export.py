"""export.py from end to end: the files it writes, and the content of the card."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process, setting
from helpers.exporting import export, names_in, refused
from helpers.tiny import make_run
from PIL import Image

from model import load
from model.configuration.params import Params
from model.exporting.comparison import Comparison
from model.exporting.request import load_format
from model.exporting.sample import Sample
from model.run.model_json import read_model_json
from runtime import plugins

FORMATS = plugins.choices("model.exporting.formats")


def results_of(run):
    return [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]


def check_the_code_of_the_card(expected):
    """Runs it in the current folder, which has a.jpg and b.jpg."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", Path("model_card.md").read_text(), flags=re.DOTALL))
    names = {}
    exec(code, names)
    assert len(names["images"]) == 2
    assert np.abs(names["embeddings"] - expected).max() < 0.01 * np.abs(expected).max()  # Pillow resizes


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_gives_the_embeddings_of_the_run(evaluated, dataset, tmp_path, monkeypatch, format):
    """With its own runtime, for one and for three images, and with the code in the card."""
    done = export(evaluated, tmp_path / "out", format)
    assert done.returncode == 0, done.stderr
    model = read_model_json(tmp_path / "out")
    assert (model.format, model.checkpoint, model.name) == (format, "ckpt-4", "a run")
    assert names_in(tmp_path / "out") == sorted(["model.json", "model_card.md", model.file])
    assert model.check.images == 30
    assert model.check.largest_difference < 1e-5

    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    run = load(evaluated)
    expected = run.embed(list(pixels))
    opened = load_format(format).open_model(model.path)
    np.testing.assert_allclose(opened(pixels), expected, atol=1e-5)
    np.testing.assert_allclose(opened(pixels[:1]), expected[:1], atol=1e-5)

    for name in ("a.jpg", "b.jpg"):  # of another size, and turned by a camera
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.repeat(np.repeat(pixels[0], 2, 0), 4, 1)).save(tmp_path / "out" / name, exif=exif)
    monkeypatch.chdir(tmp_path / "out")
    check_the_code_of_the_card(run.embed(["a.jpg", "b.jpg"]))


def test_the_card_has_the_numbers_of_the_results(evaluated, tmp_path):
    lines = {line["set"]: line for line in results_of(evaluated)}
    assert export(evaluated, tmp_path / "out").returncode == 0
    card = (tmp_path / "out" / "model_card.md").read_text()
    tables = dict(re.findall(r"^Evaluation set `(\w+)`, .*?\n\n((?:\|.*\n)+)", card, flags=re.MULTILINE))
    assert tables.keys() == lines.keys() == {"val_eval", "query_gallery", "test"}
    for name, line in lines.items():
        rows = [row.split(" | ") for row in tables[name].splitlines()[2:]]
        assert {row[0].strip("| `"): float(row[1]) for row in rows} == pytest.approx(line["metrics"], rel=1e-3)
        assert all(len(row[1]) <= 9 for row in rows)  # four digits
        for metric, definition in line["definitions"].items():
            if metric in line["metrics"]:
                assert any(row[0] == f"| `{metric}`" and definition in row[2].replace("\\|", "|") for row in rows)

    model = read_model_json(tmp_path / "out")
    assert model.results == [{key: line[key] for key in line if key != "breakdown"} for line in lines.values()]
    found = lines["query_gallery"]["metrics"]
    assert model.threshold.model_dump() == {
        "value": found["threshold@fpr=0.001"],
        "tpr": found["tpr@fpr=0.001"],
        "fpr": 0.001,
        "set": "query_gallery",
    }
    assert f"if their distance is below {found['threshold@fpr=0.001']:.4g}." in card
    assert (model.check.recall.set, model.check.recall.run) == ("query_gallery", found["recall@1"])
    assert model.check.recall.exported == found["recall@1"]
    assert model.data["licence"] == model.licence["data"] == "none"
    assert "| origin | noise |" in card
    assert "| `embedding_size` | 8 |" in card


def test_sparse_results_and_a_custom_data_set(evaluated, own_dataset, tmp_path):
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    words = setting(dataset=str(own_dataset))
    definitions = {"dataset": results_of(run)[0]["definitions"]["dataset"], "metric": "euclidean", "map": "a | b\nc"}
    line = {"step": 4, "set": "mine", "checkpoint": "ckpt-4", "metrics": {"map": 0.25}, "definitions": definitions}
    (run / "results.jsonl").write_text(json.dumps(line) + "\n")
    (own_dataset / "dataset.json").write_text('{"image_root": ".", "licence": 5, "counts": 7, "name": null}')
    done = export(run, tmp_path / "out", "keras", *words)
    assert done.returncode == 0, done.stderr
    model = read_model_json(tmp_path / "out")
    assert (model.results, model.threshold, model.licence["data"]) == ([line], None, "5")
    assert "| `map` | 0.25 | a \\| b c |" in (tmp_path / "out" / "model_card.md").read_text()


def test_load_opens_what_was_exported_bit_for_bit(evaluated, dataset, tmp_path):
    export(evaluated, tmp_path / "out")
    files = sorted(map(str, dataset.rglob("*.jpg")))[:9]
    exported = load(tmp_path / "out")
    np.testing.assert_array_equal(exported.embed(files), load(evaluated).embed(files))
    assert exported.threshold == load(evaluated).threshold
    assert exported.params == Params(**json.loads((tmp_path / "out" / "model.json").read_text())["params"])


def test_a_run_of_half_precision_that_pads(dataset, tmp_path, monkeypatch):
    """The loaded run is the oracle for its own precision."""
    run = make_run(tmp_path / "run", dataset, precision="mixed_bfloat16", pad_to_square=True)
    assert command("train.py", "--model_dir", run).returncode == 0
    out = tmp_path / "out"
    done = export(run, out)
    assert done.returncode == 0, done.stderr
    assert read_model_json(out).check.largest_difference < 1e-5
    card = (out / "model_card.md").read_text()
    assert "| precision | float32; trained in mixed_bfloat16 |" in card
    with zipfile.ZipFile(out / "model.keras") as file:
        assert b"bfloat16" not in file.read("config.json")

    files = sorted(map(str, dataset.rglob("*.jpg")))
    difference = np.abs(load(run).embed(files) - load(out).embed(files)).max()
    assert difference > 1e-4
    assert "network in float32, over 30 images (query_gallery): largest difference of a coordinate " in done.stdout
    (sentence,) = [line for line in done.stdout.splitlines() if line.startswith("The run itself computes in mixed_bf")]
    assert float(re.search(r"by up to ([\d.e-]+\d)", sentence).group(1)) == pytest.approx(difference, rel=0.05)
    assert sentence in card

    random = np.random.default_rng(0)
    monkeypatch.chdir(out)
    for name, shape in (("a.jpg", (4, 7, 3)), ("b.jpg", (9, 3, 3))):  # enlarged, for which all resizing functions agree
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(name)
    check_the_code_of_the_card(load(out).embed(["a.jpg", "b.jpg"]))


def test_results_are_found_after_the_data_set_has_moved(evaluated, own_dataset, tmp_path):
    done = export(evaluated, tmp_path / "out", "keras", *setting(dataset=str(own_dataset)))
    assert done.returncode == 0, done.stderr
    model = read_model_json(tmp_path / "out")
    assert {line["set"] for line in model.results} == {"val_eval", "query_gallery", "test"}
    assert model.threshold.set == "query_gallery"
    assert model.params["dataset"] == str(own_dataset)


def test_a_threshold_is_for_the_metric_of_the_model(evaluated, tmp_path):
    assert export(evaluated, tmp_path / "out", "keras", *setting(metric="cosine")).returncode == 0
    model = read_model_json(tmp_path / "out")
    assert (model.metric, model.results, model.threshold) == ("cosine", [], None)


@pytest.mark.parametrize("length", [0.5, 100])
def test_the_number_that_is_compared_with_the_limit_is_printed(evaluated, tmp_path, monkeypatch, length):
    """A difference of 0.05 is too large, unless embeddings have length 100."""
    of_run = np.array([[length, 0], [0, length]], np.float32)
    found = Comparison(Sample(["a", "b"], np.ones(2, np.uint8), "two"), of_run, of_run + np.float32(0.05))
    monkeypatch.setattr("model.exporting.exporter.compare", lambda *_: found)
    done = export(evaluated, tmp_path / "out")
    if length > 1:
        assert (
            "(two): largest difference of a coordinate 0.05, 0.0005 of the mean embedding length 100 (limit 0.001)\n"
            in done.stdout
        )
        card = (tmp_path / "out" / "model_card.md").read_text()
        assert (
            "coordinate is 0.05; divided by the mean length of the embeddings (100) it is 0.0005 (limit 0.001)" in card
        )
    else:
        assert "(two): largest difference of a coordinate 0.05 (limit 0.001)\n" in done.stdout
        assert "differ from the run's by 0.05; the limit is 0.001, so nothing was written" in done.stderr


def test_images_replace_a_missing_data_set(evaluated, dataset, tmp_path):
    gone = setting(dataset="gone")
    message = refused(evaluated, tmp_path / "out", "keras", *gone)
    assert "there is no gone/dataset.json" in message
    assert "or give other images of that kind with --images" in message
    done = export(evaluated, tmp_path / "out", "litert", *gone, "--quantize", "int8", "--images", dataset / "images")
    assert done.returncode == 0, done.stderr
    model = read_model_json(tmp_path / "out")
    assert (model.check.images, model.check.recall, model.data) == (30, None, None)
    assert model.quantize == "int8"
    assert 1e-4 < model.check.largest_difference < 0.1 * model.check.embedding_length  # it is quantized, and it works


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["keras"], ["savedmodel"], *([each, "--quantize", "int8"] for each in ("litert", "onnx"))]
)
def test_only_its_own_lines_are_printed(evaluated, tmp_path, words):
    done = process("export.py", "--model_dir", evaluated, "--out", tmp_path / "out", "--format", *words)
    assert (done.returncode, done.stderr) == (0, "")
    begins = ["exporting ", "compared 30 of 30 images", "compared with the run's network", "Recall@1 over", "wrote "]
    lines = done.stdout.splitlines()
    assert len(lines) == len(begins)
    assert all(line.startswith(begin) for line, begin in zip(lines, begins, strict=True))
