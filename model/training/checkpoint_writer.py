"""Writes checkpoints in a thread, from copies: training continues meanwhile."""

import concurrent.futures
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from runtime.errors import UserError
from runtime.plain_paths import plain_path

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # TensorFlow's key of the description of all objects
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # the end of a variable's key


class CheckpointWriter:
    """Writes a `tf.train.Checkpoint` again and again.

    TensorFlow writes the first file. It also says which objects there are and what their keys are, which takes Python a
    second for a network of 300 layers. This does not change, and the later files take it over.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._graph = b""
        self._variables: dict[str, tf.Variable | keras.Variable] = {}  # by key, after the first file
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
        self._writing: concurrent.futures.Future[None] | None = None

    def begin(self, path: Path, then: Callable[[], None]) -> None:
        """Copies the variables, then writes `path` and calls `then` in the thread. Waits for the file before.

        Raises:
            UserError: when the file before (or this one, if it is the first) could not be written.
        """
        self.wait()
        if not self._variables:
            _write(path, self._write_first, then)
            return
        values = {key: np.array(variable.numpy()) for key, variable in self._variables.items()}
        self._writing = self._thread.submit(_write, path, lambda plain: self._write_values(plain, values), then)

    def check(self) -> None:
        """Raises the error of `wait` if the thread has met it already."""
        if self._writing and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is being written.

        Raises:
            UserError: when the file could not be written.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def settle(self) -> None:
        """Like `wait`, but leaves an error for later."""
        if self._writing:
            concurrent.futures.wait([self._writing])

    def _write_first(self, plain: str) -> None:
        """Writes a file, and finds the variable of each of its keys: a key is the way from the root to a variable."""
        self._checkpoint.write(plain)
        reader, view = tf.train.load_checkpoint(plain), tf.train.TrackableView(self._checkpoint)
        self._graph = reader.get_tensor(_GRAPH)
        children: dict[str, dict[str, Any]] = {}
        for key in sorted(reader.get_variable_to_shape_map()):
            if key != _GRAPH:
                found, way = self._checkpoint, ""
                for name in key.removesuffix(_VALUE).split("/"):
                    if way not in children:
                        children[way] = view.children(found)
                    found, way = children[way][name], f"{way}/{name}"
                self._variables[key] = found

    def _write_values(self, plain: str, values: dict[str, np.ndarray]) -> None:
        """Does what `Checkpoint.write` does."""
        names, part = [*values, _GRAPH], f"{plain}_temp/part"
        with tf.device("CPU:0"):  # the values are in this memory; a GPU's is for the training
            tensors = [*map(tf.convert_to_tensor, values.values()), tf.constant(self._graph)]
            tf.raw_ops.SaveV2(prefix=part, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
            tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[part], destination_prefix=plain)


def _write(path: Path, write: Callable[[str], None], then: Callable[[], None]) -> None:
    try:
        with plain_path(path) as plain:
            write(plain)
    except tf.errors.OpError as error:
        raise UserError(f"cannot write {path}: {error.message}") from error
    shutil.rmtree(f"{path}_temp", ignore_errors=True)  # TensorFlow leaves it if anything else is in it
    then()
