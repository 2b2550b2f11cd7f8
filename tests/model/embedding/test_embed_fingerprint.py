"""The fingerprint of kept rows and shards has all parameters on which embeddings depend."""

from typing import ClassVar

import numpy as np

from dataset.formats.manifest import read_manifest
from dataset.loading.pipeline import embedding_batches
from model.configuration.loading import check_params
from model.configuration.params import Params
from model.embedding.partial import _WITH_EFFECT
from model.embedding.views import TestTimeAugmentation
from model.network.build import build_embedder

# Parameters that building and loading read, but that do not affect inference.
ASKED_WITHOUT_EFFECT = {
    "seed",
    "bn_momentum",
    "batch_norm",
    "frozen_stages",
    "classified_descriptor",
    "num_parallel_calls",
    "recompute",
    "prefetch_threads",
}


class Recorder(Params):
    """Parameters that record which of them are read, also through properties."""

    asked: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str):
        if name in Params.model_fields:
            Recorder.asked.add(name)
        return super().__getattribute__(name)


def test_no_parameter_with_effect_is_forgotten(dataset):
    """Every parameter read by building and loading is in the fingerprint, or known to have no effect."""
    for values in (
        {},
        {"head": "fc1024_normalize", "image_channels": 1},
        {"head": "bnneck", "num_channels": [4, 8], "embedding_size": 8},
        {"head": "cgd"},
        {"model_type": "mobilenet_v2"},
    ):
        build_embedder(Recorder.model_construct(**dict(check_params({"image_size": 32} | values, "x"))))
    params = Recorder.model_construct()
    files = read_manifest(dataset / "query.csv", dataset).files()
    shape = TestTimeAugmentation("five").load_shape(params)
    next(embedding_batches(files, np.ones(6, np.uint8), params, 2, shape=shape))
    assert Recorder.asked - ASKED_WITHOUT_EFFECT | {"deterministic"} == set(
        _WITH_EFFECT
    )  # this one is read with the devices
