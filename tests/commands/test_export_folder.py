"""The folder that export.py writes: replaced as a whole or not at all, and which folders are refused."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import ROOT, process
from helpers.exporting import export, names_in, refused

from model.exporting.formats import keras as keras_format
from model.exporting.request import load_format
from model.run.model_json import read_model_json
from runtime import plugins

FORMATS = plugins.choices("model.exporting.formats")


def test_an_earlier_export_is_replaced_as_a_whole(evaluated, tmp_path):
    out = tmp_path / "made" / "out"
    assert export(evaluated, out).returncode == 0
    assert export(evaluated, out, "savedmodel", "--checkpoint", "ckpt-2").returncode == 0
    assert names_in(out) == ["model.json", "model_card.md", "saved_model"]
    model = read_model_json(out)
    assert (model.checkpoint, model.results, model.threshold) == ("ckpt-2", [], None)
    assert "No evaluation of this checkpoint was recorded." in (out / "model_card.md").read_text()
    assert names_in(out.parent) == ["out"]


def test_a_difference_is_exit_code_1_and_changes_nothing(evaluated, tmp_path, monkeypatch):
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


def test_invalid_requests_are_refused(evaluated, trained, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for format in ("keras", "savedmodel"):
        message = refused(evaluated, out, format, "--quantize", "int8")
        assert f"--quantize int8 is not available for --format {format}, only for litert and onnx" in message
    assert "invalid choice: 'h5'" in refused(evaluated, out, "h5")
    assert "there is no checkpoint 'ckpt-3'" in refused(evaluated, out, "keras", "--checkpoint", "ckpt-3")
    assert "there is no checkpoint 'best'" in refused(trained, out, "keras", "--checkpoint", "best")
    assert "no such file or folder" in refused(evaluated, out, "keras", "--images", tmp_path / "none")
    for name in ("onnxruntime", "tf2onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    message = refused(evaluated, out, "onnx")
    assert "--format onnx needs tf2onnx, onnxruntime: pip install -r requirements_export.txt" in message


def test_folders_with_other_files_are_refused(evaluated, tmp_path):
    out = tmp_path / "out"
    out.write_text("a file")
    assert "it is a file; name a folder" in refused(evaluated, out)
    out.unlink()
    out.mkdir()
    (out / "thesis.tex").write_text("")
    assert "it contains thesis.tex" in refused(evaluated, out)
    (out / "thesis.tex").rename(out / "model.json")
    assert "malformed JSON" in refused(evaluated, out)
    (out / "model.json").write_text('{"format": "another program\'s"}')
    assert "its model.json was not written by export.py" in refused(evaluated, out)
    (out / "model.json").rename(out / "model.keras")
    assert "its model.json was not written by export.py" in refused(evaluated, out)
    for folder in (ROOT, ROOT.parent):
        done = export(evaluated, folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the current folder cannot be replaced" in done.stderr


def test_an_earlier_export_opened_in_a_file_browser(evaluated, tmp_path):
    out = tmp_path / "out"
    assert export(evaluated, out).returncode == 0
    (out / ".DS_Store").write_text("")
    assert export(evaluated, out).returncode == 0
    (out / ".git").mkdir()
    assert "it contains .git" in refused(evaluated, out)


def test_files_added_during_an_export_are_not_lost(evaluated, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert export(evaluated, out).returncode == 0
    write = keras_format.write

    def write_late(*args):
        (out / "notes.txt").write_text("mine")
        write(*args)

    monkeypatch.setattr(keras_format, "write", write_late)
    assert "it contains notes.txt" in export(evaluated, out).stderr
    assert names_in(out) == ["model.json", "model.keras", "model_card.md", "notes.txt"]
    assert names_in(tmp_path) == ["out"]


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "/proc/out"], "cannot write /proc/out: No such file or directory"),
        (["--out", "new", "--images", "none"], "none: no such file or folder"),
    ],
)
def test_invalid_input_is_refused_before_tensorflow_is_imported(evaluated, words, message):
    words = ["--model_dir", str(evaluated), "--format", "litert", *words]
    check = (
        "import sys\n"
        "import export\n"
        "try:\n"
        f"    export.main({words!r})\n"
        "except Exception as error:\n"
        '    sys.exit(f\'{error}; imported {sys.modules.keys() & {"tensorflow", "keras", "ai_edge_litert"}}\')\n'
    )
    assert process("-c", check).stderr == f"{message}; imported set()\n"
