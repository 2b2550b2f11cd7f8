"""The metrics of a training, for the terminal, the log files and TensorBoard."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from model.run.event_tags import training_tag
from model.run.events import EventWriter
from runtime.json_files import append_json_line, drop_json_lines_after, read_json_lines
from runtime.progress import clock
from runtime.tables import CsvLog


class Meter:
    """Measures images per second and the share of time spent waiting for data, since its creation."""

    def __init__(self) -> None:
        self._start, self._waited, self._images = time.perf_counter(), 0.0, 0

    def add(self, images: int, waited: float) -> None:
        self._images += images
        self._waited += waited

    def read(self) -> dict[str, float]:
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        return {"images_per_second": self._images / elapsed, "data_wait_share": self._waited / elapsed}


class TrainingMonitor:
    """Writes the metrics of a training to metrics.jsonl, to TensorBoard and, on request, to a CSV file."""

    def __init__(
        self, events: Path, metrics: Path, start_step: int, *, next_step: int = 0, csv_file: Path | None = None
    ) -> None:
        """Drops lines and points beyond `start_step`: a resumed run computes them again.

        Args:
            events: folder of the event files.
            metrics: metrics.jsonl.
            start_step: steps done so far.
            next_step: the first step that will be logged.
            csv_file: metrics.csv; None for no such file.
        """
        self._metrics = metrics
        dropped = [line["step"] for line in read_json_lines(metrics) if line["step"] > start_step]
        drop_json_lines_after(metrics, start_step)
        self._csv = CsvLog(csv_file, metrics) if csv_file else None
        self._events = EventWriter(events)
        self._events.layout()
        self._events.take_back(start_step + 1)
        kept = read_json_lines(metrics)
        if kept and any(step < next_step for step in dropped):  # logged more often before: see EventWriter
            *_, last = kept
            self._events.take_back(last["step"])
            self._points(last)

    def text(self, name: str, text: str, step: int) -> None:
        """Markdown."""
        self._events.text(name, text, step)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """(H, W, C) uint8."""
        self._events.picture(training_tag(name), picture, step)

    def histograms(self, step: int, values: dict[str, np.ndarray]) -> None:
        """The distribution of each array's finite values; nothing for an array without any."""
        for name, array in values.items():
            array = np.asarray(array)
            finite = array[np.isfinite(array)]
            if len(finite):
                self._events.histogram(training_tag(name), finite, step)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of metrics.jsonl and one point per curve."""
        line = {"step": step} | values
        self._points(line)
        append_json_line(self._metrics, line)
        if self._csv:
            self._csv.append(line)

    def close(self) -> None:
        self._events.close()

    def _points(self, line: dict[str, Any]) -> None:
        values = {
            training_tag(name): value
            for name, value in line.items()
            if name != "step" and isinstance(value, int | float)
        }
        self._events.scalars(line["step"], values)
        self._events.flush()


def progress_line(step: int, total: int, values: dict[str, float]) -> str:
    """One line for the terminal about a logged step."""
    digits = len(str(total))
    rate, left = values["images_per_second"], values["seconds_left"]
    return (
        f"step {step:{digits}d}/{total}  loss {values['loss']:.4f}  active {values['active_fraction']:.0%}  "
        f"hardest pos {values['hardest_positive']:.2f} neg {values['hardest_negative']:.2f}  "
        f"top-1 {values['batch_top1']:.0%}  lr {values['learning_rate']:.1e}  "
        f"{rate:,.0f} images/s  waiting for data {values['data_wait_share']:.0%}  "
        f"left {'?' if math.isnan(left) else clock(math.ceil(left))}"
    )
