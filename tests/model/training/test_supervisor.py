"""The supervisor: what it reads of results.jsonl, what it says, and how a training that ended early stays ended."""

import pytest
from helpers.evaluations import params_of, result

from dataset.formats.prepared import open_prepared
from model.evaluation.best import best_metric
from model.evaluation.sets import load_evaluation_sets
from model.run import results
from model.run.done import stopped_early, write_done
from model.run.run_folder import RunFolder
from model.training.supervisor import EvaluationWatch, Supervisor, Watched
from runtime.json_files import append_json_line
from runtime.log import Log

WATCHED = Watched("val_eval", "general_accuracy")


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


def test_the_figure_is_the_evaluator_s(dataset):
    """What `auto` stands for is decided by one function, and its name is one that the evaluator writes."""
    sets = load_evaluation_sets(open_prepared(str(dataset)), params_of(dataset=str(dataset)))
    assert Watched(*best_metric("auto", {each.name: each.metrics for each in sets})) == WATCHED


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
    for change in ({"early_stopping_evaluations": 3}, {"best_metric": "test/map"}):
        assert stopped_early(run, params_of(**{"early_stopping_evaluations": 2} | change), 30) is None
    assert stopped_early(run, params_of(), 30) is None
