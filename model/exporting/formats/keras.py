"""A Keras model in one file, `model.keras`."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = "model.keras"
PACKAGES = ()
QUANTIZE = ()

_CODE = """import keras

model = keras.saving.load_model("model.keras", compile=False)
embeddings = model.predict(images, verbose=0)"""

_WITH_LAYERS_OF_OURS = """import keras
import model.network.heads  # from the project that trained it: the layers that Keras lacks

network = keras.saving.load_model("model.keras", compile=False)
embeddings = network.predict(images, verbose=0)"""


def write(model: Any, path: Path, quantize: str | None, images: np.ndarray) -> None:
    model.save(path)
    _deflate(path)


def open_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    import model.network.heads  # noqa: F401  (their layers)

    return keras.saving.load_model(path, compile=False).predict_on_batch


def usage(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return _WITH_LAYERS_OF_OURS if b'"triplet>' in file.read("config.json") else _CODE


def _deflate(path: Path) -> None:
    """Compresses the file, whose parts Keras stores as they are; Keras reads both."""
    smaller = path.with_name(f"{path.name}.deflated")
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as out:
        for part in file.infolist():
            out.writestr(part.filename, file.read(part))
    if smaller.stat().st_size < path.stat().st_size:
        smaller.replace(path)
    else:
        smaller.unlink()
