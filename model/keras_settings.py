"""Keras as the networks need it, whatever KERAS_BACKEND and Keras's own file keras.json say.

It does not import Keras.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from runtime.errors import UserError

_NEEDED = {"floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}


def choose_tensorflow() -> None:
    """Makes Keras run on TensorFlow, if it is not imported yet."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"


def set_needed() -> None:
    """Sets what networks need, in a process that has imported Keras.

    Raises:
        UserError: when Keras was imported with another backend.
    """
    config = sys.modules["keras"].config
    if config.backend() != "tensorflow":
        raise UserError(
            f"Keras runs on {config.backend()}, but these networks need TensorFlow; set the environment variable "
            "KERAS_BACKEND to tensorflow, or import model before keras"
        )
    _set(_NEEDED)


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """A context with these settings, which are as before afterwards."""
    config = sys.modules["keras"].config
    before = {name: getattr(config, name)() for name in _NEEDED}
    set_needed()
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, object]) -> None:
    for name, value in values.items():
        getattr(sys.modules["keras"].config, f"set_{name}")(value)
