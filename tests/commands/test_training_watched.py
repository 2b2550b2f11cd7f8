"""Plateaus and early stopping, with evaluate.py as a second process."""

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from helpers.commands import start, wait_for
from helpers.evaluations import write_results
from helpers.tiny import make_run

import train
from runtime.json_files import read_json_lines


def test_results_lower_the_learning_rate_and_end_the_training(dataset, tmp_path, capsys):
    """One run, started several times, with results that an evaluator might have written alongside."""
    common = {"save_summary_steps": 1, "save_checkpoints_steps": 1, "learning_rate": 0.008, "csv_log": True}
    common |= {"backbone_learning_rate": 0.004, "warmup_steps": 4, "plateau_factor": 0.5}
    common |= {"plateau_evaluations": 2, "early_stopping_evaluations": 5}
    run = make_run(tmp_path / "run", dataset, **common)

    def go(steps: int, *more: str) -> str:
        assert train.main(["--model_dir", str(run), "--set", f"train_iterations={steps}", *more]) == 0
        return capsys.readouterr().out

    assert "start evaluate.py alongside" in go(4)
    write_results(run, {0: 0.5, 1: 0.75, 3: 0.25, 2: 0.5})  # not in order
    assert "step 4: plateau: val_eval/general_accuracy not above 0.75 since ckpt-1; learning rate at 0.5" in go(6)
    assert read_json_lines(run / "plateau.jsonl") == [
        {"step": 4, "factor": 0.5, "best_step": 1, "best": 0.75, "last_evaluated_step": 3}
    ]
    write_results(run, {4: 0.5, 5: 0.5})  # ckpt-4 still learned with the higher rate
    out = go(8)
    assert "learning rate at 0.5 of its schedule since step 4" in out
    assert "plateau:" not in out
    lines = read_json_lines(run / "metrics.jsonl")
    expected = [0.008 * min((step + 1) / 4, 1) * (0.5 if step >= 4 else 1) for step in range(8)]
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected)
    assert [line["backbone_learning_rate"] for line in lines] == pytest.approx([rate / 2 for rate in expected])
    write_results(run, {6: 0.75})
    out = go(20)
    reason = "in the last 5 evaluations val_eval/general_accuracy was not above 0.75 of ckpt-1"
    assert f"stopped early at step 8 of 20: {reason}" in out
    assert (run / "DONE").read_text() == f"8\nstopped early: {reason}\n"
    assert f"nothing to do: stopped early at step 8: {reason}" in go(20)
    assert "nothing to do" not in go(9, "--set", "early_stopping_evaluations=6")
    assert (run / "DONE").read_text() == "9\n"
    assert [line["step"] for line in read_json_lines(run / "plateau.jsonl")] == [4, 8]
    # Back to an older checkpoint: drops the steps after it, with their results and the second reduction.
    for step in (7, 8, 9):
        for file in (run / "checkpoints").glob(f"ckpt-{step}.*"):
            file.unlink()
    out = go(7, "--set", "early_stopping_evaluations=6", "--set", "plateau_evaluations=3")
    assert f"resumed from {run}/checkpoints/ckpt-6" in out
    assert [line["step"] for line in read_json_lines(run / "plateau.jsonl")] == [4]
    lines = read_json_lines(run / "metrics.jsonl")
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected[:7])
    for table in ("results.csv", "metrics.csv"):
        assert len((run / table).read_text().splitlines()) == 8


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of a test, which are killed at its end."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_trainer_and_evaluator_as_two_processes_each_restarted(dataset, tmp_path, started):
    """The network hardly learns, so no evaluation is better than the first. Both processes are killed once."""
    options = {"learning_rate": 1e-12, "use_batch_norm": False, "train_iterations": 10**6, "save_summary_steps": 1}
    options |= {"save_checkpoints_steps": 10, "save_picture_steps": None, "keep_checkpoints": None}
    options |= {"plateau_evaluations": 2, "plateau_factor": 0.5, "early_stopping_evaluations": 10**6}
    options |= {"eval_interval_secs": 0.1, "eval_pictures": False, "eval_sets": ["val_eval"]}
    run = make_run(tmp_path / "run", dataset, **options)
    logs = {name: tmp_path / f"{name}.log" for name in ("train", "evaluate")}

    def begin(name: str, *more: str) -> subprocess.Popen[str]:
        with open(logs[name], "a") as log:
            started.append(start(f"{name}.py", "--model_dir", run, *more, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    def reductions() -> list[dict]:
        return read_json_lines(run / "plateau.jsonl")

    trainer, evaluator = begin("train"), begin("evaluate")
    wait_for(lambda: len(reductions()) == 1, trainer, evaluator)
    evaluator.kill()
    evaluator.wait()
    (first,) = reductions()
    time.sleep(2)  # new checkpoints, but no evaluations
    assert reductions() == [first]
    trainer.kill()
    trainer.wait()
    trainer = begin("train")  # alone: it must know the reduction, and not repeat it
    wait_for(lambda: "resumed from" in logs["train"].read_text(), trainer)
    evaluator = begin("evaluate")
    wait_for(lambda: len(reductions()) == 2, trainer, evaluator)
    trainer.send_signal(signal.SIGTERM)
    assert trainer.wait(timeout=240) == 0
    evaluated = len(read_json_lines(run / "results.jsonl"))
    trainer = begin("train", "--set", f"early_stopping_evaluations={evaluated + 8}")
    assert [process.wait(timeout=240) for process in (trainer, evaluator)] == [0, 0]

    last = int((run / "DONE").read_text().split("\n")[0])
    said = logs["train"].read_text()
    assert f"stopped early at step {last} of 1000000: in the last " in said
    assert "evaluations val_eval/general_accuracy was not above" in said
    assert "training has ended; all remaining checkpoints are evaluated" in logs["evaluate"].read_text()
    results = read_json_lines(run / "results.jsonl")
    steps = sorted(line["step"] for line in results)
    assert steps == sorted(int(file.stem.split("-")[1]) for file in (run / "checkpoints").glob("*.index"))
    assert len({line["metrics"]["general_accuracy"] for line in results}) == 1  # so the first one stays the best
    lines = reductions()
    assert [line["factor"] for line in lines] == [0.5**n for n in range(1, len(lines) + 1)]
    since = 0
    for line in lines:
        assert line["best_step"] == 0
        assert len([step for step in steps if since < step <= line["last_evaluated_step"]]) >= 2
        assert line["last_evaluated_step"] <= line["step"]
        since = line["step"]
    metrics = read_json_lines(run / "metrics.jsonl")
    assert [line["step"] for line in metrics] == list(range(1, last + 1))
    for line in metrics:
        factor = [1.0, *(each["factor"] for each in lines if each["step"] < line["step"])][-1]
        assert line["learning_rate"] == pytest.approx(1e-12 * factor)
