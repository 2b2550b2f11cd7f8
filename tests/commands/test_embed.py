"""embed.py: the file that it writes, the views of an image, and invalid input."""

import json
import re
import shutil

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from PIL import Image

from benchmarks.input_pipeline import make_photographs
from dataset.formats.manifest import read_manifest
from dataset.images import resize
from embed import main
from model.configuration.loading import check_params
from model.embedding.embedder import Embedder
from model.embedding.hdf5_file import read_embeddings
from model.embedding.views import TestTimeAugmentation, aggregate
from model.network.build import build_embedder
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.training.warm_start import warm_start
from runtime.errors import exit_code

# Positions of 16 x 16 crops in 18 x 18 images: (top, left).
CORNERS = {
    "crop_center": (1, 1),
    "crop_top_left": (0, 0),
    "crop_top_right": (0, 2),
    "crop_bottom_left": (2, 0),
    "crop_bottom_right": (2, 2),
}
FIVE_FLIPPED = tuple(each for name in CORNERS for each in (name, f"{name}_flip"))


@pytest.fixture
def words(trained, dataset, tmp_path):
    """A complete command line."""
    return ["--model_dir", str(trained), "--dataset", str(dataset / "test.csv"), "--filename", str(tmp_path / "o.h5")]


@pytest.fixture(scope="module")
def manifest(dataset):
    return read_manifest(dataset / "test.csv", dataset)


@pytest.fixture(scope="module")
def params(trained):
    return RunFolder(trained).load_trained_params()


@pytest.fixture(scope="module")
def model(trained, params):
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    return model


@pytest.fixture(scope="module")
def by_hand(manifest, params, model):
    """The embeddings of the list's images in every view: (30, 8) by name."""

    def load(file, side):
        with Image.open(file) as image:
            return resize(tf.constant(np.asarray(image)), (side, side)).numpy()

    plain, larger = (np.stack([load(file, side) for file in manifest.files()]) for side in (16, 18))
    pixels = {"original": plain, "flip": plain[:, :, ::-1]}
    for name, (top, left) in CORNERS.items():
        crop = larger[:, top : top + 16, left : left + 16]
        pixels |= {name: crop, f"{name}_flip": crop[:, :, ::-1]}
    large = build_embedder(params.model_copy(update={"image_size": 18}))
    large.set_weights(model.get_weights())
    found = {name: model(np.ascontiguousarray(images), training=False).numpy() for name, images in pixels.items()}
    return found | {"avgpool": large(larger, training=False).numpy()}


def assert_equal(emb, expected):
    np.testing.assert_allclose(emb, expected, rtol=0, atol=2e-6 * np.linalg.norm(expected, axis=-1).mean())


