"""The log of a training: lines, CSV files, histograms, the collapse alarm."""

import csv
import math

import numpy as np
import pytest
import tensorflow as tf
from helpers.evaluations import result

from model.run.results import write_results_csv
from model.run.run_folder import RunFolder
from model.training.collapse import CollapseAlarm
from model.training.monitoring import Meter, TrainingMonitor, progress_line
from runtime.json_files import append_json_line, read_json_lines
from runtime.log import Log


def test_meter(monkeypatch):
    now = iter([0.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.add(30, waited=0.5)
    meter.add(10, waited=0.5)
    assert meter.read() == {"images_per_second": 20.0, "data_wait_share": 0.5}


def test_log_is_plain_in_files_and_one_line_on_a_terminal(tmp_path, capsys, monkeypatch):
    log = Log(tmp_path / "plain.log")
    log.line("step 1", progress=True)
    log.line("done")
    assert capsys.readouterr().out == "step 1\ndone\n"
    assert [line[20:] for line in (tmp_path / "plain.log").read_text().splitlines()] == ["step 1", "done"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "7")
    log = Log()
    for text in ("start", "step 1 and more", "step 2", "done"):
        log.line(text, progress=text.startswith("step"))
    assert capsys.readouterr().out == "start\n\r\033[Kstep 1\r\033[Kstep 2\r\033[Kdone\n"


def test_progress_line_is_short_enough_for_a_terminal():
    names = "loss active_fraction hardest_positive hardest_negative batch_top1 learning_rate images_per_second"
    values = dict.fromkeys(names.split(), 0.5) | {"data_wait_share": 0.5, "seconds_left": 60}
    line = progress_line(10, 25000, values)
    assert line.startswith("step    10/25000")
    assert line.endswith("left 1:00")
    assert len(line) <= 150
    assert progress_line(10, 25000, values | {"seconds_left": 9.2}).endswith("left 0:10")
    assert progress_line(10, 25000, values | {"seconds_left": float("nan")}).endswith("left ?")


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_the_csv_file_follows_the_lines(tmp_path):
    """Columns that appear later, NaN, a killed writer, and lines that are dropped."""
    metrics, file = tmp_path / "metrics.jsonl", tmp_path / "metrics.csv"
    monitor = TrainingMonitor(tmp_path / "train", metrics, 0, csv_file=file)
    assert rows_of(file) == []
    monitor.scalars(1, {"loss": 0.1, "top": float("nan")})
    monitor.scalars(2, {"loss": 1e-12})  # lacks a column
    monitor.scalars(3, {"later, and quoted": 2.0, "loss": 0.5})
    monitor.scalars(4, {"top": 1 / 3, "loss": 0.25})
    monitor.close()
    expected = [
        {"step": "1", "loss": "0.1", "top": "nan", "later, and quoted": ""},
        {"step": "2", "loss": "1e-12", "top": "", "later, and quoted": ""},
        {"step": "3", "loss": "0.5", "top": "", "later, and quoted": "2.0"},
        {"step": "4", "loss": "0.25", "top": str(1 / 3), "later, and quoted": ""},
    ]
    assert rows_of(file) == expected
    with open(file, "a") as half:
        half.write("5,0.")
    TrainingMonitor(tmp_path / "train", metrics, 3, csv_file=file).close()
    assert rows_of(file) == expected[:3]
    assert [line["step"] for line in read_json_lines(metrics)] == [1, 2, 3]


def test_results_as_a_table(tmp_path):
    run = RunFolder(tmp_path)
    append_json_line(run.results, result(0, 0, "test", map="of a kind") | {"metrics": {"map": 0.25}})
    append_json_line(run.results, {"step": 0, "set": "val_eval", "checkpoint": "ckpt-0", "metrics": {"accuracy": 0.5}})
    append_json_line(run.results, result(5, 0, "test", pool_sequences="mean") | {"metrics": {"map": 0.5}})
    write_results_csv(run)
    assert (tmp_path / "results.csv").read_text().splitlines() == [
        "step,set,checkpoint,dataset,distance,map,accuracy,pool_sequences",
        "0,test,ckpt-0,some data,euclidean,0.25,,",
        "0,val_eval,ckpt-0,,,,0.5,",
        "5,test,ckpt-5,some data,euclidean,0.5,,mean",
    ]


def test_histograms_hold_the_finite_values(tmp_path):
    monitor = TrainingMonitor(tmp_path / "train", tmp_path / "metrics.jsonl", 0)
    values = {"some": np.array([1.0, np.nan, 3.0, np.inf]), "none": np.array([np.nan]), "empty": np.array([])}
    monitor.histograms(7, values)
    monitor.close()
    (file,) = (tmp_path / "train").iterdir()
    records = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    tag = "other/some"
    (buckets,) = [
        tf.make_ndarray(v.tensor) for record in records for v in record.summary.value if v.tag == tag
    ]  # (30, 3): left edge, right edge, count
    assert (buckets[:, 2].sum(), buckets[:, 0].min(), buckets[:, 1].max()) == (2, 1, 3)
    assert {record.step for record in records for value in record.summary.value if value.tag == tag} == {7}


def metrics(loss, positive, negative, norm, active=1.0, valid=64.0):
    return {
        "loss": loss,
        "hardest_positive": positive,
        "hardest_negative": negative,
        "embedding_norm": norm,
        "active_fraction": active,
        "complete_anchors": valid,
    }


HEALTHY = metrics(0.73, 0.87, 0.80, 3.7)
COLLAPSED = metrics(0.6931, 0.0, 0.0, 0.13)
DIVERGED = metrics(11.0, 11.1, 0.18, 16900.0)
NO_TRIPLETS = metrics(0.0, 0.0, 0.0, 1.0, active=0.0, valid=0.0)
NOT_ACTIVE = metrics(0.0, 0.5, 1.5, 1.0, active=0.0)


def warnings(values, steps=100, margin="soft", metric="euclidean", dimensions=1):
    """(step, warning) of a training with these metrics, step by step."""
    alarm = CollapseAlarm(margin, metric, dimensions, steps=steps)
    return [(step, text) for step, value in enumerate(values, 1) if (text := alarm.update(step, value))]


def state_of(values, **settings):
    texts = [text for _, text in warnings([values] * 3, steps=3, **settings)]
    return texts[0].split(": ")[1].split(" for ")[0] if texts else None


# Metrics of steps 100 to 300 of real trainings, on the synthetic data set and on Omniglot.
@pytest.mark.parametrize(
    ("values", "margin", "state"),
    [
        (HEALTHY, "soft", None),  # basic, batch hard, learning rate 1e-3: just at ln 2, and learning
        (metrics(0.333, 0.813, 0.780, 3.57), 0.3, None),
        (metrics(0.737, 3.256, 2.862, 5.78, active=0.127), 1.0, None),  # params.json
        (metrics(0.737, 2.205, 2.184, 10.7), "soft", None),  # experiments/omniglot
        (metrics(0.683, 0.782, 0.255, 1.0, active=0.65), 1.0, None),  # learning rate 10, normalized: bad, but it learns
        (metrics(0.3031, 0.0636, 0.0605, 1.0), 0.3, None),  # normalized, batch hard: on a plateau, top-1 86 %
        (metrics(0.3005, 0.0300, 0.0295, 1.0), 0.3, None),  # the same, later
        (metrics(0.02, 0.004, 1.2, 1.0, active=0.02), 0.3, None),  # near positives are the goal
        (metrics(-40.0, 20.0, 60.0, 5000.0), "none", None),  # without a margin, lengths may grow
        (metrics(3.7, 7.0, 3.4, 4.9), 0.3, None),  # the first step
        (COLLAPSED, "soft", "collapsed"),
        (metrics(0.694, 0.00211, 0.000669, 0.0007), "soft", "collapsed"),  # short embeddings: not narrow, but tiny
        (metrics(0.3, 3.1e-5, 3.1e-5, 0.078), 0.3, "collapsed"),  # batch hard without batch norm, 1e-3
        (metrics(0.6931, 0.612, 0.612, 970.0), "soft", "collapsed"),  # rounding, at this length
        (metrics(0.695, 0.0071, 0.0034, 1.0), "soft", "collapsed"),  # fc1024_normalize, learning rate 10
        (metrics(0.306, 0.0110, 0.0049, 1.0), 0.3, "collapsed"),
        (DIVERGED, "soft", "diverged"),  # direct with batch norm, learning rate 10
        (metrics(4.4e9, 3.7e14, 2.9e13, 3.1e14, active=0.005), 0.3, "diverged"),
        (metrics(0.0, 1.3e7, 3.7e5, 8.4e6, active=0.0), "soft", "diverged"),
        (NO_TRIPLETS, "soft", "no triplets"),
        (metrics(0.0, 0.0, 0.0, 1.0, active=0.0), 0.0, "collapsed"),  # it has triplets
        (NOT_ACTIVE, 0.3, "no active triplets"),
        (NOT_ACTIVE, "none", None),
        (metrics(math.nan, math.nan, math.nan, math.nan), "soft", None),
        (metrics(math.inf, math.inf, 0.0, math.inf), "soft", None),
    ],
)
def test_states(values, margin, state):
    assert state_of(values, margin=margin) == state


@pytest.mark.parametrize(
    ("metric", "distance", "norm", "state"),
    [
        ("euclidean", 0.049, 1.0, "collapsed"),
        ("euclidean", 0.051, 1.0, None),
        ("sqeuclidean", 0.049**2, 1.0, "collapsed"),
        ("sqeuclidean", 0.051**2, 1.0, None),
        ("cosine", 0.049**2 / 2, 1000.0, "collapsed"),
        ("cosine", 0.051**2 / 2, 1000.0, None),
        ("cosine", 0.049**2 / 2, 1e-6, "collapsed"),
        ("cityblock", 0.049 * 4, 0.5, "collapsed"),
        ("cityblock", 0.051 * 4, 0.5, None),
        ("euclidean", 2.1, 1e5, "diverged"),
        ("cosine", 2.1, 1e5, None),  # to which lengths mean nothing
    ],
)
def test_distances_are_compared_with_lengths(metric, distance, norm, state):
    assert state_of(metrics(0.69, distance, distance / 2, norm), metric=metric, dimensions=64) == state


@pytest.mark.parametrize("bad", [COLLAPSED, DIVERGED, NO_TRIPLETS, NOT_ACTIVE])
def test_one_warning_per_episode(bad):
    steps = [step for step, _ in warnings([HEALTHY] * 7 + [bad] * 1000)]
    assert steps == [107]
    assert warnings([*[bad] * 99, *[HEALTHY] * 49, *[bad] * 98]) == []
    assert warnings(([bad] * 2 + [HEALTHY]) * 200) == []
    assert [step for step, _ in warnings(([bad] * 9 + [HEALTHY]) * 20)] == [139]
    again = [bad] * 150 + [HEALTHY] * 99 + [bad] * 300 + [HEALTHY] * 100 + [bad] * 100
    assert [step for step, _ in warnings(again)] == [100, len(again)]


def test_collapsed_and_diverged_are_one_episode_and_another_state_is_its_own():
    ((step, text),) = warnings([COLLAPSED, DIVERGED] * 200)
    assert step == 100
    assert text.startswith("warning: diverged")
    texts = [text for _, text in warnings([NO_TRIPLETS] * 150 + [COLLAPSED] * 150)]
    assert [text.split(":")[1].split(" for")[0].strip() for text in texts] == ["no triplets", "collapsed"]


def test_the_warning_has_state_metrics_and_remedies():
    ((_, text),) = warnings([metrics(0.6945, 0.0041, 0.0020, 1.0)] * 100)
    assert text == (
        "warning: collapsed: all embeddings are nearly equal for 100 steps, at step 100 (hardest positive 0.0041 and "
        "negative 0.002, embedding norm 1, loss 0.695; equal embeddings have a triplet loss of ln 2 = 0.693); "
        "remedies: lower learning_rate, add warmup_steps, check that pretrained weights are loaded, set "
        "use_batch_norm, start with triplet_strategy batch_all, use a smaller batch_p and batch_k"
    )
    ((_, text),) = warnings([NOT_ACTIVE] * 100, margin=0.3)
    assert text.startswith("note: no active triplets for 100 steps")
