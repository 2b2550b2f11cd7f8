"""`model.load`: a network in Python, with the same embeddings as embed.py."""

import copy
import json
import shutil

import h5py
import numpy as np
import pytest
from helpers.commands import command, process
from helpers.tiny import make_run
from PIL import Image
from scipy.spatial.distance import cdist

from model import load
from model.embedding import image_embedder
from model.embedding.pictures import pixels_of
from runtime.errors import UserError


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """A run with results; its best checkpoint is not the latest."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("load") / "run")
    assert command("evaluate.py", "--model_dir", run).returncode == 0
    return run


@pytest.fixture(scope="module")
def files(dataset):
    return sorted(map(str, dataset.glob("images/*/*.jpg")))


def embedded(run, files, folder, *words):
    """The embeddings that embed.py writes for these files."""
    csv = folder / "list.csv"
    csv.write_text("identity,path\n" + "".join(f"x,{file}\n" for file in files))
    done = command(
        "embed.py", "--model_dir", run, "--dataset", csv, "--image_root", "/", "--filename", folder / "v.h5", *words
    )
    assert done.returncode == 0, done.stderr
    return h5py.File(folder / "v.h5")["emb"][:]


def test_files_pictures_and_pixels_give_the_bits_of_embed(evaluated, files, tmp_path):
    expected = embedded(evaluated, files, tmp_path, "--checkpoint", "best")
    embedder = load(evaluated)
    pictures = [Image.open(file) for file in files]
    mixed = [
        (file, picture, np.asarray(picture))[i % 3]
        for i, (file, picture) in enumerate(zip(files, pictures, strict=True))
    ]
    for images in (
        files,
        pictures,
        [np.asarray(p) for p in pictures],
        np.stack([np.asarray(p) for p in pictures]),
        mixed,
    ):
        vectors = embedder.embed(images)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, expected)
    assert embedder.embed(files[0]).shape == embedder.embed(pictures[0]).shape == (1, 8)
    np.testing.assert_allclose(embedder.embed(files, batch_size=4), expected, rtol=1e-5, atol=1e-6)
    assert embedder.embed([]).shape == (0, 8)


def test_odd_images_are_read_as_embed_reads_them(dataset, tmp_path):
    """EXIF orientation, grey, palette, 16 bits, alpha channel; padding to a square."""
    run = make_run(tmp_path / "run", dataset, pad_to_square=True, train_iterations=1)
    assert command("train.py", "--model_dir", run).returncode == 0
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save(tmp_path / "turned.jpg", exif=exif)
    unchecked = make_run(tmp_path / "off", dataset, check_images="off", train_iterations=1)
    assert command("train.py", "--model_dir", unchecked).returncode == 0
    noise.convert("L").save(tmp_path / "grey.jpg")
    noise.convert("P").save(tmp_path / "palette.png")
    noise.convert("1").save(tmp_path / "bits.png")
    noise.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(random.integers(0, 2**16, (20, 30), dtype=np.uint16)).save(tmp_path / "deep.png")
    files = [
        str(tmp_path / f"{name}")
        for name in ("turned.jpg", "grey.jpg", "palette.png", "bits.png", "alpha.png", "deep.png")
    ]
    expected = embedded(run, files, tmp_path)
    embedder = load(run)
    np.testing.assert_array_equal(embedder.embed(files), expected)
    np.testing.assert_array_equal(embedder.embed([Image.open(file) for file in files]), expected)
    np.testing.assert_array_equal(embedder.embed([files[0], *(Image.open(file) for file in files[1:])]), expected)
    expected = embedded(tmp_path / "off", files, tmp_path)  # without checking files first
    np.testing.assert_array_equal(load(tmp_path / "off").embed(files), expected)


def test_distances_are_those_of_the_metric(evaluated, files):
    embedder = load(evaluated)
    vectors = embedder.embed(files[:5])
    expected = cdist(vectors, vectors[:3])
    np.testing.assert_allclose(embedder.distance(vectors, vectors[:3]), expected, rtol=1e-6)
    np.testing.assert_allclose(embedder.distance(vectors[0], vectors[:3]), expected[0], rtol=1e-6)
    np.testing.assert_allclose(embedder.distance(vectors, vectors[1]), expected[:, 1], rtol=1e-6)
    alone = embedder.distance(vectors[0], vectors[1])
    assert isinstance(alone, float)
    assert alone == pytest.approx(expected[0, 1])
    assert embedder.distance(files[0], Image.open(files[1])) == pytest.approx(alone, rel=1e-5)
    assert embedder.distance(files[:5], vectors[1]).shape == (5,)
    assert embedder.distance(vectors, vectors[:0]).shape == (5, 0)
    np.testing.assert_array_equal(
        embedder.distance(list(vectors), vectors[:3]), embedder.distance(vectors, vectors[:3])
    )
    np.testing.assert_array_equal(embedder.embed(np.array(files[:5])), vectors)


def test_a_checkpoint_by_name_and_the_operating_point_of_its_results(evaluated, files):
    best = json.loads((evaluated / "best.json").read_text())
    lines = [json.loads(line) for line in (evaluated / "results.jsonl").read_text().splitlines()]
    embedder = load(evaluated)
    assert (embedder.checkpoint, embedder.metric) == (best["checkpoint"], "euclidean")
    for name in (None, "latest", "ckpt-2"):
        embedder = load(evaluated, name)
        metrics = next(
            line["metrics"]
            for line in lines
            if line["checkpoint"] == embedder.checkpoint and line["set"] == "query_gallery"
        )
        threshold = embedder.threshold
        assert (threshold.set, threshold.fpr) == ("query_gallery", 0.001)
        assert threshold == threshold.value == metrics["threshold@fpr=0.001"]
        assert threshold.tpr == metrics["tpr@fpr=0.001"]
        again = copy.deepcopy(threshold)
        assert (again, again.fpr, str(again)) == (threshold, threshold.fpr, str(threshold))
    assert load(evaluated, "ckpt-2").checkpoint == "ckpt-2"
    assert (load(evaluated, "ckpt-2").embed(files) != load(evaluated, "ckpt-4").embed(files)).any()


def test_a_checkpoint_of_another_run_has_no_results(evaluated, trained):
    embedder = load(evaluated, str(trained / "checkpoints" / "ckpt-4"))
    assert (embedder.checkpoint, embedder.threshold) == ("ckpt-4", None)
    assert load(evaluated, str(evaluated / "checkpoints" / "ckpt-4")).threshold is not None


def test_a_best_checkpoint_replaced_meanwhile_is_found_again(evaluated, tmp_path, monkeypatch):
    run = shutil.copytree(evaluated, tmp_path / "run")
    build = image_embedder.build_embedder

    def replace_best(params):
        best = json.loads((run / "best.json").read_text())
        for file in (run / "best").glob("ckpt-*"):
            file.rename(file.with_name(file.name.replace(best["checkpoint"], "ckpt-9")))
        (run / "best.json").write_text(json.dumps(best | {"checkpoint": "ckpt-9"}))
        return build(params)

    monkeypatch.setattr(image_embedder, "build_embedder", replace_best)
    assert load(run).checkpoint == "ckpt-9"


def test_a_run_without_results_has_no_operating_point(trained):
    embedder = load(trained)
    assert (embedder.checkpoint, embedder.threshold) == ("ckpt-4", None)


def test_loading_prints_nothing_and_changes_no_settings(trained, files):
    code = f"""
