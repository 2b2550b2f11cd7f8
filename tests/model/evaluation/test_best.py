"""The best checkpoint when best.json is lost, damaged or of another metric."""

import json

import pytest
from helpers.evaluations import result

from model.evaluation.best import keep_best, mend_best
from model.run.best_json import read_best
from model.run.checkpoint_files import find_checkpoint
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import append_json_line

CHOICE = ("val_eval", "general_accuracy")
DAMAGES = [None, b"", b"{}", b"[]", b"5", b"\xff\0", b'{"step": 2, "checkpoint": "../x", "set": "a", "metric": "b"}']


@pytest.fixture
def judged(run: RunFolder) -> RunFolder:
    """ckpt-2 is the best by general accuracy, ckpt-0 by easy accuracy; the training has deleted ckpt-2."""
    for step, general, easy in ((0, 0.2, 0.9), (2, 0.8, 0.5), (4, 0.5, 0.6)):
        line = result(step, general)
        line["metrics"]["easy_accuracy"] = easy
        append_json_line(run.results, line)
        keep_best(run, run.checkpoints / f"ckpt-{step}", *CHOICE, {"val_eval": line["metrics"]})
    for file in run.checkpoints.glob("ckpt-2.*"):
        file.unlink()
    return run


def kept(run: RunFolder) -> set[str]:
    return {file.stem for file in run.best.glob("*.index")}


@pytest.mark.parametrize("content", DAMAGES)
def test_best_json_is_rebuilt(judged, content):
    before = judged.best_json.read_bytes()
    judged.best_json.write_bytes(content) if content is not None else judged.best_json.unlink()
    if content is not None:
        with pytest.raises(UserError, match=r"best\.json.*evaluate.py rebuilds it"):
            find_checkpoint(judged.folder, "best")
    (judged.best / ".ckpt-9.index.tmp").touch()
    note = mend_best(judged, {}, *CHOICE)
    assert f"rebuilt from {judged.results}: the best by val_eval/general_accuracy is ckpt-2 (0.8)" in note
    assert json.loads(judged.best_json.read_bytes()) == json.loads(before)
    assert len(list(judged.best.iterdir())) == 2
    assert mend_best(judged, {}, *CHOICE) is None
    assert not keep_best(judged, judged.checkpoints / "ckpt-4", *CHOICE, {"val_eval": {"general_accuracy": 0.6}})


def test_another_metric_chooses_again_and_deletes_nothing(judged):
    assert "easy_accuracy is ckpt-0" in mend_best(judged, {}, "val_eval", "easy_accuracy")
    assert read_best(judged.folder).checkpoint == "ckpt-0"
    assert kept(judged) == {"ckpt-0", "ckpt-2"}
    assert "general_accuracy is ckpt-2" in mend_best(judged, {}, *CHOICE)


def test_the_best_is_gone_altogether(judged):
    for file in judged.best.iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"names ckpt-2, but .*ckpt-2.index is missing"):
        find_checkpoint(judged.folder, "best")
    assert "is ckpt-4 (0.5); ckpt-2 had more, but the files are gone" in mend_best(judged, {}, *CHOICE)
    assert kept(judged) == {"ckpt-4"}
