"""Writes event files that TensorBoard shows as one curve, even if a resumed run repeats steps."""

import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.custom_scalar import metadata as custom_scalars

from model.run.event_tags import first_charts


class EventWriter:
    """Writes a new event file in a folder, which may have older ones.

    TensorBoard reads the files of a folder in order of time. Its two loaders drop repeated steps differently: with
    `--load_fast false` at a START event, by default at the next point of the same tag.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(os.fsencode(os.path.realpath(folder)))

    def take_back(self, step: int) -> None:
        """Drops the points at `step` and later; in the default loader not before the next point of their tag."""
        start = Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))
        for _ in range(2):  # the first START event in a folder drops nothing
            tf.raw_ops.ImportEvent(writer=self._writer._resource, event=start.SerializeToString())

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One point per tag."""
        with self._writer.as_default():
            for tag, value in values.items():
                tf.summary.scalar(tag, value, step)

    def picture(self, tag: str, picture: np.ndarray, step: int) -> None:
        """(H, W, C) uint8."""
        with self._writer.as_default():
            tf.summary.image(tag, picture[None], step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        with self._writer.as_default():
            tf.summary.histogram(tag, values, step)

    def text(self, tag: str, text: str, step: int) -> None:
        """`text` is Markdown."""
        with self._writer.as_default():
            tf.summary.text(tag, text, step)

    def layout(self) -> None:
        """Writes the charts of the Custom Scalars tab, at step 0, where they are never dropped."""
        metadata = custom_scalars.create_summary_metadata()
        with self._writer.as_default():
            layout = first_charts().SerializeToString()
            tf.summary.write(custom_scalars.CONFIG_SUMMARY_TAG, layout, 0, metadata=metadata)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def shown_steps(folder: Path) -> set[int]:
    """The steps at which TensorBoard shows scalars of a folder."""
    steps: set[int] = set()
    for file in sorted(Path(folder).glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            scalar = any(value.metadata.plugin_data.plugin_name == "scalars" for value in event.summary.value)
            if scalar or event.session_log.status == SessionLog.START:
                steps = {step for step in steps if step < event.step}
            if scalar:
                steps.add(event.step)
    return steps
