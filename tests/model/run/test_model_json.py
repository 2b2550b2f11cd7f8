"""model.json: writing, reading, invalid files."""

import hashlib
import json

import pytest

from model.configuration.params import Params
from model.run.model_json import ExportedModel, find_threshold, read_model_json, write_model_json
from runtime.errors import UserError

PARAMS = Params(image_size=[16, 24], embedding_size=8)
LINE = {"step": 4, "set": "test", "checkpoint": "ckpt-4", "metrics": {"map": 0.5}, "definitions": {}, "counts": {}}
VALUES = {
    "format": "onnx",
    "file": "model.onnx",
    "sha256": hashlib.sha256(b"a model").hexdigest(),
    "quantize": None,
    "name": "run",
    "input": {
        "shape": [None, 16, 24, 3],
        "dtype": "uint8",
        "channels": "RGB",
        "resize": "bilinear",
        "pad_to_square": False,
    },
    "embedding_size": 8,
    "metric": "euclidean",
    "threshold": {"value": 0.25, "fpr": 0.001, "tpr": 0.75, "set": "test"},
    "checkpoint": "ckpt-4",
    "step": 4,
    "params": PARAMS.model_dump(),
    "results": [LINE],
    "data": None,
    "versions": {"exported": {"keras": "3"}, "trained": {}},
    "licence": {"code": "MIT"},
    "check": {
        "images": 100,
        "largest_difference": 1e-7,
        "embedding_length": 1,
        "recall@1": {"set": "test", "images": 30, "run": 0.5, "exported": 0.5},
    },
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.onnx").write_text("a model")
    write_model_json(tmp_path, ExportedModel.model_validate(VALUES))
    return tmp_path


def test_what_is_written_is_read_from_folder_and_file(folder):
    assert json.loads((folder / "model.json").read_text()) == VALUES
    for source in (folder, folder / "model.json", folder / "model.onnx"):
        model = read_model_json(source)
        assert model.model_dump(mode="json", by_alias=True) == VALUES
        assert model.path == folder / "model.onnx"
        assert model.trained_params == PARAMS
        assert model.check.recall.run == 0.5


def changed(*keys, value=None):
    values = json.loads(json.dumps(VALUES))
    within = values
    for key in keys[:-1]:
        within = within[key]
    if value is None:
        del within[keys[-1]]
    else:
        within[keys[-1]] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "invalid content: "),
        ({"name": "another program's"}, "invalid format: "),
        (changed("threshold"), "threshold: Field required"),
        (changed("step", value="4"), "step: "),
        (changed("threshold", "fpr", value="low"), "threshold.fpr: "),
        (changed("input", "shape", value=[None, 16, 24]), "input.shape"),
        (changed("input", "shape", value=[None, 16, 16, 3]), "input.shape is (None, 16, 16, 3), but its params say"),
        (changed("file", value="../model.onnx"), "must be the name of a file next to model.json"),
        (changed("file", value="other.onnx"), "other.onnx: no such file, but "),
        (changed("results", value=[{"step": 1}]), "entry 0 is not a line of results.jsonl"),
        (changed("embedding_size", value=9), "embedding_size is 9, but its params say 8"),
        (changed("metric", value="cosine"), "metric is cosine, but"),
        (changed("params", "metrc", value="cosine"), "unknown parameter 'metrc'; did you mean 'metric'"),
        (changed("params", "margin", value=-1), "margin is -1"),
    ],
)
def test_other_contents_are_refused_in_one_line(folder, values, message):
    (folder / "model.json").write_text(json.dumps(values))
    with pytest.raises(UserError) as error:
        read_model_json(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(folder):
    (folder / "other.onnx").write_text("a model")
    with pytest.raises(UserError, match=r"the model\.json in this folder describes model\.onnx"):
        read_model_json(folder / "other.onnx")
    (folder / "model.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="not UTF-8 text but UTF-16"):
        read_model_json(folder)
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"no model\.json in this folder; export the model"):
        read_model_json(folder)


def test_the_threshold_is_that_of_the_first_set_that_has_one():
    first = LINE | {"set": "val_eval", "metrics": {"general_accuracy": 0.5}}
    second = LINE | {"metrics": {"tpr@fpr=0.001": 0.75, "threshold@fpr=0.001": 0.25}}
    third = LINE | {"set": "query_gallery", "metrics": {"tpr@fpr=0.001": 0.5, "threshold@fpr=0.001": 0.5}}
    assert find_threshold([first, second, third]).model_dump() == VALUES["threshold"]
    assert find_threshold([first]) is None


def test_another_file_under_the_name_is_refused(folder):
    (folder / "model.onnx").write_text("b model")
    with pytest.raises(UserError, match=r"model.onnx: damaged, or not the file that .*model\.json describes"):
        read_model_json(folder)