import keras, numpy, random, sys, tensorflow
from model import load
print("imported", file=sys.stderr)
keras.config.set_dtype_policy("mixed_bfloat16")
drawn = set()
for seed in range(3):
    keras.utils.set_random_seed(seed)
    load({str(trained)!r}).embed({files[:2]!r})
    drawn.add((random.random(), numpy.random.rand(), float(tensorflow.random.uniform([]))))
assert [len(set(draws)) for draws in zip(*drawn)] == [3, 3, 3], "a seed was set"
assert keras.config.dtype_policy().name == "mixed_bfloat16"
"""
    done = process("-c", "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\n" + code)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.endswith("imported\n")
    fresh = process("-c", f"from model import load; print(load({str(trained)!r}).embed({files[:2]!r}).shape)")
    assert (fresh.stdout, fresh.stderr) == ("(2, 8)\n", "")


def test_errors_are_one_line(evaluated, files, tmp_path):
    embedder = load(evaluated)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    floats = np.zeros((8, 8, 3))
    for images, words in (
        (["nothing.jpg"], "nothing.jpg: no such file"),
        ([files[0], broken], "broken.jpg: not a JPEG or PNG"),
        ([files[0], floats], r"image 1: pixels are float64 of shape \(8, 8, 3\)"),
        ([np.zeros((8, 8, 4), np.uint8)], r"image 0: .* \(H, W, 3\)"),
        ([np.zeros((0, 8), np.uint8)], "the image has no pixels"),
        ([None], "image 0: a NoneType"),
    ):
        with pytest.raises(UserError, match=words):
            embedder.embed(images)
    with pytest.raises(UserError, match=r"must be \(8,\) or \(N, 8\)"):
        embedder.distance(np.zeros(7), np.zeros(8))
    with pytest.raises(UserError, match="there is no checkpoint 'ckpt-7'; it has latest, best, ckpt-0"):
        load(evaluated, "ckpt-7")
    with pytest.raises(UserError, match="neither a run"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"model\.json"):
        load(broken)


def test_pillow_images_with_floats_or_32_bits_are_refused():
    with pytest.raises(UserError, match="mode F"):
        pixels_of(Image.new("F", (4, 4)), 3)


def test_an_exported_model_gives_the_bits_of_its_run_and_other_files_are_refused(evaluated, files, tmp_path):
    out = tmp_path / "out"
    done = command("export.py", "--model_dir", evaluated, "--format", "keras", "--out", out)
    assert done.returncode == 0, done.stderr
    run, exported = load(evaluated), load(out)
    np.testing.assert_array_equal(exported.embed(files), run.embed(files))
    assert (exported.threshold, exported.checkpoint, exported.metric) == (run.threshold, run.checkpoint, run.metric)
    described = json.loads((out / "model.json").read_text())
    for channels in ([8, 8, 8], [8, 4]):  # as if from a version of the project that builds another network
        params = described["params"] | {"num_channels": channels}
        (out / "model.json").write_text(json.dumps(described | {"params": params}))
        with pytest.raises(UserError, match=r"the network that model\.json describes"):
            load(out)
    (out / "model.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="only one checkpoint"):
        load(out, "best")
    with open(out / "model.keras", "ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="damaged, or not the file"):
        load(out / "model.keras")
