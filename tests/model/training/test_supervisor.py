"""The supervisor: reading results.jsonl, plateaus, early stopping, warnings."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers.evaluations import params_of, result

from model.run.run_folder import RunFolder, stopped_early, write_done
from model.training.supervisor import (
    Evaluation,
    EvaluationWatch,
    Plateau,
    Supervisor,
    Watched,
    reason_to_stop,
    standing_of,
)
from runtime.errors import UserError
from runtime.json_files import append_json_line, read_json_lines
from runtime.log import Log

WATCHED = Watched("val_eval", "general_accuracy")


def test_only_the_watched_metric_counts(tmp_path):
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
        file.write('{"step": 40, "set": "val_eval"')  # not complete yet
    assert watch.news() is None
    append_json_line(run.results, result(35, 0.5))
    assert len(watch.news()) == 4


def test_a_damaged_line_gives_one_warning_and_ends_nothing(tmp_path, capsys):
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
def test_a_missing_evaluator_gives_one_warning(tmp_path, capsys, params, watched, found, asks):
    run = RunFolder(tmp_path)
    supervisor = Supervisor(run, params_of(**params), watched, 0, Log())
    watching = "watching val_eval/general_accuracy in the results of evaluate.py\n"
    assert capsys.readouterr().out == (watching if params else "")
    for step in range(10):
        if found and step == 1:
            append_json_line(run.results, result(0, 0.5))
        assert supervisor.look(step) is None
        supervisor.checkpoint_saved()
        out = capsys.readouterr().out
        expected = "warning: no evaluation of val_eval/general_accuracy yet; start evaluate.py alongside\n"
        assert out == (expected if asks and step == 2 else "")
    supervisor.ended()
    seen = f"{int(found)}{'; the last one is of ckpt-0' if found else ''}"
    summary = f"evaluations of val_eval/general_accuracy seen during training: {seen}\n"
    assert capsys.readouterr().out == (summary if params else "")


def test_a_training_that_ended_early_stays_ended_until_its_rules_change(tmp_path):
    run, params = RunFolder(tmp_path), params_of(early_stopping_evaluations=2)
    run.write_resolved(params)
    assert stopped_early(run, params, 30) is None
    write_done(run, 30)
    assert run.done.read_text() == "30\n"
    assert stopped_early(run, params, 30) is None
    write_done(run, 30, "no better")
    assert stopped_early(run, params, 30) == "stopped early at step 30: no better"
    assert stopped_early(run, params, 20) is None  # its newest checkpoints were deleted, to resume from an older one
    longer = params_of(early_stopping_evaluations=2, train_iterations=10**6)
    assert stopped_early(run, longer, 30) is not None
    for change in ({"early_stopping_evaluations": 3}, {"best_metric": "test/map"}):
        assert stopped_early(run, params_of(**{"early_stopping_evaluations": 2} | change), 30) is None
    assert stopped_early(run, params_of(), 30) is None


def restated(arrived: list[Evaluation]) -> list[int]:
    """Steps of the evaluations that were better than all earlier ones, by pairwise comparison."""
    better: list[Evaluation] = []
    for step in sorted(each.step for each in arrived):
        (value,) = [each.value for each in arrived if each.step == step]
        if all(value > other.value for other in better):
            better.append(Evaluation(step, value))
    return [each.step for each in better]


@pytest.mark.parametrize("seed", range(60))
def test_reductions_and_early_stopping_equal_a_simple_oracle(tmp_path, monkeypatch, seed):
    """Evaluations arrive late, in any order, or never. Training is killed now and then and repeats steps."""
    monkeypatch.setattr("model.training.supervisor.LEAST_FACTOR", 0.2)
    random = np.random.default_rng(seed)
    n, stop = int(random.integers(1, 4)), int(random.integers(2, 8))
    params = params_of(plateau_evaluations=n, early_stopping_evaluations=stop, plateau_factor=0.5)
    every, total = int(random.integers(1, 5)), 80
    values = {step: float(random.integers(0, 9)) / 8 for step in range(0, total, every) if random.random() < 0.9}
    arrives = {step: step + int(random.integers(0, 12)) for step in values}
    plateau = Plateau(tmp_path / "plateau.jsonl", params, 0)
    reductions: list[int] = []
    step, kills = 0, 4
    while step < total:
        if kills and random.random() < 0.04:  # back to the last checkpoint; later evaluations are dropped
            kills -= 1
            step = step // every * every
            arrives = {at: max(when, step) if at <= step else when for at, when in arrives.items()}
            reductions = [at for at in reductions if at <= step]
            plateau = Plateau(tmp_path / "plateau.jsonl", params, step)
        arrived = [Evaluation(at, value) for at, value in values.items() if arrives[at] <= step and at <= step]
        random.shuffle(arrived)
        standing = standing_of(arrived)
        best = max(restated(arrived), default=None)
        behind = [each.step for each in arrived if best is not None and each.step > best]
        assert (standing.best and standing.best.step) == best
        assert [each.step for each in standing.later] == sorted(behind)
        assert (reason_to_stop(params, "x", standing) is not None) == (len(behind) >= stop)
        lowered = plateau.update(step, standing)
        counted = [at for at in behind if all(at > reduction for reduction in reductions)]
        assert lowered == (len(counted) >= n and 0.5 ** len(reductions) > 0.2)
        reductions += [step] if lowered else []
        assert plateau.factor == max(0.5 ** len(reductions), 0.2)
        step += 1
    lines = read_json_lines(tmp_path / "plateau.jsonl")
    assert [line["step"] for line in lines] == reductions


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_immediate_evaluations_have_the_same_effect_as_keras_callbacks(tmp_path, monkeypatch, seed, patience):
    monkeypatch.setattr("model.training.supervisor.LEAST_FACTOR", 0.1)
    random = np.random.default_rng(seed)
    values = (random.integers(0, 9, 40) / 8).tolist()
    params = params_of(plateau_evaluations=patience, early_stopping_evaluations=patience + 3, plateau_factor=0.5)
    options = {"monitor": "metric", "mode": "max", "min_delta": 0.0}
    model = SimpleNamespace(optimizer=keras.optimizers.SGD(1.0), stop_training=False)  # all that a callback needs
    theirs = keras.callbacks.ReduceLROnPlateau(patience=patience, factor=0.5, min_lr=0.1, **options)
    stopping = keras.callbacks.EarlyStopping(patience=patience + 3, **options)
    for callback in (theirs, stopping):
        callback.set_model(model)
        callback.on_train_begin()
    plateau = Plateau(tmp_path / "plateau.jsonl", params, 0)
    for epoch, value in enumerate(values):
        for callback in (theirs, stopping):
            callback.on_epoch_end(epoch, {"metric": value})
        standing = standing_of([Evaluation(*each) for each in enumerate(values[: epoch + 1])])
        plateau.update(epoch, standing)
        assert plateau.factor == pytest.approx(float(model.optimizer.learning_rate))
        assert (reason_to_stop(params, "x", standing) is not None) == model.stop_training
        model.stop_training = False
        if reason_to_stop(params, "x", standing):
            break


def test_reductions_are_restored_and_dropped_with_the_checkpoint(tmp_path):
    file = tmp_path / "plateau.jsonl"
    params = params_of(plateau_evaluations=1, plateau_factor=0.5)
    plateau = Plateau(file, params, 0)
    assert (plateau.factor, str(plateau)) == (1.0, "")
    for step in (5, 9):
        assert plateau.update(step + 1, standing_of([Evaluation(1, 0.5), Evaluation(step, 0.25)]))
    assert [(line["step"], line["factor"]) for line in read_json_lines(file)] == [(6, 0.5), (10, 0.25)]
    with open(file, "a") as out:
        out.write('{"step": 11, "fac')  # killed while it was written
    again = Plateau(file, params, 10)  # in force from step 10
    assert (again.factor, str(again)) == (0.25, "learning rate at 0.25 of its schedule since step 10")
    assert Plateau(file, params, 9).factor == 0.5
    assert [line["step"] for line in read_json_lines(file)] == [6]
    assert Plateau(file, params_of(), 9).factor == 0.5  # past reductions remain when no more are wanted
    assert Plateau(file, params, 5).factor == 1.0
    assert read_json_lines(file) == []
    file.write_text('{"step": 1}\n')
    with pytest.raises(UserError, match=r"plateau.jsonl: line 1 is not a reduction"):
        Plateau(file, params, 5)
