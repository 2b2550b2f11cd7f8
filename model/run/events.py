"""Writes event files that TensorBoard shows as one curve, even if a resumed run repeats steps."""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.util.tensor_util import make_ndarray, make_tensor_proto

from model.run.event_tags import first_charts
from runtime.errors import UserError

_numbers = itertools.count()  # of the files of this process
PICTURES = 100  # of each tag, before they become rarer; TensorBoard shows 10
_LARGE = 2**26  # bytes of a file, after which the next one begins


class EventWriter:
    """Writes new event files in a folder, which may have older ones: one after the other, each up to 64 MB.

    TensorBoard reads the files of a folder in order of their names, which begin with the time. Its two loaders drop
    repeated steps differently: with `--load_fast false` at a START event, by default at the next point of the same tag.

    TensorFlow's own `tf.summary` is not used: it hides errors of writing, and keeps every number that it was given.

    Every method raises a UserError when the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._open()

    def _open(self) -> None:
        origin = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = self._folder / f"events.out.tfevents.{origin}.{next(_numbers):06}.v2"
        with self._writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._records = tf.io.TFRecordWriter(os.fsencode(os.path.realpath(self._file)))
            self._inode, self._size = self._file.stat().st_ino, 0
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()

    def take_back(self, step: int) -> None:
        """Drops the points at `step` and later; in the default loader not before the next point of their tag."""
        for _ in range(2):  # the first START event in a folder drops nothing
            session = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=step, session_log=session))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One point per tag."""
        for tag, value in values.items():
            self._add(step, scalar_pb(tag, value))

    def picture(self, tag: str, picture: np.ndarray, step: int) -> None:
        """(H, W, C) uint8."""
        height, width, _ = picture.shape
        strings = [str(width).encode(), str(height).encode(), tf.io.encode_png(picture).numpy()]
        metadata = images.create_summary_metadata(None, None, converted_to_tensor=True)
        self._add(step, _summary(tag, metadata, strings))

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        self._add(step, histogram_pb(tag, values))

    def text(self, tag: str, text: str, step: int) -> None:
        """`text` is Markdown."""
        self._add(step, text_pb(tag, text))

    def layout(self) -> None:
        """Writes the charts of the Custom Scalars tab, at step 0, where they are never dropped."""
        layout = first_charts().SerializeToString()
        self._add(0, _summary(custom_scalars.CONFIG_SUMMARY_TAG, custom_scalars.create_summary_metadata(), layout))

    def flush(self) -> None:
        """Writes what is in memory. Also notices a folder that was removed or is read-only now."""
        with self._writing():
            self._records.flush()
        with self._writing():
            # Its name may have changed.
            there = self._file.exists() or self._inode in {path.stat().st_ino for path in self._folder.iterdir()}
        if not there:
            raise UserError(f"cannot write {self._file}: it was removed")
        if not os.access(self._folder, os.W_OK):
            raise UserError(f"cannot write {self._file}: its folder has become read-only")
        if self._size >= _LARGE:
            self.close()
            self._open()

    def close(self) -> None:
        with self._writing():
            self._records.close()

    def _add(self, step: int, summary: Summary) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        record = event.SerializeToString()
        self._size += len(record)
        with self._writing():
            self._records.write(record)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self._file}: {error.strerror or error}") from error
        except tf.errors.OpError as error:
            reason = error.message.rpartition("; ")[2] or error.message
            raise UserError(f"cannot write {self._file}: {reason}") from error


def _summary(tag: str, metadata: SummaryMetadata, content: bytes | list[bytes]) -> Summary:
    tensor = make_tensor_proto(content, dtype=np.object_)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def is_kept(number: int, dense: int) -> bool:
    """Whether a picture or histogram is written, given how many came before it.

    The first `dense` are, then every second one, from twice `dense` on every fourth, and so on: each time a run becomes
    twice as long, `dense` / 2 are added.
    """
    return number % 2 ** (number // dense).bit_length() == 0


def shown_points(folder: Path) -> dict[int, dict[str, float]]:
    """The points of the curves that TensorBoard shows of a folder: step -> tag -> value, rounded to float32."""
    points: dict[int, dict[str, float]] = {}
    for file in sorted(Path(folder).glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            scalars = [value for value in event.summary.value if value.metadata.plugin_data.plugin_name == "scalars"]
            if event.session_log.status == SessionLog.START:
                points = {step: values for step, values in points.items() if step < event.step}
            if scalars:
                # The next point of its tag drops a later one; all tags of an evaluation are written together.
                points = {step: values for step, values in points.items() if step <= event.step}
                values = {value.tag: make_ndarray(value.tensor).item() for value in scalars}
                points[event.step] = points.get(event.step, {}) | values
    return points
