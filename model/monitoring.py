"""What the terminal, the log files and TensorBoard see of a training."""

import json
import math
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import tensorflow as tf

from dataset.files import append_json_line, read_json_lines, replace_file
from model.distances import pairwise


@tf.function(reduce_retracing=True)
def batch_statistics(labels: tf.Tensor, embeddings: tf.Tensor, metric: str, k: int) -> dict[str, tf.Tensor]:
    """Scalars that tell how a batch of embeddings stands: (B,), (B, D) -> dictionary.

    - batch_top1: share of anchors whose nearest other image is of their identity.
    - batch_precision@K-1: share of their identity among an anchor's K - 1 nearest, mean over the anchors.
    - embedding_norm: mean length.
    - embedding_std: standard deviation of a dimension over the batch, mean over the dimensions.
    """
    distances = tf.linalg.set_diag(pairwise(embeddings, embeddings, metric), tf.fill(tf.shape(labels), np.inf))
    nearest = tf.math.top_k(-distances, k - 1).indices  # (B, K - 1)
    hits = tf.cast(tf.gather(labels, nearest) == labels[:, None], tf.float32)
    return {
        "batch_top1": tf.reduce_mean(hits[:, 0]),
        "batch_precision@K-1": tf.reduce_mean(hits),
        "embedding_norm": tf.reduce_mean(tf.norm(embeddings, axis=1)),
        "embedding_std": tf.reduce_mean(tf.math.reduce_std(embeddings, axis=0)),
    }


def batch_picture(images: np.ndarray, batch_k: int) -> np.ndarray:
    """The images of a PK batch as one picture, a column per identity: (P * K, H, W, C) -> (K * H', P * W', C)."""
    gap = max(1, images.shape[2] // 32)  # a grey frame, so that neighbours can be told apart
    images = np.pad(images, [(0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=128)
    batch_p, (_, height, width, channels) = len(images) // batch_k, images.shape
    grid = images.reshape(batch_p, batch_k, height, width, channels).transpose(1, 2, 0, 3, 4)
    return grid.reshape(batch_k * height, batch_p * width, channels)


class Meter:
    """Images per second, and the share of the time that was spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._start, self._waited, self._images = time.perf_counter(), 0.0, 0

    def add(self, images: int, waited: float) -> None:
        self._images += images
        self._waited += waited

    def read(self) -> dict[str, float]:
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        values = {"images_per_second": self._images / elapsed, "data_wait_share": self._waited / elapsed}
        self.__init__()
        return values


class Log:
    """Lines for a person: on the terminal, and with the time of day in a file.

    On a terminal a training shows one line that changes in place; elsewhere every line is printed.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._terminal, self._open = file, sys.stdout.isatty(), False

    def line(self, text: str, *, progress: bool = False, printed: bool = True) -> None:
        """One line. `progress` marks those that a terminal replaces by the next; not `printed`, it is for the file."""
        if printed:
            self._print(text, progress)
        if self._file:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def _print(self, text: str, progress: bool) -> None:
        if not self._terminal:
            print(text, flush=True)
            return
        if progress:  # a line that wraps could not be taken back
            text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r\033[K{text}" if self._open or progress else text, end="" if progress else "\n", flush=True)
        self._open = progress


class TrainingMonitor:
    """Writes a training's figures to metrics.jsonl and TensorBoard."""

    def __init__(self, events: Path, metrics: Path, start_step: int) -> None:
        """Lines of metrics.jsonl beyond `start_step` are dropped: a resumed run computes them again."""
        self._metrics = metrics
        lines = read_json_lines(metrics)
        if any(line["step"] > start_step for line in lines):
            with replace_file(metrics) as file:
                file.writelines(json.dumps(line) + "\n" for line in lines if line["step"] <= start_step)
        self._writer = tf.summary.create_file_writer(str(events))

    def text(self, name: str, text: str, step: int) -> None:
        with self._writer.as_default():
            tf.summary.text(name, text, step)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """(H, W, C) uint8."""
        with self._writer.as_default():
            tf.summary.image(name, picture[None], step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point per curve."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step)
        self._writer.flush()
        append_json_line(self._metrics, {"step": step} | values)

    def close(self) -> None:
        self._writer.close()


def progress_line(step: int, total: int, values: dict[str, float]) -> str:
    """What a person wants to see of a logged step, in one line."""
    digits = len(str(total))
    rate = values["images_per_second"]
    return (
        f"step {step:{digits}d}/{total}  loss {values['loss']:.4f}  active {values['active_fraction']:.0%}  "
        f"hardest pos {values['hardest_positive']:.2f} neg {values['hardest_negative']:.2f}  "
        f"top-1 {values['batch_top1']:.0%}  lr {values['learning_rate']:.1e}  "
        f"{rate:,.0f} images/s  waiting for data {values['data_wait_share']:.0%}  "
        f"left {duration(values['seconds_left'])}"
    )


def duration(seconds: float) -> str:
    """1:02:03 or 2:03; "?" for NaN."""
    if math.isnan(seconds):
        return "?"
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
