"""TensorFlow Addons' triplet losses, as an oracle.

The package is at its end of life and does not import under Keras 3, but this one module computes correctly when a bare
package and a stub for the one Keras 2 name that it asks for stand in `sys.modules` during the import.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest


def load_triplet_losses() -> types.ModuleType:
    """The module `tensorflow_addons.losses.triplet`; skips the test where the package is not installed."""
    spec = importlib.util.find_spec("tensorflow_addons")
    if spec is None:
        pytest.skip("tensorflow-addons is not installed (it exists for Python < 3.12 only)")
    folder = Path(spec.origin).parent
    before = set(sys.modules)
    try:
        for name in ("tensorflow_addons", "tensorflow_addons.losses", "tensorflow_addons.utils"):
            package = types.ModuleType(name)
            package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        stub = types.ModuleType("keras.src.engine.keras_tensor")
        stub.KerasTensor = type("KerasTensor", (), {})
        sys.modules["keras.src.engine"] = types.ModuleType("keras.src.engine")
        sys.modules["keras.src.engine.keras_tensor"] = stub
        return importlib.import_module("tensorflow_addons.losses.triplet")
    finally:
        for name in set(sys.modules) - before:
            if name.startswith(("tensorflow_addons", "keras.src.engine")):
                del sys.modules[name]
