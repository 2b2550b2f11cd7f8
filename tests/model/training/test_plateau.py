"""Plateau and early stopping: the rules against a plain restatement and Keras, then trainings that read results."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.commands import ROOT, environment
from helpers.evaluations import result, write_results
from helpers.tiny import make_run

import train
from model.configuration.loading import check_params
from model.evaluation.best import best_metric
from model.evaluation.sets import load_evaluation_sets
from model.run import results
from model.run.done import stopped_early, write_done
from model.run.run_folder import RunFolder
from model.training.plateau import Evaluation, Plateau, Standing, standing_of
from model.training.supervisor import EvaluationWatch, Supervisor, Watched, reason_to_stop
from runtime.errors import UserError
from runtime.json_files import append_json_line, read_json_lines
from runtime.log import Log

WATCHED = Watched("val_eval", "general_accuracy")


def params_of(**values):
    return check_params({"dataset": "some data"} | values, "test")


# The rules


@pytest.mark.parametrize(
    ("values", "least", "best", "later"),
    [
        ([], 0, None, []),
        ([0.5], 0, 0, []),
        ([0.5, 0.5], 0, 0, [1]),  # no better
        ([0.5, 0.75, 0.5, 0.75], 0, 1, [2, 3]),
        ([0.5, 0.75], 0.25, 0, [1]),  # not by more than that
        ([0.5, 0.625, 0.75, 0.875], 0.25, 3, []),  # small steps add up: what is better than the best counts
        ([0.5, 0.25, 1.0], 0, 2, []),
        ([-3.0, -2.0], 0, 1, []),
    ],
)
def test_best_and_what_came_later(values, least, best, later):
    evaluations = [Evaluation(step, value) for step, value in enumerate(values)]
    expected = Standing(evaluations[best] if best is not None else None, [evaluations[i] for i in later])
    assert standing_of(evaluations, least) == expected
    assert standing_of(reversed(evaluations), least) == expected  # in whatever order they come


def restated(arrived: list[Evaluation], least_improvement: float) -> list[int]:
    """The steps of the evaluations that were better than all before them: each against every earlier better one."""
    better: list[Evaluation] = []
    for step in sorted(each.step for each in arrived):
        (value,) = [each.value for each in arrived if each.step == step]
        if all(value > other.value + least_improvement for other in better):
            better.append(Evaluation(step, value))
    return [each.step for each in better]


@pytest.mark.parametrize("seed", range(60))
def test_reductions_and_the_end_equal_a_plain_restatement(tmp_path, seed):
    """Evaluations come late, in any order, and some never; training is killed now and then and repeats steps."""
    random = np.random.default_rng(seed)
    n, stop = int(random.integers(1, 4)), int(random.integers(2, 8))
    least = float(random.choice([0.0, 0.125, 0.25]))
    params = params_of(
        plateau_evaluations=n,
        early_stopping_evaluations=stop,
        least_improvement=least,
        plateau_factor=0.5,
        plateau_least_fraction=0.2,
    )
    every, total = int(random.integers(1, 5)), 80
    values = {step: float(random.integers(0, 9)) / 8 for step in range(0, total, every) if random.random() < 0.9}
    arrives = {step: step + int(random.integers(0, 12)) for step in values}
    plateau = Plateau(tmp_path / "plateau.jsonl", params, 0)
    reductions: list[int] = []
    step, kills = 0, 4
    while step < total:
        if kills and random.random() < 0.04:  # back to the last checkpoint; what is evaluated there goes, too
            kills -= 1
            step = step // every * every
            arrives = {at: max(when, step) if at <= step else when for at, when in arrives.items()}
            reductions = [at for at in reductions if at <= step]
            plateau = Plateau(tmp_path / "plateau.jsonl", params, step)
        arrived = [Evaluation(at, value) for at, value in values.items() if arrives[at] <= step and at <= step]
        random.shuffle(arrived)
        standing = standing_of(arrived, least)
        best = max(restated(arrived, least), default=None)
        behind = [each.step for each in arrived if best is not None and each.step > best]
        assert (reason_to_stop(params, "x", standing) is not None) == (len(behind) >= stop)
        lowered = plateau.update(step, standing)
        counted = [at for at in behind if all(at > reduction for reduction in reductions)]
        assert lowered == (len(counted) >= n and 0.5 ** len(reductions) > 0.2)
        reductions += [step] if lowered else []
        assert plateau.factor == max(0.5 ** len(reductions), 0.2)
        step += 1
    lines = read_json_lines(tmp_path / "plateau.jsonl")
    assert [line["step"] for line in lines] == reductions


class Recorder:
    """What a Keras callback needs of a model."""

    def __init__(self):
        self.optimizer, self.stop_training = keras.optimizers.SGD(1.0), False


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_it_does_what_keras_does_where_evaluations_are_seen_at_once(tmp_path, seed, patience):
    random = np.random.default_rng(seed)
    values = (random.integers(0, 9, 40) / 8).tolist()
    params = params_of(
        plateau_evaluations=patience,
        early_stopping_evaluations=patience + 3,
        least_improvement=0.125,
        plateau_factor=0.5,
        plateau_least_fraction=0.1,
    )
    options = {"monitor": "figure", "mode": "max", "min_delta": 0.125}
    model = Recorder()
    theirs = keras.callbacks.ReduceLROnPlateau(patience=patience, factor=0.5, min_lr=0.1, **options)
    stopping = keras.callbacks.EarlyStopping(patience=patience + 3, **options)
    for callback in (theirs, stopping):
        callback.set_model(model)
        callback.on_train_begin()
    plateau = Plateau(tmp_path / "plateau.jsonl", params, 0)
    for epoch, value in enumerate(values):
        for callback in (theirs, stopping):
            callback.on_epoch_end(epoch, {"figure": value})
        standing = standing_of([Evaluation(*each) for each in enumerate(values[: epoch + 1])], 0.125)
        plateau.update(epoch, standing)
        assert plateau.factor == pytest.approx(float(model.optimizer.learning_rate))
        assert (reason_to_stop(params, "x", standing) is not None) == model.stop_training
        model.stop_training = False
        if reason_to_stop(params, "x", standing):
            break


def test_reductions_are_taken_up_and_rolled_back_with_the_checkpoint(tmp_path):
    file = tmp_path / "plateau.jsonl"
    params = params_of(plateau_evaluations=1, plateau_factor=0.5)
    plateau = Plateau(file, params, 0)
    assert (plateau.factor, str(plateau)) == (1.0, "")
    for step in (5, 9):
        assert plateau.update(step + 1, standing_of([Evaluation(1, 0.5), Evaluation(step, 0.25)], 0))
    assert [(line["step"], line["factor"]) for line in read_json_lines(file)] == [(6, 0.5), (10, 0.25)]
    with open(file, "a") as out:
        out.write('{"step": 11, "fac')  # killed while it was written
    again = Plateau(file, params, 10)  # steps from 10 on are taken with it
    assert (again.factor, str(again)) == (0.25, "learning rate at 0.25 of its schedule since step 10")
    assert Plateau(file, params, 9).factor == 0.5
    assert [line["step"] for line in read_json_lines(file)] == [6]
    assert Plateau(file, params_of(), 9).factor == 0.5  # what happened stays, though no more is asked for
    assert Plateau(file, params, 5).factor == 1.0
    assert read_json_lines(file) == []
    file.write_text('{"step": 1}\n')
    with pytest.raises(UserError, match=r"plateau.jsonl: line 1 is no reduction"):
        Plateau(file, params, 5)


def test_what_was_saved_before_a_reduction_does_not_cause_the_next(tmp_path):
    plateau = Plateau(tmp_path / "plateau.jsonl", params_of(plateau_evaluations=2), 0)
    evaluations = [Evaluation(step, 0.5) for step in (0, 10, 20)]
    assert plateau.update(37, standing_of(evaluations, 0))
    for step in (30, 36, 37):  # evaluated late; the last one was saved just when the rate was lowered
        evaluations.append(Evaluation(step, 0.5))
        assert not plateau.update(45, standing_of(evaluations, 0))
    evaluations.append(Evaluation(47, 0.5))
    assert not plateau.update(50, standing_of(evaluations, 0))
    evaluations.append(Evaluation(57, 0.5))
    assert plateau.update(58, standing_of(evaluations, 0))
    assert plateau.factor == pytest.approx(0.01)


# Reading results.jsonl


def test_only_the_watched_figure_counts(tmp_path):
    run = RunFolder(tmp_path)
    watch = EvaluationWatch(run, params_of(), WATCHED)
    assert watch.news() is None
    lines = [
        result(5, 0.5),
        result(0, 0.25),
        result(5, 0.75, name="test"),
        result(10, 0.75, dataset="other data"),
        result(10, 0.75, metric="cosine"),
        result(10, 0.75, pool_sequences="mean"),
        result(15, float("nan")),
        result(20, None),
        result(25, float("inf")),
        result(30, 1),
    ]
    for line in lines:
        append_json_line(run.results, line)
    assert sorted(watch.news()) == [(0, 0.25), (5, 0.5), (30, 1)]
    assert watch.news() is None
    with open(run.results, "a") as file:
        file.write('{"step": 40, "set": "val_eval"')  # it is being written
    assert watch.news() is None
    append_json_line(run.results, result(35, 0.5))
    assert len(watch.news()) == 4


def test_the_file_is_read_only_when_it_has_changed(tmp_path, monkeypatch):
    run, reads = RunFolder(tmp_path), []
    read = results.read_results
    monkeypatch.setattr(results, "read_results", lambda run: reads.append(1) or read(run))
    watch = EvaluationWatch(run, params_of(), WATCHED)
    for step in range(3):
        append_json_line(run.results, result(step, 0.5))
        for _ in range(50):
            watch.news()
    assert len(reads) == 3


def test_a_line_that_somebody_spoiled_is_told_once_and_ends_nothing(tmp_path, capsys):
    run = RunFolder(tmp_path)
    supervisor = Supervisor(run, params_of(plateau_evaluations=1), WATCHED, 0, Log())
    run.results.write_text("no JSON\n")
    for step in range(5):
        assert supervisor.look(step) is None
    assert capsys.readouterr().out.count("warning: ") == 1
    run.results.write_text("")
    for step in (0, 1):
        append_json_line(run.results, result(step, 0.5))
    assert supervisor.look(6) is None
    assert supervisor.factor == 0.1


@pytest.mark.parametrize(
    ("params", "watched", "found", "asks"),
    [
        ({"plateau_evaluations": 2}, WATCHED, False, 1),
        ({"early_stopping_evaluations": 2}, WATCHED, False, 1),
        ({"early_stopping_evaluations": 2}, WATCHED, True, 0),
        ({}, WATCHED, False, 0),
        ({}, None, False, 0),
    ],
)
def test_an_evaluator_that_is_not_there_is_asked_for_once(tmp_path, capsys, params, watched, found, asks):
    run = RunFolder(tmp_path)
    supervisor = Supervisor(run, params_of(**params), watched, 0, Log())
    watching = "watching val_eval/general_accuracy, as evaluate.py finds it\n"
    assert capsys.readouterr().out == (watching if params else "")
    for step in range(10):
        if found and step == 1:
            append_json_line(run.results, result(0, 0.5))
        assert supervisor.look(step) is None
        supervisor.checkpoint_saved()
        out = capsys.readouterr().out
        expected = "warning: no evaluation yet of val_eval/general_accuracy; is evaluate.py running?\n"
        assert out == (expected if asks and step == 2 else "")
    supervisor.ended()
    seen = f"{int(found)}{'; the last was of ckpt-0' if found else ''}"
    told = f"evaluations of val_eval/general_accuracy that the training saw: {seen}\n"
    assert capsys.readouterr().out == (told if params else "")


# DONE


def test_a_training_that_ended_early_stays_ended_until_its_rules_change(tmp_path):
    run, params = RunFolder(tmp_path), params_of(early_stopping_evaluations=2)
    run.write_resolved(params)
    assert stopped_early(run, params, 30) is None
    write_done(run, 30)
    assert run.done.read_text() == "30\n"
    assert stopped_early(run, params, 30) is None
    write_done(run, 30, "the figure stays where it is")
    assert stopped_early(run, params, 30) == "stopped early at step 30: the figure stays where it is"
    assert stopped_early(run, params, 20) is None  # its checkpoints were deleted, to go on from another
    longer = params_of(early_stopping_evaluations=2, train_iterations=10**6)
    assert stopped_early(run, longer, 30) is not None
    for change in ({"early_stopping_evaluations": 3}, {"least_improvement": 0.1}, {"best_metric": "test/map"}):
        assert stopped_early(run, params_of(**{"early_stopping_evaluations": 2} | change), 30) is None
    assert stopped_early(run, params_of(), 30) is None


def test_the_reason_names_the_figure_and_the_best_checkpoint():
    standing = Standing(Evaluation(40, 0.625), [Evaluation(50, 0.5), Evaluation(60, 0.6)])
    params = params_of(early_stopping_evaluations=2)
    assert reason_to_stop(params, "test/map", standing) == (
        "the last 2 evaluations brought no better test/map than 0.625 of ckpt-40"
    )
    params = params_of(early_stopping_evaluations=2, least_improvement=0.01)
    assert reason_to_stop(params, "test/map", standing).endswith("than 0.625 of ckpt-40 by more than 0.01")
    assert reason_to_stop(params_of(early_stopping_evaluations=3), "test/map", standing) is None
    assert reason_to_stop(params_of(), "test/map", standing) is None


# Trainings


def test_the_rate_is_lowered_and_training_ends_by_what_results_say(dataset, tmp_path, capsys):
    """One run, started again and again, with results as an evaluator beside it might have written them."""
    common = {"save_summary_steps": 1, "save_checkpoints_steps": 1, "learning_rate": 0.008, "csv_log": True}
    common |= {"backbone_learning_rate": 0.004, "warmup_steps": 4, "plateau_factor": 0.5}
    common |= {"plateau_evaluations": 2, "early_stopping_evaluations": 5}
    run = make_run(tmp_path / "run", dataset, **common)

    def start(steps: int, *more: str) -> str:
        assert train.main(["--model_dir", str(run), "--set", f"train_iterations={steps}", *more]) == 0
        return capsys.readouterr().out

    assert "is evaluate.py running?" in start(4)
    write_results(run, {0: 0.5, 1: 0.75, 3: 0.25, 2: 0.5})  # not in order
    assert "step 4: plateau: no better val_eval/general_accuracy since 0.75 of ckpt-1; learning rate at 0.5" in start(6)
    assert read_json_lines(run / "plateau.jsonl") == [
        {"step": 4, "factor": 0.5, "best_step": 1, "best": 0.75, "last_evaluated_step": 3}
    ]
    write_results(run, {4: 0.5, 5: 0.5})  # the first of them was saved with the higher rate
    out = start(8)
    assert "learning rate at 0.5 of its schedule since step 4" in out
    assert "plateau:" not in out
    lines = read_json_lines(run / "metrics.jsonl")
    expected = [0.008 * min((step + 1) / 4, 1) * (0.5 if step >= 4 else 1) for step in range(8)]
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected)
    assert [line["backbone_learning_rate"] for line in lines] == pytest.approx([rate / 2 for rate in expected])
    write_results(run, {6: 0.75})
    out = start(20)
    reason = "the last 5 evaluations brought no better val_eval/general_accuracy than 0.75 of ckpt-1"
    assert f"stopped early at step 8 of 20: {reason}" in out
    assert (run / "DONE").read_text() == f"8\nstopped early: {reason}\n"
    assert f"nothing to do: stopped early at step 8: {reason}" in start(20)
    assert "nothing to do" not in start(9, "--set", "early_stopping_evaluations=6")
    assert (run / "DONE").read_text() == "9\n"
    assert [line["step"] for line in read_json_lines(run / "plateau.jsonl")] == [4, 8]
    # Back to an older checkpoint: the second reduction is undone with the steps after it, and its results are gone.
    for step in (7, 8, 9):
        for file in (run / "checkpoints").glob(f"ckpt-{step}.*"):
            file.unlink()
    out = start(7, "--set", "early_stopping_evaluations=6", "--set", "plateau_evaluations=3")
    assert f"resumed from {run}/checkpoints/ckpt-6" in out
    assert [line["step"] for line in read_json_lines(run / "plateau.jsonl")] == [4]
    lines = read_json_lines(run / "metrics.jsonl")
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected[:7])
    rows = (run / "results.csv").read_text().splitlines()
    assert rows[0] == "step,set,checkpoint,dataset,distance,general_accuracy,easy_accuracy"
    assert rows[1] == f"0,val_eval,ckpt-0,{dataset},euclidean,0.5,0.5"
    assert len(rows) == 8
    assert len((run / "metrics.csv").read_text().splitlines()) == 8


@pytest.mark.parametrize("name", ["plateau_evaluations", "early_stopping_evaluations"])
def test_without_an_evaluation_set_it_is_refused(own_dataset, tmp_path, name):
    for file in ("test.csv", "query.csv", "gallery.csv", "episodes/val_eval.csv"):
        (own_dataset / file).unlink()
    run = make_run(tmp_path / "run", own_dataset, **{name: 3})
    with pytest.raises(UserError, match=f"^{name} needs figures, but .*own data has no evaluation set; set it to null"):
        train.main(["--model_dir", str(run)])


def test_the_figure_is_the_evaluator_s(dataset):
    """What `auto` stands for is decided by one function, and its name is one that the evaluator writes."""
    from dataset.formats.prepared import open_prepared

    sets = load_evaluation_sets(open_prepared(str(dataset)), params_of(dataset=str(dataset)))
    assert Watched(*best_metric("auto", {each.name: each.metrics for each in sets})) == WATCHED


# Two processes


class Process:
    """train.py or evaluate.py of a run, beside the test."""

    def __init__(self, script: str, run: Path, log: Path, *more: str):
        self._log = open(log, "a")  # noqa: SIM115
        line = [sys.executable, script, "--model_dir", str(run), *more]
        self.process = subprocess.Popen(
            line, cwd=ROOT, env=environment(), stdout=self._log, stderr=subprocess.STDOUT, text=True
        )

    def end(self, number: signal.Signals | None = None) -> int:
        """Waits until it has ended, with a signal or by itself; gives its exit code."""
        if number:
            self.process.send_signal(number)
        code = self.process.wait(timeout=240)
        self._log.close()
        return code


def wait_for(condition: Callable[[], bool], *processes: Process) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        for each in processes:
            assert each.process.poll() is None, "it ended too early"
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """What a test starts; none of it stays behind."""
    processes: list[Process] = []
    yield processes
    for each in processes:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_trainer_and_evaluator_as_two_processes_each_restarted(dataset, tmp_path, started):
    """A network that hardly learns: each evaluation is as good as the first. Each process is killed in between."""
    options = {"learning_rate": 1e-12, "use_batch_norm": False, "train_iterations": 10**6, "save_summary_steps": 1}
    options |= {"save_checkpoints_steps": 10, "save_picture_steps": None, "keep_checkpoints": None, "csv_log": True}
    options |= {"plateau_evaluations": 2, "plateau_factor": 0.5, "plateau_least_fraction": 0.2}
    options |= {"early_stopping_evaluations": 10**6, "eval_interval_secs": 0.1, "eval_pictures": False}
    options |= {"eval_sets": ["val_eval"]}
    run = make_run(tmp_path / "run", dataset, **options)
    logs = {name: tmp_path / f"{name}.log" for name in ("train", "evaluate")}

    def start(name: str, *more: str) -> Process:
        started.append(Process(f"{name}.py", run, logs[name], *more))
        return started[-1]

    def reductions() -> list[dict]:
        return read_json_lines(run / "plateau.jsonl")

    def evaluated() -> list[int]:
        return [line["step"] for line in read_json_lines(run / "results.jsonl") if line["set"] == "val_eval"]

    trainer, evaluator = start("train"), start("evaluate")
    wait_for(lambda: len(reductions()) == 1, trainer, evaluator)
    assert evaluator.end(signal.SIGKILL) == -signal.SIGKILL
    (first,) = reductions()
    time.sleep(2)  # checkpoints come, but no figures
    assert reductions() == [first]
    assert trainer.end(signal.SIGKILL) == -signal.SIGKILL
    trainer = start("train")  # alone: it must know of the reduction, and not take it for another
    wait_for(lambda: "resumed from" in logs["train"].read_text(), trainer)
    evaluator = start("evaluate")
    wait_for(lambda: len(reductions()) == 2, trainer, evaluator)
    assert trainer.end(signal.SIGTERM) == 0
    sooner = ("--set", f"early_stopping_evaluations={len(evaluated()) + 8}")
    trainer = start("train", *sooner)
    assert (trainer.end(), evaluator.end()) == (0, 0)

    said = logs["train"].read_text()
    steps = sorted(evaluated())
    assert steps == sorted(int(file.stem.split("-")[1]) for file in (run / "checkpoints").glob("*.index"))
    last = int((run / "DONE").read_text().split("\n")[0])
    assert f"stopped early at step {last} of 1000000: the last " in said
    assert "brought no better val_eval/general_accuracy than" in said
    assert f"{last}" == said.partition("stopped early at step ")[2].split()[0]
    assert "training has ended and all checkpoints that were kept are evaluated" in logs["evaluate"].read_text()
    values = {
        line["metrics"]["general_accuracy"]
        for line in read_json_lines(run / "results.jsonl")
        if line["set"] == "val_eval"
    }
    assert len(values) == 1  # so it is the first that stays the best
    lines = reductions()
    assert [line["factor"] for line in lines] in ([0.5, 0.25], [0.5, 0.25, 0.2])
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
    assert len((run / "metrics.csv").read_text().splitlines()) == last + 1
    again = start("train", *sooner)
    assert again.end() == 0
    assert f"nothing to do: stopped early at step {last}: the last " in logs["train"].read_text()
