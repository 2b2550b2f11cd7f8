"""export.py from end to end: what it writes, what its card says, and what it refuses."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process, setting
from PIL import Image

from model import load
from model.configuration.params import Params
from model.exporting.formats import keras as keras_format
from model.exporting.request import load_format
from model.run.model_json import read_model_json
from runtime import plugins

FORMATS = plugins.choices("model.exporting.formats")


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with results."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("evaluated") / "a run"))
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    return run


def export(run, out, format="keras", *words):
    return command("export.py", "--model_dir", run, "--format", format, "--out", out, *words)


def refused(run, out, format="keras", *words):
    before = sorted(out.parent.rglob("*"))
    done = export(run, out, format, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert sorted(out.parent.rglob("*")) == before
    return done.stderr


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def results_of(run):
    return [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]


def check_the_code_of_the_card(expected):
    """Runs it here, where there are a.jpg and b.jpg."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", Path("model_card.md").read_text(), flags=re.DOTALL))
    names = {}
    exec(code, names)
    assert len(names["images"]) == 2
    assert np.abs(names["embeddings"] - expected).max() < 0.01 * np.abs(expected).max()  # Pillow resizes


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_gives_the_embeddings_of_the_run(evaluated, dataset, tmp_path, monkeypatch, format):
    """By its own runtime, for one and for three images, and by the code that the card shows."""
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
    told = dict(re.findall(r"^`(\w+)`, ckpt-4 .*?\n\n((?:\|.*\n)+)", card, flags=re.MULTILINE))
    assert told.keys() == lines.keys() == {"val_eval", "query_gallery", "test"}
    for name, line in lines.items():
        rows = [row.split(" | ") for row in told[name].splitlines()[2:]]
        assert {row[0].strip("| `"): float(row[1]) for row in rows} == line["metrics"]
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
    assert str(found["threshold@fpr=0.001"]) in card
    assert (model.check.recall.set, model.check.recall.run) == ("query_gallery", found["recall@1"])
    assert model.check.recall.exported == found["recall@1"]
    assert model.data["licence"] == model.licence["data"] == "none"
    assert "| origin | noise |" in card
    assert "| `embedding_size` | 8 |" in card


def test_sparse_results_and_data_of_ones_own(evaluated, own_dataset, tmp_path):
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    words = setting(dataset=str(own_dataset))
    definitions = {"dataset": str(own_dataset), "metric": "euclidean", "map": "a | b\nc"}
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


def test_a_run_of_half_precision_that_pads(evaluated, tmp_path, monkeypatch):
    out = tmp_path / "out"
    done = export(evaluated, out, "keras", *setting(precision="mixed_bfloat16", pad_to_square=True))
    assert done.returncode == 0, done.stderr
    assert read_model_json(out).check.largest_difference == 0
    assert "| arithmetic | float32; it was trained in mixed_bfloat16 |" in (out / "model_card.md").read_text()
    with zipfile.ZipFile(out / "model.keras") as file:
        assert b"bfloat16" not in file.read("config.json")
    random = np.random.default_rng(0)
    monkeypatch.chdir(out)
    for name, shape in (("a.jpg", (4, 7, 3)), ("b.jpg", (9, 3, 3))):  # that grow: there every resizing is the same
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(name)
    check_the_code_of_the_card(load(out).embed(["a.jpg", "b.jpg"]))


def test_an_earlier_export_is_replaced_as_a_whole(evaluated, tmp_path):
    out = tmp_path / "made" / "out"
    assert export(evaluated, out).returncode == 0
    assert export(evaluated, out, "savedmodel", "--checkpoint", "ckpt-2").returncode == 0
    assert names_in(out) == ["model.json", "model_card.md", "saved_model"]
    model = read_model_json(out)
    assert (model.checkpoint, model.results, model.threshold) == ("ckpt-2", [], None)
    assert "No evaluation of this checkpoint was recorded." in (out / "model_card.md").read_text()
    assert names_in(out.parent) == ["out"]


def test_a_difference_is_exit_code_1_and_leaves_everything_as_it_was(evaluated, tmp_path, monkeypatch):
    out = tmp_path / "made" / "out"
    assert export(evaluated, out, "keras").returncode == 0
    before = (out / "model.json").read_bytes()
    opened = keras_format.open_model
    for error in (0.002, np.nan):
        monkeypatch.setattr(keras_format, "open_model", lambda path, by=error: lambda images: opened(path)(images) + by)
        done = export(evaluated, out)
        assert done.returncode == 1
        assert done.stderr.startswith("error: --format keras: its embeddings differ from the run's by ")
        assert done.stderr.count("\n") == 1
        assert export(evaluated, tmp_path / "made" / "new").returncode == 1
        assert names_in(out.parent) == ["out"]
        assert (out / "model.json").read_bytes() == before


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_its_runtime_cannot_open(evaluated, tmp_path, monkeypatch, format):
    module = load_format(format)
    monkeypatch.setattr(module, "write", lambda model, path, quantize, images: path.write_bytes(b"PK nothing"))
    message = refused(evaluated, tmp_path / "out", format)
    assert f"--format {format} fails for this network (" in message


