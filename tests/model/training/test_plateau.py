"""Plateau and early stopping: the rules against a plain restatement and Keras."""

import keras
import numpy as np
import pytest
from helpers.evaluations import params_of

from model.training.plateau import Evaluation, Plateau, Standing, standing_of
from model.training.supervisor import reason_to_stop
from runtime.errors import UserError
from runtime.json_files import read_json_lines


@pytest.mark.parametrize(
    ("values", "best", "later"),
    [
        ([], None, []),
        ([0.5], 0, []),
        ([0.5, 0.5], 0, [1]),  # no better
        ([0.5, 0.75, 0.5, 0.75], 1, [2, 3]),
        ([0.5, 0.25, 1.0], 2, []),
        ([-3.0, -2.0], 1, []),
    ],
)
def test_best_and_what_came_later(values, best, later):
    evaluations = [Evaluation(step, value) for step, value in enumerate(values)]
    expected = Standing(evaluations[best] if best is not None else None, [evaluations[i] for i in later])
    assert standing_of(evaluations) == expected
    assert standing_of(reversed(evaluations)) == expected  # in whatever order they come


def restated(arrived: list[Evaluation]) -> list[int]:
    """The steps of the evaluations that were better than all before them: each against every earlier better one."""
    better: list[Evaluation] = []
    for step in sorted(each.step for each in arrived):
        (value,) = [each.value for each in arrived if each.step == step]
        if all(value > other.value for other in better):
            better.append(Evaluation(step, value))
    return [each.step for each in better]


@pytest.mark.parametrize("seed", range(60))
def test_reductions_and_the_end_equal_a_plain_restatement(tmp_path, monkeypatch, seed):
    """Evaluations come late, in any order, and some never; training is killed now and then and repeats steps."""
    monkeypatch.setattr("model.training.plateau.LEAST_FACTOR", 0.2)
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
        if kills and random.random() < 0.04:  # back to the last checkpoint; what is evaluated there goes, too
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
def test_it_does_what_keras_does_where_evaluations_are_seen_at_once(tmp_path, monkeypatch, seed, patience):
    monkeypatch.setattr("model.training.plateau.LEAST_FACTOR", 0.1)
    random = np.random.default_rng(seed)
    values = (random.integers(0, 9, 40) / 8).tolist()
    params = params_of(plateau_evaluations=patience, early_stopping_evaluations=patience + 3, plateau_factor=0.5)
    options = {"monitor": "figure", "mode": "max", "min_delta": 0.0}
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
        standing = standing_of([Evaluation(*each) for each in enumerate(values[: epoch + 1])])
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
        assert plateau.update(step + 1, standing_of([Evaluation(1, 0.5), Evaluation(step, 0.25)]))
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
    assert plateau.update(37, standing_of(evaluations))
    for step in (30, 36, 37):  # evaluated late; the last one was saved just when the rate was lowered
        evaluations.append(Evaluation(step, 0.5))
        assert not plateau.update(45, standing_of(evaluations))
    evaluations.append(Evaluation(47, 0.5))
    assert not plateau.update(50, standing_of(evaluations))
    evaluations.append(Evaluation(57, 0.5))
    assert plateau.update(58, standing_of(evaluations))
    assert plateau.factor == pytest.approx(0.01)


def test_the_reason_names_the_figure_and_the_best_checkpoint():
    standing = Standing(Evaluation(40, 0.625), [Evaluation(50, 0.5), Evaluation(60, 0.6)])
    params = params_of(early_stopping_evaluations=2)
    assert reason_to_stop(params, "test/map", standing) == (
        "the last 2 evaluations brought no better test/map than 0.625 of ckpt-40"
    )
    assert reason_to_stop(params_of(early_stopping_evaluations=3), "test/map", standing) is None
    assert reason_to_stop(params_of(), "test/map", standing) is None
