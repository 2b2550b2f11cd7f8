"""evaluate.py beside and after a training, and that it leaves the run's own files alone."""

import shutil
from pathlib import Path

from helpers.commands import command, process, start
from helpers.tiny import make_run

from model.evaluation.evaluator import Evaluator
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines
from runtime.log import Log


def test_once(run):
    done = process("evaluate.py", "--model_dir", run.folder, "--once")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {line["step"] for line in read_json_lines(run.results)} == {4}
    assert "ckpt-4: val_eval general_accuracy" in done.stdout
    again = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_run_once=true")
    assert "evaluated already" in again.stdout
    assert "cmc@1" in again.stdout


def test_it_ends_when_nothing_comes(run):
    run.done.unlink()
    done = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_timeout_secs=0.5")
    assert done.returncode == 0
    assert "no new checkpoint for 0.5 s" in done.stdout
    shutil.rmtree(run.checkpoints)
    done = command("evaluate.py", "--model_dir", run.folder, "--set", "eval_timeout_secs=0.5")
    assert done.returncode == 0
    assert "no checkpoint in" in done.stdout


def test_started_together_with_the_training(dataset, tmp_path):
    """Both at the same moment on an empty run: it waits, evaluates every checkpoint kept, and ends by itself."""
    run = make_run(tmp_path / "run", dataset, train_iterations=9)
    processes = [start(script, "--model_dir", run) for script in ("evaluate.py", "train.py")]
    (evaluated, errors), (_, train_errors) = [each.communicate(timeout=180) for each in processes]
    assert [each.returncode for each in processes] == [0, 0], errors + train_errors
    assert "waiting for the first checkpoint" in evaluated
    assert sorted({line["step"] for line in read_json_lines(run / "results.jsonl")}) == [0, 2, 4, 6, 8, 9]
    assert evaluated.count("val_eval general_accuracy") == 6


def test_the_evaluator_writes_nothing_among_the_checkpoints(trained, evaluated):
    before, after = (
        {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        for folder in (trained / "checkpoints", evaluated.checkpoints)
    )
    assert before == after


def test_a_folder_that_is_moved_keeps_working(trained, tmp_path):
    moved = Path(shutil.copytree(trained, tmp_path / "somewhere else"))
    run = RunFolder(moved)
    assert [path.parent for path in Evaluator(run, run.load_trained_params(), Log()).pending()] == [
        moved / "checkpoints"
    ] * 3
