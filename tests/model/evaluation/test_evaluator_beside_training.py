"""The evaluator alongside and after a training, with broken checkpoints or embeddings, after an interruption."""

import shutil

import numpy as np
import pytest
from helpers.commands import command, process, start
from helpers.tiny import EVAL_SETS, make_run

from model.embedding.embedder import Embedder
from model.evaluation.evaluator import Evaluator, evaluate_all
from model.run import results
from model.run.checkpoint_files import UnreadableCheckpointError
from runtime.errors import UserError
from runtime.json_files import read_json_lines
from runtime.log import Log


def test_embeddings_that_are_nan_do_not_stop_the_evaluator(run, capsys, monkeypatch):
    embed, broken = Embedder.embed, iter([np.nan])

    def broken_once(self, *args):
        return embed(self, *args) * next(broken, 1)

    monkeypatch.setattr(Embedder, "embed", broken_once)
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {2, 4}
    out = capsys.readouterr().out
    assert "30 of 30 embeddings are NaN or infinite" in out
    assert "all remaining checkpoints are evaluated, except ckpt-0" in out


def test_results_of_repeated_steps_are_dropped(own_evaluated):
    assert results.forget_results_after(own_evaluated, 2) == 3
    assert {line["step"] for line in read_json_lines(own_evaluated.results)} == {0, 2}
    assert results.forget_results_after(own_evaluated, 2) == 0


def test_unreadable_checkpoints_are_skipped(run, capsys):
    evaluator = Evaluator(run, run.load_trained_params(), Log())
    for file in run.checkpoints.glob("ckpt-2.data*"):
        file.unlink()  # the index still exists, as in the middle of a deletion
    with pytest.raises(UnreadableCheckpointError):
        evaluator.evaluate(run.checkpoints / "ckpt-2")
    data = run.checkpoints / "ckpt-0.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])  # cut off, as on a full disk
    evaluate_all(run, run.load_trained_params(), Log())
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    out = capsys.readouterr().out
    assert "ckpt-2 cannot be read: ckpt-2.data-00000-of-00001 is missing; skipped" in out
    assert "ckpt-0 cannot be read" in out


def test_nothing_is_evaluated_twice_after_an_interruption(own_evaluated, capsys):
    run = own_evaluated
    lines = run.results.read_bytes().splitlines(keepends=True)
    run.results.write_bytes(b"".join(lines[:4]) + lines[4][:20])  # killed while writing
    evaluate_all(run, run.load_trained_params(), Log())
    assert "training has ended; all remaining checkpoints are evaluated" in capsys.readouterr().out
    again = read_json_lines(run.results)
    assert sorted((x["step"], x["set"]) for x in again) == sorted((s, n) for s in (0, 2, 4) for n in EVAL_SETS)


def test_nothing_could_be_evaluated(run):
    for file in run.checkpoints.glob("ckpt-*.data*"):
        file.write_bytes(b"cut short")
    with pytest.raises(UserError, match="no checkpoint could be evaluated"):
        evaluate_all(run, run.load_trained_params(), Log())


def test_once(run):
    done = process("evaluate.py", "--model_dir", run.folder, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    assert "ckpt-4: val_eval general_accuracy" in done.stdout
    again = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_run_once=true")
    assert "evaluated already" in again.stdout
    assert "cmc@1" in again.stdout


def test_it_ends_without_new_checkpoints(run):
    run.done.unlink()
    for said in ("no new checkpoint for 0.5 s", "no checkpoint in"):
        done = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_timeout_secs=0.5")
        assert done.returncode == 0
        assert said in done.stdout
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def test_started_together_with_the_training(dataset, tmp_path):
    """On an empty run: the evaluator waits, evaluates every checkpoint, and ends by itself."""
    run = make_run(tmp_path / "run", dataset, train_iterations=9)
    processes = [start(script, "--model_dir", run) for script in ("evaluate.py", "train.py")]
    (evaluated, errors), (_, train_errors) = [each.communicate(timeout=180) for each in processes]
    assert [each.returncode for each in processes] == [0, 0], errors + train_errors
    assert "waiting for the first checkpoint" in evaluated
    assert sorted({line["step"] for line in read_json_lines(run / "results.jsonl")}) == [0, 2, 4, 6, 8, 9]
    assert evaluated.count("val_eval general_accuracy") == 6
