"""What the terminal, the log files and TensorBoard see of a training."""

import math
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from runtime.json_files import append_json_line, drop_json_lines_after
from runtime.progress import clock
from runtime.tables import CsvLog


class Meter:
    """Images per second, and the share of the time that was spent waiting for data, since it was made."""

    def __init__(self) -> None:
        self._start, self._waited, self._images = time.perf_counter(), 0.0, 0

    def add(self, images: int, waited: float) -> None:
        self._images += images
        self._waited += waited

    def read(self) -> dict[str, float]:
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        return {"images_per_second": self._images / elapsed, "data_wait_share": self._waited / elapsed}


class TrainingMonitor:
    """Writes a training's figures to metrics.jsonl and TensorBoard, and to a CSV file if there shall be one."""

    def __init__(self, events: Path, metrics: Path, start_step: int, *, csv_file: Path | None = None) -> None:
        """Lines of metrics.jsonl beyond `start_step` are dropped: a resumed run computes them again."""
        self._metrics = metrics
        drop_json_lines_after(metrics, start_step)
        self._csv = CsvLog(csv_file, metrics) if csv_file else None
        self._writer = tf.summary.create_file_writer(str(events))

    def text(self, name: str, text: str, step: int) -> None:
        with self._writer.as_default():
            tf.summary.text(name, text, step)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """(H, W, C) uint8."""
        with self._writer.as_default():
            tf.summary.image(name, picture[None], step)

    def histograms(self, step: int, values: dict[str, np.ndarray]) -> None:
        """The distribution of each array's finite values; nothing for an array without any."""
        with self._writer.as_default():
            for name, array in values.items():
                array = np.asarray(array)
                finite = array[np.isfinite(array)]
                if len(finite):
                    tf.summary.histogram(name, finite, step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point per curve."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step)
        self._writer.flush()
        line = {"step": step} | values
        append_json_line(self._metrics, line)
        if self._csv:
            self._csv.append(line)

    def close(self) -> None:
        self._writer.close()


def progress_line(step: int, total: int, values: dict[str, float]) -> str:
    """What a person wants to see of a logged step, in one line."""
    digits = len(str(total))
    rate, left = values["images_per_second"], values["seconds_left"]
    return (
        f"step {step:{digits}d}/{total}  loss {values['loss']:.4f}  active {values['active_fraction']:.0%}  "
        f"hardest pos {values['hardest_positive']:.2f} neg {values['hardest_negative']:.2f}  "
        f"top-1 {values['batch_top1']:.0%}  lr {values['learning_rate']:.1e}  "
        f"{rate:,.0f} images/s  waiting for data {values['data_wait_share']:.0%}  "
        f"left {'?' if math.isnan(left) else clock(math.ceil(left))}"
    )
