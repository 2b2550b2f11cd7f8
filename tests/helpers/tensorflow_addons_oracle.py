"""TensorFlow Addons' triplet losses, as an oracle.

The package is at its end of life and cannot be imported under Keras 3. This one module works if `sys.modules` has empty
packages, and a stub for the one Keras 2 name that it needs, during the import.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

import pytest


def load_triplet_losses() -> types.ModuleType:
    """The module `tensorflow_addons.losses.triplet`; skips the test if the package is not installed."""
    spec = importlib.util.find_spec("tensorflow_addons")
    if spec is None:
        pytest.skip("tensorflow-addons is not installed (it exists for Python < 3.12 only)")
    addons = ("tensorflow_addons", "tensorflow_addons.losses", "tensorflow_addons.utils")
    bare = {name: types.ModuleType(name) for name in (*addons, "keras.src.engine", "keras.src.engine.keras_tensor")}
    for name in addons:
        bare[name].__path__ = [str(Path(spec.origin).parent.joinpath(*name.split(".")[1:]))]
    bare["keras.src.engine.keras_tensor"].KerasTensor = type("KerasTensor", (), {})
    with mock.patch.dict(sys.modules, bare):
        return importlib.import_module("tensorflow_addons.losses.triplet")
