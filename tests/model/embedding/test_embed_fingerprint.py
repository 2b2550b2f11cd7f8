"""The parameters on which embeddings depend, as the fingerprint of kept rows and of shards knows them."""

from pathlib import Path

import numpy as np
import pytest

from dataset.formats.manifest import read_manifest
from dataset.loading.checked import CheckedImages
from dataset.loading.pipeline import embedding_batches
from model.configuration.loading import check_params
from model.configuration.params import Params
from model.embedding.partial import fingerprint_of
from model.embedding.views import TestTimeAugmentation
from model.network.build import build_embedder

# Each with another value than its default.
WITH_EFFECT = {
    "image_size": 32,
    "image_channels": 1,
    "pre_crop_size": 80,
    "pad_to_square": True,
    "model_type": "mobilenet_v2",
    "last_stride": 1,
    "backbone_stage": 2,
    "head": "fc1024",
    "pooling": "max",
    "descriptors": "SMG",
    "gem_p": 2.0,
    "gem_learned": True,
    "whitening": "end",
    "embedding_size": 5,
    "preprocess": False,
    "num_channels": 8,
    "use_batch_norm": False,
    "precision": "mixed_bfloat16",
    "deterministic": True,
}
# What building and loading ask for, but a trained network in inference does not depend on.
ASKED_WITHOUT_EFFECT = {
    "seed": 3,
    "bn_momentum": 0.5,
    "batch_norm": "frozen",
    "frozen_stages": 2,
    "classified_descriptor": "reduced",
    "num_parallel_calls": 3,
    "prefetch_threads": 2,
}
# The batch size itself is told.
WITHOUT_EFFECT = ASKED_WITHOUT_EFFECT | {"learning_rate": 0.5, "eval_batch_size": 3, "check_images": "off"}


@pytest.fixture
def digest(dataset, tmp_path):
    """The digest of parameters in a fingerprint."""
    (tmp_path / "ckpt-1.index").write_bytes(b"weights")
    images = CheckedImages(read_manifest(dataset / "query.csv", dataset), np.ones(6, np.uint8))
    return lambda **values: fingerprint_of(tmp_path / "ckpt-1", images, Params().model_copy(update=values), 2)["params"]


def test_parameters_with_and_without_effect(digest):
    digests = [digest(), *(digest(**{name: value}) for name, value in WITH_EFFECT.items())]
    assert len(set(digests)) == len(digests)
    for name, value in WITHOUT_EFFECT.items():
        assert getattr(Params(), name) != value
        assert digest(**{name: value}) == digests[0], name


class Recorder:
    """Parameters that note which of them are asked for, also by their properties."""

    def __init__(self, params: Params, asked: set[str]) -> None:
        self._params, self._asked = params, asked

    def __getattr__(self, name: str):
        if name in Params.model_fields:
            self._asked.add(name)
            return getattr(self._params, name)
        return getattr(Params, name).fget(self)


def test_no_parameter_with_effect_is_forgotten(dataset):
    """What building and loading ask for is either in the fingerprint or known to be without effect."""
    asked: set[str] = set()
    for values in (
        {},
        {"head": "fc1024_normalize", "image_channels": 1},
        {"head": "bnneck", "num_channels": [4, 8], "embedding_size": 8},
        {"head": "cgd"},
        {"model_type": "mobilenet_v2"},
    ):
        build_embedder(Recorder(check_params({"image_size": 32} | values, "x"), asked))
    params = Recorder(Params(), asked)
    files = read_manifest(Path(dataset) / "query.csv", dataset).files()
    shape = TestTimeAugmentation("five").load_shape(params)
    next(embedding_batches(files, np.ones(6, np.uint8), params, 2, shape=shape))
    assert asked - set(ASKED_WITHOUT_EFFECT) == set(WITH_EFFECT) - {"deterministic"}  # this one is for the devices
