import dataclasses
import fcntl
import os
import signal
import time

import h5py
import numpy as np
import pytest
from helpers.commands import command, setting, start

from dataset.formats.manifest import write_manifest
from dataset.loading.checked import check_images
from embed import main
from runtime.errors import UserError, exit_code
from runtime.locks import only_one

COUNT = 1000


@pytest.fixture(scope="module")
def long_list(dataset, tmp_path_factory):
    """A list that takes some seconds to embed: the images of the data set under many names."""
    folder = tmp_path_factory.mktemp("long")
    images = sorted((dataset / "images").glob("*/*.jpg"))
    for number in range(COUNT):
        os.link(images[number % len(images)], folder / f"{number}.jpg")
    write_manifest(folder / "list.csv", [(f"id {number % 7}", f"{number}.jpg") for number in range(COUNT)])
    return folder / "list.csv"


def words(trained, csv, out):
    return ["--model_dir", str(trained), "--dataset", str(csv), "--filename", str(out), "--batch_size", "2"]


@pytest.fixture(scope="module")
def whole(trained, long_list, tmp_path_factory):
    """The bytes of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "o.h5"
    assert main([*words(trained, long_list, out), "--quiet"]) == 0
    return out.read_bytes()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGTERM))]
)
def test_interrupted_and_given_again(trained, long_list, tmp_path, whole, capsys, number):
    out, partial = tmp_path / "o.h5", tmp_path / ".o.h5.partial"
    older = b"\x89HDF\r\n\x1a\nan older file"
    out.write_bytes(older)
    process = start("embed.py", *words(trained, long_list, out))
    while not (partial.exists() and partial.stat().st_size > 5_000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    said, error = process.communicate(timeout=60)
    assert out.read_bytes() == older
    if number == signal.SIGKILL:
        assert process.returncode == -number
        with open(partial, "ab") as file:
            file.write(b"half a row")
    else:
        assert process.returncode == 128 + number
        assert "Traceback" not in error
        assert f"stopped by {number.name}: " in said
        assert "run the same command again to resume" in said
    assert main(words(trained, long_list, out)) == 0
    assert "of 1,000 images are already embedded" in capsys.readouterr().out
    assert out.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["o.h5"]


def test_embeddings_before_a_broken_image_are_kept(trained, own_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("model.embedding.partial._BLOCK_BYTES", 100)  # a row has 32
    csv, out = own_dataset / "test.csv", tmp_path / "o.h5"
    assert main([*words(trained, csv, out), "--quiet"]) == 0
    expected = out.read_bytes()
    out.unlink()
    image = own_dataset / "images" / "id 4" / "1.jpg"  # row 22
    sound = image.read_bytes()
    image.write_bytes(sound[:200] + bytes(len(sound) - 200))
    line = [*words(trained, csv, out), "--set", "check_images=off"]
    assert exit_code(lambda: main(line)) == 2
    assert f"{image}: corrupt image data" in capsys.readouterr().err
    image.write_bytes(sound)
    assert main(line) == 0
    assert "20 of 30 images are already embedded" in capsys.readouterr().out
    assert h5py.File(out)["emb"][:].tobytes() in expected


def test_another_origin_starts_from_scratch(trained, dataset, tmp_path, capsys):
    out, partial = tmp_path / "o.h5", tmp_path / ".o.h5.partial"
    line = words(trained, dataset / "test.csv", out)
    assert main(line) == 0
    expected = out.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(dataset)

    def killed(job, embedder, rows):
        rows.append(np.zeros((1, len(job.augmentation.names), 8), np.float32))
        raise KeyboardInterrupt

    def begun(*more, changed=None):
        """The output of a run that is killed after one image. It has written nonsense for that image."""
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("model.embedding.job._embed_rest", killed)
            if changed:
                patch.setattr(*changed)
            with pytest.raises(KeyboardInterrupt):
                main([*line, *more])
        return capsys.readouterr().out

    def rotated(*arguments):
        images = check_images(*arguments)
        return dataclasses.replace(images, orientations=np.full_like(images.orientations, 3))

    for more, changed, what in (
        (["--checkpoint", "ckpt-0"], None, "checkpoint"),
        (["--set", "preprocess=false"], None, "params"),
        (["--crop_augment", "center"], None, "augmentation"),
        (["--shard", "1/2"], None, "shard"),
        (["--batch_size", "4"], None, "batch_size"),
        (["--image_root", str(elsewhere)], None, "image_root"),
        ([], ("embed.check_images", rotated), "list"),
        ([], ("model.embedding.job.find_versions", lambda packages: {"tensorflow": "1.0"}), "version"),
        ([], ("tensorflow.config.get_visible_devices", lambda kind: ["GPU:0"]), "kind of device"),
    ):
        begun(*more, changed=changed)
        assert f"the unfinished embeddings of an earlier run have another {what}\n" in begun()
    without_effect = {"learning_rate": 0.5, "train_iterations": 9, "best_metric": "x/map", "check_images": "off"}
    assert "1 of 30 images are already embedded" in begun(*setting(**without_effect))
    begun("--checkpoint", "ckpt-0")
    for content in (partial.read_bytes(), b"something else"):
        partial.write_bytes(content)
        assert main(line) == 0
        assert out.read_bytes() == expected
    assert not partial.exists()


def test_two_at_once_are_refused(trained, dataset, tmp_path):
    with open(tmp_path / ".o.h5.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = command("embed.py", *words(trained, dataset / "test.csv", tmp_path / "o.h5"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "another embed.py is writing it" in done.stderr


@pytest.mark.parametrize("make_new", [False, True])
def test_a_lock_that_its_holder_deletes_admits_only_one(tmp_path, monkeypatch, make_new):
    """The file is deleted between opening and locking it. Then another process may create it again."""
    lock, flock = tmp_path / "lock", fcntl.flock

    def deleted_before(file, operation):
        lock.unlink()
        if make_new:
            lock.touch()
        flock(file, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", deleted_before)
        with pytest.raises(UserError, match="held"), only_one(lock, "held"):
            pytest.fail("two at once")
    with only_one(lock, "held"), pytest.raises(UserError, match="held"), only_one(lock, "held"):
        pytest.fail("two at once")
