import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.images import turn_upright
from dataset.loading.checked import load_episodes, load_images
from dataset.loading.pipeline import broken_image, embedding_batches, training_batches
from dataset.loading.training_set import load_training_set, with_rotated_identities
from model.configuration.loading import check_params
from runtime.errors import UserError


def setup(dataset: Path, **values):
    params = check_params({"dataset": str(dataset), "image_size": 16, "batch_p": 4, "batch_k": 2} | values, "x")
    return params, load_training_set(params)


def batches(params, data, start, stop):
    files = data.images.manifest.files()
    return list(
        training_batches(files, data.images.orientations, data.sampler, params, start, stop).as_numpy_iterator()
    )


def test_batches_are_labelled_images(dataset):
    params, data = setup(dataset, augmentation=[])
    for step, (images, labels, indices) in enumerate(batches(params, data, 0, 3)):
        assert images.shape == (8, 16, 16, 3)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(indices, data.sampler.batch(step))
        identities = data.images.manifest.identities[indices]
        np.testing.assert_array_equal(data.sampler.identities[labels], identities)
        for image, index in zip(images, indices, strict=True):
            with Image.open(data.images.manifest.files()[index]) as file:
                expected = np.asarray(file.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
            assert np.abs(image.astype(int) - expected).mean() < 2


def test_batches_are_a_pure_function_of_seed_and_step(dataset):
    params, data = setup(dataset, augmentation=["affine", "random_crop", "horizontal_flip"])
    whole, later = batches(params, data, 0, 6), batches(params, data, 4, 6)
    for (a, _, _), (b, _, _) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(a, b)
    other, other_data = setup(dataset, augmentation=["affine", "random_crop", "horizontal_flip"], seed=1)
    assert (batches(other, other_data, 0, 1)[0][0] != whole[0][0]).any()


def test_the_same_image_is_augmented_anew_in_every_step(dataset):
    params, data = setup(dataset)
    seen = {}
    for images, _, indices in batches(params, data, 0, 20):
        for image, index in zip(images, indices, strict=True):
            seen.setdefault(index, set()).add(image.tobytes())
    assert max(len(variants) for variants in seen.values()) >= 5


@pytest.mark.parametrize("batch_size", [7, 30, 64])
def test_embedding_batches_lose_no_image(dataset, batch_size):
    params, data = setup(dataset)
    files = data.images.manifest.files()
    images = np.concatenate(list(embedding_batches(files, data.images.orientations, params, batch_size)))
    assert len(images) == len(files) == 30
    whole = np.concatenate(list(embedding_batches(files, data.images.orientations, params, 30)))
    np.testing.assert_array_equal(images, whole)


def test_rotated_photographs_are_turned_upright(own_dataset):
    rows = (own_dataset / "train.csv").read_text().splitlines()
    file = own_dataset / rows[1].partition(",")[2]
    picture = Image.fromarray(np.kron([[0, 80], [160, 240]], np.ones((12, 12))).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[274] = 6
    picture.rotate(90).save(file, exif=exif, quality=95)  # as a camera held sideways stores it
    params, data = setup(own_dataset)
    assert data.images.orientations[0] == 6
    image = next(embedding_batches(data.images.manifest.files(), data.images.orientations, params, 4))[0].numpy()
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(image.astype(int) - expected).mean() < 6


def test_a_corrupt_image_is_named(own_dataset):
    params, data = setup(own_dataset, check_images="off")
    files = data.images.manifest.files()
    whole = Path(files[9]).read_bytes()
    Path(files[9]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="corrupt image data") as error:
        list(embedding_batches(files, data.images.orientations, params, 4))
    assert files[9] in str(error.value)
    Path(files[9]).unlink()
    assert "no such file" in str(broken_image(files, None))


def test_broken_files_stop_or_are_left_out(own_dataset):
    prepared = open_prepared(str(own_dataset))
    manifest = load_images(prepared.train_csv, prepared.image_root).manifest
    Path(manifest.files()[3]).unlink()
    Path(manifest.files()[7]).write_bytes(b"")
    with pytest.raises(UserError, match="1 more bad image") as error:
        load_images(prepared.train_csv, prepared.image_root)
    assert manifest.files()[3] in str(error.value)
    kept = load_images(prepared.train_csv, prepared.image_root, on_corrupt="skip")
    assert len(kept) == 28
    assert set(kept.skipped) == {manifest.files()[3], manifest.files()[7]}
    assert list(kept.manifest.paths) == [path for i, path in enumerate(manifest.paths) if i not in (3, 7)]


def test_episodes_with_a_broken_image_are_left_out(own_dataset):
    csv = own_dataset / "episodes" / "val_eval.csv"
    whole = load_episodes(csv, own_dataset).episodes
    Path(whole.files()[whole.anchors[2]]).unlink()
    with pytest.raises(UserError, match="no such file"):
        load_episodes(csv, own_dataset)
    kept = load_episodes(csv, own_dataset, on_corrupt="skip")
    gone = whole.anchors[2]
    expected = [
        name
        for i, name in enumerate(whole.names)
        if gone not in (whole.anchors[i], whole.positives[i], *whole.negatives[whole.offsets[i] : whole.offsets[i + 1]])
    ]
    assert list(kept.episodes.names) == expected
    assert 0 < len(expected) < len(whole)
    assert kept.episodes.offsets[-1] == len(kept.episodes.negatives)


def test_every_image_broken(own_dataset):
    prepared = open_prepared(str(own_dataset))
    for file in load_images(prepared.train_csv, prepared.image_root).manifest.files():
        Path(file).write_bytes(b"")
    with pytest.raises(UserError, match="none of its 30 images"):
        load_images(prepared.train_csv, prepared.image_root, on_corrupt="skip")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_identities_are_turned_by_quarters(dataset, orientation):
    images = load_images(dataset / "train.csv", dataset)
    images = dataclasses.replace(images, orientations=np.full(30, orientation, np.uint8))
    turned = with_rotated_identities(images)
    assert len(turned) == 120
    assert list(turned.manifest.identities[::30]) == ["id 0", "id 0@90", "id 0@180", "id 0@270"]
    assert list(turned.manifest.paths[:30]) == list(turned.manifest.paths[90:])
    picture = tf.reshape(tf.range(6), [2, 3, 1])
    upright = turn_upright(picture, orientation).numpy()
    for quarter in range(4):
        shown = turn_upright(picture, turned.orientations[30 * quarter]).numpy()
        np.testing.assert_array_equal(shown, np.rot90(upright, -quarter))


def test_training_on_rotated_identities(dataset):
    _, data = setup(dataset, rotated_identities=True)
    assert len(data.sampler.identities) == 24


def shorten(dataset, images):
    """Leaves only the first `images` images of the last identity in train.csv."""
    lines = (dataset / "train.csv").read_text().splitlines(keepends=True)
    (dataset / "train.csv").write_text("".join(lines[: len(lines) - 5 + images]))


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        (
            {"batch_k": 6, "batch_p": 3},
            "26 images of 6 identities (6 of them with fewer than K = 6); "
            "an epoch is 2 steps and sees 26 images (100%)",
        ),
        (
            {"batch_k": 3},
            "26 images of 6 identities (1 of them with fewer than K = 3); an epoch is 2 steps and sees 16 images (62%)",
        ),
        (
            {"sampling": "uniform"},
            "26 images of 6 identities (1 of them with a single image); an epoch is 4 steps and sees 26 images (100%)",
        ),
        (
            {"sampling": "triplets"},
            "26 images of 6 identities (1 of them with a single image); "
            "an epoch is 13 steps with 25 triples and sees 25 images (96%)",
        ),
    ],
)
def test_the_summary_counts(own_dataset, values, summary):
    shorten(own_dataset, images=1)
    _, data = setup(own_dataset, **values)
    assert data.summary().endswith(summary)


@pytest.mark.parametrize(("sampling", "size"), [("pk", 8), ("uniform", 8), ("triplets", 6)])
def test_every_sampling_feeds_the_pipeline(dataset, sampling, size):
    params, data = setup(dataset, sampling=sampling)
    for step, (images, labels, indices) in enumerate(batches(params, data, 0, 7)):
        assert images.shape == (size, 16, 16, 3)
        np.testing.assert_array_equal(indices, data.sampler.batch(step))
        np.testing.assert_array_equal(labels, data.sampler.codes[indices])


def test_the_pipeline_uses_given_triples(dataset):
    params, data = setup(dataset, sampling="triplets")
    sampler, steps = data.sampler, data.sampler.steps_per_epoch
    triples = np.stack([np.arange(30), np.arange(30) // 5 * 5 + (np.arange(30) + 1) % 5, (np.arange(30) + 5) % 30], 1)
    sampler.use(1, triples)
    seen = np.concatenate([indices.reshape(-1, 3) for _, _, indices in batches(params, data, steps, 2 * steps)])
    assert len(seen) == 30
    np.testing.assert_array_equal(seen[np.argsort(seen[:, 0])], triples)
