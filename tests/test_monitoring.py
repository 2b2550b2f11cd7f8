import numpy as np
import pytest
import tensorflow as tf

from model.monitoring import Log, Meter, batch_picture, batch_statistics, duration, progress_line


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock"])
def test_batch_statistics_equal_loops(metric):
    random = np.random.default_rng(0)
    labels, embeddings, k = np.repeat([5, 3, 9], 4), random.normal(size=(12, 6)).astype(np.float32), 4
    values = batch_statistics(tf.constant(labels), tf.constant(embeddings), metric, k)
    top1, precision = [], []
    for i in range(12):
        differences = np.abs(embeddings - embeddings[i])
        d = differences.sum(axis=1) if metric == "cityblock" else (differences**2).sum(axis=1)
        d[i] = np.inf
        hits = labels[np.argsort(d)[: k - 1]] == labels[i]
        top1.append(hits[0])
        precision.append(hits.mean())
    assert float(values["batch_top1"]) == pytest.approx(np.mean(top1))
    assert float(values["batch_precision@K-1"]) == pytest.approx(np.mean(precision))
    assert float(values["embedding_norm"]) == pytest.approx(np.linalg.norm(embeddings, axis=1).mean(), rel=1e-5)
    assert float(values["embedding_std"]) == pytest.approx(embeddings.std(axis=0).mean(), rel=1e-5)


def test_batch_picture_has_a_column_per_identity():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)
    picture = batch_picture(images, batch_k=2)
    assert picture.shape == (2 * 6, 3 * 7, 3)
    assert picture[3::6, 3::7, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert (picture[0] == 128).all()


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
