"""TensorFlow's SavedModel, a folder `saved_model/`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = "saved_model"
PACKAGES = ()
QUANTIZE = ()


def write(model: Any, path: Path, quantize: str | None, images: np.ndarray) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def open_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: loaded.serve(images).numpy()


def usage(path: Path) -> str:
    return """import tensorflow as tf

model = tf.saved_model.load("saved_model")
embeddings = model.serve(images).numpy()"""
