import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dataset.formats.episodes import attributes_path, write_attributes
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


@pytest.mark.parametrize(("sampling", "size"), [("pk", 8), ("uniform", 8), ("triplets", 6)])
def test_batches_are_labelled_images(dataset, sampling, size):
    params, data = setup(dataset, augmentation=[], sampling=sampling)
    manifest = data.images.manifest
    for step, (images, labels, indices) in enumerate(batches(params, data, 0, 7)):
        assert (images.shape, images.dtype) == ((size, 16, 16, 3), np.uint8)
        np.testing.assert_array_equal(indices, data.sampler.batch(step))
        assert data.sampler.batch_size == size
        np.testing.assert_array_equal(data.sampler.identities[labels], manifest.identities[indices])
        for image, index in zip(images, indices, strict=True):
            with Image.open(manifest.files()[index]) as file:
                expected = np.asarray(file.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
            assert np.abs(image.astype(int) - expected).mean() < 2


ALL = {
    "augmentation": ["random_resized_crop", "rotate", "scale", "grayscale", "color_jitter", "horizontal_flip"],
    "augmentation_pool": ["translate", "shear", "affine", "random_erasing"],
}


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ((16, 16, 3), ALL),
        ((20, 12, 1), ALL | {"image_size": [20, 12], "image_channels": 1}),
        ((16, 16, 3), {"augmentation": ["affine", "random_crop", "horizontal_flip"]}),
    ],
)
def test_batches_are_a_pure_function_of_seed_and_step(dataset, shape, values):
    """An image is augmented differently in every step."""
    params, data = setup(dataset, **values)
    whole, later = batches(params, data, 0, 8), batches(params, data, 6, 8)
    for (a, _, _), (b, _, _) in zip(whole[6:], later, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole[0][0].shape == (8, *shape)
    assert (batches(*setup(dataset, **values, seed=1), 0, 1)[0][0] != whole[0][0]).any()
    seen = {}
    for images, _, indices in whole:
        for image, index in zip(images, indices, strict=True):
            seen.setdefault(index, []).append(image.tobytes())
    assert all(len(set(variants)) == len(variants) for variants in seen.values())


def test_resized_crops_are_cut_out_of_pre_crop_size(dataset):
    """Windows of 2/3 of a side, 16 of 24 pixels, need no resizing: they show the file's own pixels."""
    values = {"resized_crop_area": [4 / 9] * 2, "resized_crop_aspect": [1.0, 1.0], "pre_crop_size": 24}
    params, data = setup(dataset, augmentation=["random_resized_crop"], **values)
    ((images, _, indices),) = batches(params, data, 0, 1)
    found = set()
    for image, index in zip(images, indices, strict=True):
        with Image.open(data.images.manifest.files()[index]) as picture:
            whole = np.asarray(picture).astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 16, 3))[:, :, 0]
        worst = np.abs(windows - image).max(axis=(2, 3, 4))
        assert worst.min() <= 1  # of the JPEG decoders
        found.add(int(worst.argmin()))
    assert len(found) > 3


@pytest.mark.parametrize(("batch_size", "start", "stop"), [(7, 0, None), (30, 0, None), (64, 0, None), (7, 9, 25)])
def test_embedding_batches_lose_no_image(dataset, batch_size, start, stop):
    """Batches end where batches of the whole list end."""
    params, data = setup(dataset)
    given = data.images.manifest.files(), data.images.orientations, params
    read = list(embedding_batches(*given, batch_size, start=start, stop=stop))
    (whole,) = embedding_batches(*given, 30)
    np.testing.assert_array_equal(np.concatenate(read), whole[start:stop])
    ends = start + np.cumsum([len(batch) for batch in read])
    assert (ends[:-1] % batch_size == 0).all()


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
    assert "no such file" in str(broken_image(files, params, None))


@pytest.mark.parametrize(
    ("check", "corrupt", "remedy"),
    [
        ("headers", "error", "set check_images to 'full' and corrupt_images to 'skip' to skip"),
        ("off", "skip", "set check_images to 'full' to skip"),
        ("full", "skip", "it was whole when it was checked"),
    ],
)
def test_no_remedy_is_named_that_is_set_already(own_dataset, check, corrupt, remedy):
    params, data = setup(own_dataset, check_images=check, corrupt_images=corrupt)
    file = data.images.manifest.files()[0]
    Path(file).write_bytes(b"\xff\xd8\xff")
    assert remedy in str(broken_image([file], params, None))


def test_a_batch_that_fails_for_another_reason_gives_one_line(own_dataset):
    params, data = setup(own_dataset)
    files = data.images.manifest.files()
    problem = tf.errors.ResourceExhaustedError(None, None, "no memory\n\t [[node x]]")
    said = str(broken_image(files[:4], params, problem))
    assert said == f"one of 4 images, such as {files[0]}, cannot be loaded: no memory [[node x]]"


