"""A Keras model in one file, `model.keras`."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = "model.keras"
PACKAGES = ()
QUANTIZE = ()

_CODE = """import keras  # {version} or newer
{layers}
network = keras.saving.load_model("model.keras", compile=False)
embeddings = network.predict(images, verbose=0)"""
_LAYERS = """
# Layers that Keras lacks. Run this in the folder of the project that trained the network.
import model.network.heads
"""


def write(model: Any, path: Path, quantize: str | None, images: np.ndarray) -> None:
    model.save(path)
    _deflate(path)


def open_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    import model.network.heads  # noqa: F401  (their layers)

    return keras.saving.load_model(path, compile=False).predict_on_batch


def usage(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        version = json.loads(file.read("metadata.json"))["keras_version"]
        ours = b'"triplet>' in file.read("config.json")
    return _CODE.format(version=version, layers=_LAYERS if ours else "")


def _deflate(path: Path) -> None:
    """Compresses the file, which Keras stores uncompressed; Keras reads both."""
    smaller = path.with_name(f"{path.name}.deflated")
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as out:
        for part in file.infolist():
            out.writestr(part.filename, file.read(part))
    if smaller.stat().st_size < path.stat().st_size:
        smaller.replace(path)
    else:
        smaller.unlink()