def test_images_stand_in_for_a_data_set_that_is_gone(evaluated, dataset, tmp_path):
    gone = setting(dataset="gone")
    message = refused(evaluated, tmp_path / "out", "keras", *gone)
    assert "there is no gone/dataset.json" in message
    assert "or name other images of that kind by --images" in message
    done = export(evaluated, tmp_path / "out", "litert", *gone, "--quantize", "int8", "--images", dataset / "images")
    assert done.returncode == 0, done.stderr
    model = read_model_json(tmp_path / "out")
    assert (model.check.images, model.check.recall, model.data) == (30, None, None)
    assert model.quantize == "int8"
    assert 1e-4 < model.check.largest_difference < 0.1 * model.check.embedding_length  # it is quantized, and it works


def test_what_is_refused(evaluated, trained, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for format in ("keras", "savedmodel"):
        message = refused(evaluated, out, format, "--quantize", "int8")
        assert f"--quantize int8: not for --format {format}; it is for litert and onnx" in message
    assert "invalid choice: 'h5'" in refused(evaluated, out, "h5")
    assert "there is no checkpoint 'ckpt-3'" in refused(evaluated, out, "keras", "--checkpoint", "ckpt-3")
    assert "there is no checkpoint 'best'" in refused(trained, out, "keras", "--checkpoint", "best")
    assert "no such file or folder" in refused(evaluated, out, "keras", "--images", tmp_path / "none")
    for name in ("onnxruntime", "tf2onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    message = refused(evaluated, out, "onnx")
    assert "--format onnx needs tf2onnx, onnxruntime: pip install -r requirements_export.txt" in message


def test_folders_of_others_are_left_alone(evaluated, tmp_path):
    out = tmp_path / "out"
    out.write_text("a file")
    assert "it is a file; name a folder" in refused(evaluated, out)
    out.unlink()
    out.mkdir()
    (out / "thesis.tex").write_text("")
    assert "there is thesis.tex in it" in refused(evaluated, out)
    (out / "thesis.tex").rename(out / "model.json")
    assert "malformed JSON" in refused(evaluated, out)
    (out / "model.json").write_text('{"format": "another program\'s"}')
    assert "its model.json is none of export.py's" in refused(evaluated, out)
    (out / "model.json").rename(out / "model.keras")
    assert "its model.json is none of export.py's" in refused(evaluated, out)
    assert "cannot write /proc/out" in export(evaluated, Path("/proc/out")).stderr


def test_a_damaged_run(evaluated, tmp_path):
    run = Path(shutil.copytree(evaluated, tmp_path / "runs" / "run"))
    out = tmp_path / "exports" / "out"
    out.parent.mkdir()
    (run / "results.jsonl").write_text("[]\n")
    assert "line 1 is not a result" in refused(run, out)
    shutil.copy(evaluated / "results.jsonl", run)
    index = next((run / "best").glob("*.index"))
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(run, out)
    (run / "params.resolved.json").write_text("{")
    assert "malformed JSON" in refused(run, out)


def test_mistakes_are_answered_before_tensorflow(evaluated, tmp_path):
    words = ["--model_dir", str(evaluated), "--format", "litert", "--out", str(tmp_path / "out"), "--images", "none"]
    check = (
        "import sys\n"
        "import export\n"
        "try:\n"
        f"    export.main({words!r})\n"
        "except Exception as error:\n"
        '    sys.exit(f\'{error}; imported {sys.modules.keys() & {"tensorflow", "keras", "ai_edge_litert"}}\')\n'
    )
    assert process("-c", check).stderr == "none: no such file or folder; imported set()\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["keras"], ["savedmodel"], *([each, "--quantize", "int8"] for each in ("litert", "onnx"))]
)
def test_only_its_own_lines_are_printed(evaluated, tmp_path, words):
    done = process("export.py", "--model_dir", evaluated, "--out", tmp_path / "out", "--format", *words)
    assert (done.returncode, done.stderr) == (0, "")
    begins = ["exporting ", "compared 30 of 30 images", "largest difference of a coordinate", "Recall@1 over", "wrote "]
    lines = done.stdout.splitlines()
    assert len(lines) == len(begins)
    assert all(line.startswith(begin) for line, begin in zip(lines, begins, strict=True))
