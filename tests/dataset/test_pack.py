"""dataset.pack: equal batches, embeddings and evaluations; damaged packs; interrupted packing."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import command
from helpers.tiny import make_run
from PIL import Image

from dataset import pack as packing
from dataset.formats import packed
from dataset.loading.pipeline import embedding_batches, training_batches
from dataset.loading.training_set import load_training_set
from model.configuration.loading import check_params
from runtime.errors import UserError
from runtime.json_files import read_json
from visualization.kit.thumbnails import open_small


def pack(dataset: Path, out: Path, *words: object) -> Path:
    done = command("-m", "dataset.pack", dataset, "--out", out, *words)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def both(tmp_path_factory, dataset):
    """A data set with a rotated photograph, and the same packed into several files, in a folder with an odd name."""
    folder = tmp_path_factory.mktemp("pack")
    own = Path(shutil.copytree(dataset, folder / "own"))
    file = own / (own / "train.csv").read_text().splitlines()[3].partition(",")[2]
    exif = Image.Exif()
    exif[274] = 6
    Image.open(file).save(file, exif=exif, quality=95)
    return own, pack(own, folder / "packed [1]*", "--shard_mb", "0.01")


@pytest.fixture
def own_pack(both, tmp_path):
    """A packed data set that the test may damage."""
    packed._open_pack.cache_clear()
    return Path(shutil.copytree(both[1], tmp_path / "packed"))


def loaded(dataset: Path, **values):
    params = check_params({"dataset": str(dataset), "image_size": 16, "batch_p": 4, "batch_k": 2} | values, "x")
    return params, load_training_set(params)


def batches(dataset: Path):
    params, data = loaded(dataset)
    given = data.images.manifest.files(), data.images.orientations
    trained = [part for batch in training_batches(*given, data.sampler, params, 0, 4) for part in batch]
    return [*trained, *embedding_batches(*given, params, 7)]


def test_batches_are_equal_bit_for_bit(both):
    for ours, theirs in zip(*map(batches, both), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_files_are_tfrecords_of_the_image_files_in_the_order_of_the_lists(both):
    own, out = both
    shards = sorted((out / "images.pack").glob("*.tfrecord"))
    assert len(shards) > 2
    paths = [line.partition(",")[2] for line in (own / "train.csv").read_text().splitlines()[1:]]
    records = [record for file in shards for record in tf.compat.v1.io.tf_record_iterator(str(file))]
    assert records == [(own / path).read_bytes() for path in paths]
    for file in (path for path in own.rglob("*.csv")):
        assert (out / file.relative_to(own)).read_bytes() == file.read_bytes()
    assert read_json(out / "dataset.json") == read_json(own / "dataset.json") | {"image_root": "images.pack"}


def _metrics(run: Path) -> list[tuple]:
    lines = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    return [(line["step"], line["set"], line["metrics"]) for line in lines]


def test_a_packed_data_set_is_evaluated_and_embedded_like_its_files(both, trained, tmp_path):
    results = []
    for number, dataset in enumerate(both):
        run = make_run(tmp_path / str(number), dataset, check_images="full", deterministic=True)
        assert command("train.py", "--model_dir", run).returncode == 0
        done = command("evaluate.py", "--model_dir", run)
        assert done.returncode == 0, done.stderr
        out = tmp_path / f"{number}.h5"
        done = command("embed.py", "--model_dir", run, "--dataset", dataset / "test.csv", "--filename", out)
        assert done.returncode == 0, done.stderr
        with h5py.File(out) as file:
            results.append((file["emb"][()], file["path"][()].tolist(), _metrics(run)))
    (ours, our_paths, our_results), (theirs, their_paths, their_results) = results
    np.testing.assert_array_equal(ours, theirs)
    assert (our_paths, our_results) == (their_paths, their_results)


def test_pictures_show_packed_images_upright(both):
    _, data = loaded(both[0])
    _, in_pack = loaded(both[1])
    for place in (2, 5):
        ours, theirs = (open_small(one.images.manifest.files()[place], 16) for one in (in_pack, data))
        np.testing.assert_array_equal(ours, theirs)


def damage(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_damaged_packs_are_refused(own_pack):
    """Before training where the file sizes show it, else when the image is read."""
    shards = sorted((own_pack / "images.pack").glob("*.tfrecord"))
    whole, index = shards[1].read_bytes(), own_pack / "images.pack" / "index.npz"

    def refusal() -> str:
        packed._open_pack.cache_clear()
        with pytest.raises(UserError) as error:
            batches(own_pack)
        return str(error.value)

    shards[1].write_bytes(whole[:-10])
    assert f"{shards[1]}: it has {len(whole) - 10} bytes instead of {len(whole)}" in refusal()
    shards[1].unlink()
    assert f"{shards[1]}: no such file; pack the data set again" in refusal()
    shards[1].write_bytes(whole)
    damage(shards[1], len(whole) // 2)
    params, data = loaded(own_pack)
    with pytest.raises(UserError, match="are damaged; pack the data set again"):
        list(embedding_batches(data.images.manifest.files(), data.images.orientations, params, 7))
    shards[1].write_bytes(whole)
    whole = index.read_bytes()
    index.write_bytes(whole[:-30])
    assert f"{index}: damaged" in refusal()
    index.unlink()
    assert f"{index}: no such file" in refusal()
    index.write_bytes(whole)
    with open(own_pack / "train.csv", "a") as file:
        file.write("id 0,images/new.jpg\n")
    assert "it has no image 'images/new.jpg', so the lists were changed since" in refusal()


def test_invalid_requests_are_refused(both, own_dataset, tmp_path):
    own, out = both
    for words, message in (
        ([own, "--out", out], "it exists already; choose another --out, or delete it first"),
        ([tmp_path / "none", "--out", tmp_path / "new"], "there is no"),
        ([own, "--out", tmp_path / "new", "--shard_mb", "0"], "between 0.001 and 1000000"),
    ):
        done = command("-m", "dataset.pack", *words)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    images = sorted(own_dataset.rglob("*.jpg"))
    images[3].write_bytes(b"")
    done = command("-m", "dataset.pack", own_dataset, "--out", tmp_path / "new")
    assert f"{images[3]}: empty file; correct the data set" in done.stderr
    text = (own_dataset / "train.csv").read_text()
    (own_dataset / "train.csv").write_text(text + f"id 0,{images[0]}\n")
    done = command("-m", "dataset.pack", own_dataset, "--out", tmp_path / "new")
    assert "is an absolute path; only images below image_root can be packed" in done.stderr
    assert not (tmp_path / "new").exists()


def test_interrupted_packing_leaves_nothing(both, tmp_path, monkeypatch):
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing.np, "savez", full_disk)
    args = packing.argparse.Namespace(dataset=str(both[0]), out=str(tmp_path / "new"), shard_mb=1.0)
    with pytest.raises(UserError, match="No space left"):
        packing.pack(args)
    assert list(tmp_path.iterdir()) == []


def test_a_packed_data_set_is_not_packed_again(both, tmp_path):
    done = command("-m", "dataset.pack", both[1], "--out", tmp_path / "again")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "it is packed already; pack the data set that it was made of" in done.stderr
    assert not (tmp_path / "again").exists()


def test_threads_open_one_pack(own_pack, monkeypatch):
    made = []
    monkeypatch.setattr(packed, "Pack", lambda folder: made.append(folder) or time.sleep(0.05) or len(made))
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(packed.open_pack, [str(own_pack / "images.pack")] * 8))
    packed._open_pack.cache_clear()
    assert (len(made), found) == (1, {1})