def test_the_file_is_as_documented(words, tmp_path, manifest, by_hand):
    done = command("embed.py", *words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("embedding 30 images of ")
    assert "images/s" in lines[1]
    assert lines[2] == f"wrote {tmp_path / 'o.h5'}: emb (30, 8)"
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["emb"].dtype == np.float32
        assert list(file["path"].asstr()) == list(manifest.paths)
        assert list(file["identity"].asstr()) == list(manifest.identities)
        assert h5py.check_string_dtype(file["path"].dtype).encoding == "utf-8"
        assert list(file["augmentation_types"].asstr()) == ["original"]
        assert "emb_aug" not in file
        attributes = dict(file.attrs)
        assert_equal(file["emb"][:], by_hand["original"])
    assert attributes["step"] == 4
    assert attributes["checkpoint"].endswith("checkpoints/ckpt-4")
    assert json.loads(attributes["params"])["embedding_size"] == 8
    assert [file.name for file in tmp_path.iterdir()] == ["o.h5"]


def test_image_root_and_checkpoint_by_name(dataset, words, tmp_path, capsys):
    csv, out = tmp_path / "list.csv", tmp_path / "o.h5"
    csv.write_text("a,images/id 0/0.jpg\nb,images/id 1/3.jpg\n")
    words = [*words, "--dataset", str(csv), "--quiet"]
    assert exit_code(lambda: main(words)) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/images/id 0/0.jpg: no such file" in error
    assert error.count("\n") == 1
    assert not out.exists()
    out.touch()  # an empty file may be replaced
    assert main([*words, "--image_root", str(dataset), "--checkpoint", "ckpt-0", "--batch_size", "1"]) == 0
    assert read_embeddings(out).attributes["step"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--flip_augment"],
            "--flip_augment: each image gets 2 embeddings; choose how to combine them: --aggregator mean",
        ),
        (["--crop_augment", "five"], "--crop_augment five: each image gets 5 embeddings"),
        (["--crop_augment", "center", "--aggregator", "mean"], "there is nothing to combine; drop --aggregator"),
        (["--aggregator", "normalized_mean"], "there is nothing to combine; drop --aggregator"),
        (["--crop_augment", "avgpool", "--set", "pooling=flatten"], "pooling 'flatten'"),
        (["--shard", "4/3"], "--shard 4/3 is invalid; use i/n with i from 1 to n"),
        (["--shard", "1/31"], "has only 30 images; use fewer shards"),
        (["--dataset", "a.jpg", "b.jpg", "c.jpg"], "2 more follow, the first is b.jpg; put a pattern in quotes"),
        (["--flip"], "--flip_augment: each image gets 2"),
        (["--frip"], "unrecognized arguments: --frip"),
        (["--batch_size", "0"], "--batch_size: 0: it must be a whole number of at least 1"),
        (["--filename", "no/such/folder/o.h5"], "does not exist; make it first"),
        (["--checkpoint", "ckpt-7"], "there is no checkpoint 'ckpt-7'; it has latest"),
    ],
)
def test_refusals(words, tmp_path, capsys, more, message):
    """Invalid input: one line, exit code 2, before anything is embedded."""
    assert exit_code(lambda: main([*words, *more])) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RUN/params.json", "unknown ending; use one of .h5, .hdf5, .npy, .csv"),
        ("RUN/checkpoints/ckpt-4.index", "unknown ending; use one of .h5, .hdf5, .npy, .csv"),
        ("DATA/images/id 0/0.jpg", "unknown ending; use one of .h5, .hdf5, .npy, .csv"),
        ("DATA/train.csv", "it exists and is not a CSV file of embeddings; choose another name, or remove it first"),
    ],
)
@pytest.mark.parametrize("merging", [False, True])
def test_inputs_are_not_replaced(words, trained, dataset, capsys, name, message, merging):
    place, _, rest = name.partition("/")
    file = {"RUN": trained, "DATA": dataset}[place] / rest
    before, neighbours = file.read_bytes(), sorted(file.parent.iterdir())
    line = ["merge", "a.h5"] if merging else words
    assert exit_code(lambda: main([*line, "--filename", str(file)])) == 2
    error = capsys.readouterr().err
    assert error == f"error: --filename {file}: {message}\n"
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == (before, neighbours)


def test_a_disk_that_is_too_small_is_found_before_anything_is_embedded(words, tmp_path, capsys, monkeypatch):
    out, usage = tmp_path / "o.h5", shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=2**17))
    monkeypatch.setattr("model.embedding.job._embed_rest", lambda *_, **__: pytest.fail("it was embedded"))
    assert exit_code(lambda: main([*words, "--quiet"])) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: cannot write {out}: embedding needs 0\.1 MB of disk space .* only 0\.1 MB are free; .*\n", error
    )


def test_the_error_for_a_nan_in_an_embedding_names_the_image(words, tmp_path, capsys, monkeypatch):
    vectors = np.zeros((30, 1, 8), np.float32)
    vectors[4, 0, 2] = np.nan
    monkeypatch.setattr(Embedder, "batches", lambda *_, **__: iter([vectors]))
    assert exit_code(lambda: main(words)) == 2
    assert "the embedding of images/id 0/4.jpg is NaN or infinite" in capsys.readouterr().err
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ("--crop_augment five --flip_augment --aggregator mean", FIVE_FLIPPED),
        ("--crop_augment five --flip_augment --aggregator normalized_mean", FIVE_FLIPPED),
        ("--flip_augment --aggregator mean", ("original", "flip")),
        ("--crop_augment center", ("crop_center",)),
        ("--crop_augment avgpool", ("avgpool",)),
    ],
)
def test_views_equal_those_made_by_hand(words, tmp_path, by_hand, capfd, more, names):
    assert main([*words, "--quiet", "--batch_size", "7", *more.split()]) == 0
    assert capfd.readouterr() == ("", "")
    found = read_embeddings(tmp_path / "o.h5")
    assert found.augmentation_types == names
    aggregator = found.attributes.get("aggregator")
    assert aggregator == (more.split()[-1] if len(names) > 1 else None)
    variants = np.stack([by_hand[name] for name in names])
    if aggregator:
        assert_equal(found.emb_aug, variants)
    else:
        assert found.emb_aug is None
    mean = variants.astype(float).mean(axis=0)
    if aggregator == "normalized_mean":
        mean /= np.linalg.norm(mean, axis=1)[:, None]
    assert_equal(found.emb, mean)


