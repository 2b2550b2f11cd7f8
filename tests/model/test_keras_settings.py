"""Keras computes the same whatever the user's own settings are, and they stay as they are."""

import keras
import numpy as np
import pytest

from model import keras_settings
from model.configuration.params import Params
from model.network.build import build_embedder
from runtime.errors import UserError

NAMES = ("floatx", "image_data_format", "epsilon")
ODD = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}


@pytest.fixture
def odd_settings():
    before = {name: getattr(keras.config, name)() for name in NAMES}
    keras_settings._set(ODD)
    yield
    keras_settings._set(before)


def vectors() -> np.ndarray:
    params = Params(dataset="x", image_size=16, num_channels=[4], embedding_size=4, head="fc1024_normalize")
    keras.utils.set_random_seed(0)
    return np.asarray(build_embedder(params)(np.full((2, 16, 16, 3), 99, np.uint8)))


@pytest.fixture
def usual():
    return vectors()


def test_networks_are_the_same_and_the_settings_stay(usual, odd_settings):
    found = vectors()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, usual)
    assert {name: getattr(keras.config, name)() for name in NAMES} == ODD


def test_another_backend_is_named(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"Keras runs on jax.*KERAS_BACKEND to tensorflow"):
        keras_settings.set_needed()