def test_a_cmyk_photograph_is_embedded_in_grey(own_dataset):
    params, data = setup(own_dataset, image_channels=1)
    files = data.images.manifest.files()
    Image.open(files[2]).convert("CMYK").save(files[2])
    batch = next(embedding_batches(files, data.images.orientations, params, 4)).numpy()
    expected = np.asarray(Image.open(files[2]).convert("L").resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(batch[2, ..., 0].astype(int) - expected).mean() < 12


def test_broken_files_are_an_error_or_skipped(own_dataset):
    csv = own_dataset / "train.csv"
    manifest = load_images(csv, own_dataset).manifest
    files = manifest.files()
    Path(files[3]).unlink()
    Path(files[7]).write_bytes(b"")
    with pytest.raises(UserError, match=r"no such file \(and 1 more bad image") as error:
        load_images(csv, own_dataset)
    assert files[3] in str(error.value)
    kept = load_images(csv, own_dataset, on_corrupt="skip")
    assert set(kept.skipped) == {files[3], files[7]}
    assert list(kept.manifest.paths) == [path for i, path in enumerate(manifest.paths) if i not in (3, 7)]
    for file in files:
        Path(file).write_bytes(b"")
    with pytest.raises(UserError, match="none of its 30 images"):
        load_images(csv, own_dataset, on_corrupt="skip")


def test_episodes_with_a_broken_image_are_excluded(own_dataset):
    """The attributes of the others are kept; attributes of an unknown episode are still an error."""
    csv = own_dataset / "episodes" / "val_eval.csv"
    write_attributes(attributes_path(csv), {"snippet": [f"of episode {i}" for i in range(6)]})
    whole = load_episodes(csv, own_dataset).episodes
    broken = whole.anchors[2]
    Path(whole.files()[broken]).unlink()
    with pytest.raises(UserError, match="no such file"):
        load_episodes(csv, own_dataset)
    kept = load_episodes(csv, own_dataset, on_corrupt="skip").episodes
    negatives = np.split(whole.negatives, whole.offsets[1:-1])
    used = np.column_stack([whole.anchors, whole.positives, negatives])  # two negatives each
    assert kept.names.tolist() == whole.names[(used != broken).all(axis=1)].tolist()
    assert 0 < len(kept) < len(whole)
    assert kept.offsets[-1] == len(kept.negatives)
    for episodes in (whole, kept):
        assert episodes.attributes["snippet"].tolist() == [f"of episode {name}" for name in episodes.names]
    with open(attributes_path(csv), "a") as file:
        file.write("6,x\n")
    with pytest.raises(UserError, match="there is no episode '6'"):
        load_episodes(csv, own_dataset, on_corrupt="skip")


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


@pytest.mark.parametrize(
    ("values", "shortage", "epoch"),
    [
        ({"batch_k": 6, "batch_p": 3}, "6 of them with fewer than K = 6", "2 steps and sees 26 images (100%)"),
        ({"batch_k": 3}, "1 of them with fewer than K = 3", "2 steps and sees 16 images (62%)"),
        (
            {"rotated_identities": True, "batch_k": 3},
            "4 of them with fewer than K = 3",
            "6 steps and sees 64 images (62%)",
        ),
        ({"sampling": "uniform"}, "1 of them with a single image", "4 steps and sees 26 images (100%)"),
        (
            {"sampling": "triplets"},
            "1 of them with a single image",
            "13 steps with 25 triples and sees 25 images (96%)",
        ),
    ],
)
def test_the_summary_counts(own_dataset, values, shortage, epoch):
    lines = (own_dataset / "train.csv").read_text().splitlines(keepends=True)
    (own_dataset / "train.csv").write_text("".join(lines[:-4]))  # one image of the last identity
    _, data = setup(own_dataset, **values)
    images = "104 images of 24 identities" if "rotated_identities" in values else "26 images of 6 identities"
    assert data.summary().endswith(f"{images} ({shortage}); an epoch is {epoch}")


def test_the_pipeline_uses_given_triples(dataset):
    params, data = setup(dataset, sampling="triplets")
    sampler, steps = data.sampler, data.sampler.steps_per_epoch
    triples = np.stack([np.arange(30), np.arange(30) // 5 * 5 + (np.arange(30) + 1) % 5, (np.arange(30) + 5) % 30], 1)
    sampler.use(1, triples)
    seen = np.concatenate([indices.reshape(-1, 3) for _, _, indices in batches(params, data, steps, 2 * steps)])
    assert len(seen) == 30
    np.testing.assert_array_equal(seen[np.argsort(seen[:, 0])], triples)