def test_crops_of_odd_margins_stay_inside():
    images = np.arange(7 * 9).reshape(1, 7, 9, 1)
    five = TestTimeAugmentation("five")
    cut = dict(zip(five.names, five.variants(images, (4, 5)), strict=True))
    assert {variant.shape for variant in cut.values()} == {(1, 4, 5, 1)}
    first = {name: divmod(int(variant[0, 0, 0, 0]), 9) for name, variant in cut.items()}
    assert first == dict(zip(CORNERS, [(1, 2), (0, 0), (0, 4), (3, 0), (3, 4)], strict=True))


def test_aggregation_is_finite_at_zero():
    values = np.zeros((2, 2, 3), np.float32)
    values[1] = [[1, 2, 3], [-1, -2, -3]]
    np.testing.assert_array_equal(aggregate(values, "normalized_mean"), np.zeros((2, 3)))


PARTS = [(3, 5), (7, 30), (8, 16), (13, 14), (29, 30)]  # they begin and end at the limits of a batch, or inside one


def test_a_part_of_a_list_gets_the_bits_of_the_whole(manifest, params, model):
    """A single image does too."""
    files, upright = manifest.files(), np.ones(30, np.uint8)
    embedder = Embedder(model, params, TestTimeAugmentation(flip=True))

    def embed(start, stop):
        return np.concatenate(list(embedder.batches(files, upright, batch_size=8, start=start, stop=stop)))

    whole = embed(0, None)
    assert whole.shape == (30, 2, 8)
    for start, stop in PARTS:
        np.testing.assert_array_equal(embed(start, stop), whole[start:stop])
    assert list(embedder.batches(files, upright, batch_size=8, start=30)) == []
    assert_equal(Embedder(model, params).embed(files[:1], upright[:1]), whole[:1, 0])
    # A small network gives equal bits at any place in a batch: compare the places themselves.
    embedder.forward = lambda images: tf.range(len(images), dtype=tf.float32)[:, None]
    for start, stop in [(0, 30), *PARTS]:
        np.testing.assert_array_equal(embed(start, stop)[:, 0, 0], np.arange(start, stop) % 8)


@pytest.mark.parametrize("size", [64, [128, 64]])
@pytest.mark.parametrize("model_type", ["basic", "mobilenet_v2"])
def test_embeddings_do_not_depend_on_batch_size_or_order(tmp_path, shared_data, model_type, size):
    weights = shared_data / "weights" / "mobilenet_v2_1.0_imagenet_notop.weights.h5"
    if not weights.exists():
        pytest.skip(f"no {weights}")
    params = check_params({"model_type": model_type, "image_size": size}, "x")
    model = build_embedder(params)
    if model_type == "mobilenet_v2":
        warm_start(model, str(weights))
    files, _ = make_photographs(tmp_path, 20, 2, params.image_shape)
    upright = np.ones(len(files), np.uint8)
    embedder = Embedder(model, params)
    reference = embedder.embed(files, upright, batch_size=32).astype(float)
    lengths = np.linalg.norm(reference, axis=1)
    for batch_size in (1, 7, 128):
        emb = embedder.embed(files, upright, batch_size=batch_size)
        assert (np.linalg.norm(emb - reference, axis=1) / lengths).max() < 1e-5  # AVX2: 3e-6, AVX-512: below 1e-6
    backwards = embedder.embed(files[::-1], upright, batch_size=7)[::-1]
    assert (np.linalg.norm(backwards - reference, axis=1) / lengths).max() < 1e-5
