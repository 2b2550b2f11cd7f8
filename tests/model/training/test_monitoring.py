import csv

import numpy as np
import tensorflow as tf

from model.run.results import write_results_csv
from model.run.run_folder import RunFolder
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
    """Columns that come later, figures that are no numbers, a killed writer, and lines that are rolled back."""
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


def test_without_the_parameter_there_is_no_csv_file(tmp_path):
    monitor = TrainingMonitor(tmp_path / "train", tmp_path / "metrics.jsonl", 0)
    monitor.scalars(1, {"loss": 0.5})
    monitor.close()
    assert not list(tmp_path.glob("*.csv"))


def test_results_as_a_table_of_figures(tmp_path):
    run = RunFolder(tmp_path)
    definitions = {"dataset": "some data", "metric": "euclidean", "map": "of a kind"}
    lines = [
        {"step": 0, "set": "test", "checkpoint": "ckpt-0", "metrics": {"map": 0.25}, "definitions": definitions},
        {"step": 0, "set": "val_eval", "checkpoint": "ckpt-0", "metrics": {"general_accuracy": 0.5}},
        {
            "step": 5,
            "set": "test",
            "checkpoint": "ckpt-5",
            "metrics": {"map": 0.5},
            "definitions": definitions | {"pool_sequences": "mean"},
        },
    ]
    for line in lines:
        append_json_line(run.results, line)
    write_results_csv(run)
    assert (tmp_path / "results.csv").read_text().splitlines() == [
        "step,set,checkpoint,dataset,distance,map,general_accuracy,pool_sequences",
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
    histograms = {v.tag: tf.make_ndarray(v.tensor) for record in records for v in record.summary.value}
    assert histograms.keys() == {"some"}
    buckets = histograms["some"]  # (30, 3): left edge, right edge, count
    assert (buckets[:, 2].sum(), buckets[:, 0].min(), buckets[:, 1].max()) == (2, 1, 3)
    assert {record.step for record in records if record.summary.value} == {7}
