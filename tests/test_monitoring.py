import numpy as np
import tensorflow as tf

from model.monitoring import Log, Meter, TrainingMonitor, duration, progress_line


def test_meter(monkeypatch):
    now = iter([0.0, 2.0, 2.0, 4.0, 4.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    meter = Meter()
    meter.add(30, waited=0.5)
    meter.add(10, waited=0.5)
    assert meter.read() == {"images_per_second": 20.0, "data_wait_share": 0.5}
    assert meter.read() == {"images_per_second": 0.0, "data_wait_share": 0.0}


def test_durations():
    assert [duration(s) for s in (0, 9.2, 61, 3723, float("nan"))] == ["0:00", "0:10", "1:01", "1:02:03", "?"]


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
    assert len(line) <= 150


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
