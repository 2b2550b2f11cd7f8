"""The evaluator when checkpoints or embeddings are broken, and after an interruption."""

import numpy as np
import pytest
from helpers.tiny import EVAL_SETS

from model.embedding.embedder import Embedder
from model.evaluation.evaluator import Evaluator, evaluate_all
from model.run import results
from model.run.checkpoint_files import UnreadableCheckpointError
from runtime.errors import UserError
from runtime.json_files import read_json_lines
from runtime.log import Log


def test_embeddings_that_are_no_numbers_do_not_stop_the_evaluator(run, capsys, monkeypatch):
    embed = Embedder.embed
    calls = []

    def broken_once(self, *args):
        calls.append(1)
        return embed(self, *args) * (np.nan if len(calls) == 1 else 1)

    monkeypatch.setattr(Embedder, "embed", broken_once)
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {2, 4}
    out = capsys.readouterr().out
    assert "30 of 30 embeddings are not finite" in out
    assert "all checkpoints that were kept are evaluated, except ckpt-0" in out


def test_results_of_repeated_steps_are_forgotten(own_evaluated):
    assert results.forget_results_after(own_evaluated, 2) == 3
    assert {line["step"] for line in read_json_lines(own_evaluated.results)} == {0, 2}
    assert results.forget_results_after(own_evaluated, 2) == 0


def test_checkpoints_that_cannot_be_read_are_left_out(run, capsys):
    evaluator = Evaluator(run, run.load_trained_params(), Log())
    for file in run.checkpoints.glob("ckpt-2.data*"):
        file.unlink()  # the index is still there: the moment of deletion
    with pytest.raises(UnreadableCheckpointError):
        evaluator.evaluate(run.checkpoints / "ckpt-2")
    data = run.checkpoints / "ckpt-0.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])  # and one whose disk was full
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    out = capsys.readouterr().out
    assert "ckpt-2 was deleted before it could be read; left out" in out
    assert "ckpt-0 cannot be read" in out


def test_nothing_is_evaluated_twice_after_an_interruption(own_evaluated, capsys):
    run = own_evaluated
    lines = run.results.read_bytes().splitlines(keepends=True)
    run.results.write_bytes(b"".join(lines[:4]) + lines[4][:20])  # killed while it wrote
    evaluate_all(run, run.load_trained_params(), Log())
    assert "training has ended and all checkpoints that were kept are evaluated" in capsys.readouterr().out
    again = read_json_lines(run.results)
    assert sorted((x["step"], x["set"]) for x in again) == sorted((s, n) for s in (0, 2, 4) for n in EVAL_SETS)


def test_nothing_could_be_evaluated(run):
    for file in run.checkpoints.glob("ckpt-*.data*"):
        file.write_bytes(b"cut short")
    with pytest.raises(UserError, match="none of its checkpoints could be evaluated"):
        evaluate_all(run, run.load_trained_params(), Log())
