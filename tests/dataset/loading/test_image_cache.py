"""image_cache: equal batches, no second reading, errors before training."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset.loading import image_cache
from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import load_training_set
from model.configuration.loading import check_params
from runtime.errors import UserError


@pytest.fixture(autouse=True)
def forget():
    image_cache._kept.clear()


def setup(dataset: Path, **values):
    params = check_params({"dataset": str(dataset), "image_size": 16, "batch_p": 4, "batch_k": 2} | values, "x")
    return params, load_training_set(params)


def batches(params, data, **options):
    given = data.images.manifest.files(), data.images.orientations, data.sampler, params
    return [part for batch in training_batches(*given, 0, 3, **options) for part in batch]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"augmentation": []},
        {"augmentation": ["affine", "random_resized_crop"], "image_channels": 1},
        {"augmentation": [], "rotated_identities": True, "image_size": [20, 12]},
    ],
)
@pytest.mark.parametrize("options", [{}, {"rows": slice(2, 6), "parts": 2}])
def test_batches_are_equal_bit_for_bit_and_files_are_read_once(dataset, tmp_path, values, options):
    own = Path(shutil.copytree(dataset, tmp_path / "own"))
    params, data = setup(own, **values)
    expected = batches(params, data, **options)
    for cache in ("encoded", "decoded"):
        cached = params.model_copy(update={"image_cache": cache})
        batches(cached, data)
        (own / "images").rename(own / "away")
        found = batches(cached, data, **options)
        (own / "away").rename(own / "images")
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_a_corrupt_image_is_named_before_training(own_dataset):
    params, data = setup(own_dataset, image_cache="decoded", check_images="off")
    file = data.images.manifest.files()[9]
    Path(file).write_bytes(Path(file).read_bytes()[:200])
    with pytest.raises(UserError, match="corrupt image data") as error:
        batches(params, data)
    assert file in str(error.value)


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
def test_too_little_memory_is_an_error_before_training(dataset, monkeypatch, cache):
    monkeypatch.setattr(image_cache, "free_memory", lambda: 20e3)
    params, data = setup(dataset, image_cache=cache)
    with pytest.raises(UserError, match=r"30 images need about .* GB of memory .* set image_cache to"):
        batches(params, data)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    (tmp_path / "limit").write_text("3000000\n")
    (tmp_path / "used").write_text("1000000\n")
    (tmp_path / "none").write_text("max\n")
    pairs = [[tmp_path / name, tmp_path / "used"] for name in ("none", "limit", "missing")]
    monkeypatch.setattr(image_cache, "_LIMITS", pairs[:1])
    whole = image_cache.free_memory()
    monkeypatch.setattr(image_cache, "_LIMITS", pairs)
    assert image_cache.free_memory() == 2e6 < whole
