"""The HDF5 file of embeddings: written completely or not at all, also on a full disk; errors in reading."""

import contextlib
import dataclasses
import os
import resource
import signal

import h5py
import numpy as np
import pytest
from helpers.embedding_files import write_embeddings

from dataset.formats.manifest import read_manifest
from embed import main
from model.embedding.contents import Contents
from model.embedding.hdf5_file import embeddings_of, read_embeddings, trained_metric, write_blocks
from runtime.errors import UserError, exit_code

RANDOM = np.random.default_rng(0)
EMB = RANDOM.normal(size=(30, 4)).astype(np.float32)
EMB[7] = np.finfo(np.float32).max


@pytest.fixture
def manifest(dataset):
    return read_manifest(dataset / "test.csv", dataset)


@pytest.fixture
def written(tmp_path, manifest):
    """A file of embeddings of the list."""
    write_embeddings(tmp_path / "o.h5", EMB, manifest, {"step": 1})
    return tmp_path / "o.h5"


@pytest.mark.parametrize("half", [False, True])
def test_variants_are_written_in_blocks_of_any_size(tmp_path, manifest, half):
    variants = RANDOM.normal(size=(3, 30, 4)).astype(np.float32)
    emb = variants.mean(axis=0)
    contents = Contents(manifest.paths, manifest.identities, 4, ("a", "ä", "c"), half, {"step": 1})
    for name, size in (("one", 30), ("two", 7), ("three", 1)):
        blocks = ((emb[i : i + size], variants[:, i : i + size]) for i in range(0, 30, size))
        write_blocks(tmp_path / name, contents, blocks)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == (tmp_path / "three").read_bytes()
    kind = np.float16 if half else np.float32
    with h5py.File(tmp_path / "one") as file:
        assert file["emb"].dtype == file["emb_aug"].dtype == kind
    found = read_embeddings(tmp_path / "one")
    assert found.emb.dtype == found.emb_aug.dtype == np.float32
    np.testing.assert_array_equal(found.emb, emb.astype(kind))
    np.testing.assert_array_equal(found.emb_aug, variants.astype(kind))
    assert found.augmentation_types == ("a", "ä", "c")
    assert read_embeddings(tmp_path / "one", variants=False).emb_aug is None


def test_a_failed_write_keeps_the_old_file(written, manifest):
    before = written.read_bytes()
    contents = Contents(manifest.paths, manifest.identities, 2, ("original",), True, {})
    large = np.ones((30, 2), np.float32)
    large[3, 1] = 70_000
    with pytest.raises(UserError, match=r"images/id 0/3.jpg: its embedding has a value of 7e\+04, too large"):
        write_blocks(written, contents, [(large, None)])
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir() if file.is_file()] == ["o.h5"]


@contextlib.contextmanager
def largest_file(size):
    """Like a full disk, but with another error number."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))


@pytest.mark.parametrize(("size", "file"), [(12 * 1024, "o.h5"), (5 * 1024, ".o.h5.partial")])
def test_full_disk(trained, dataset, tmp_path, capsys, size, file):
    """There is space for the partial file (10 kB), but not for the complete one; or for neither."""
    out, variants = tmp_path / "o.h5", "--crop_augment five --flip_augment --aggregator mean --batch_size 8"
    line = ["--model_dir", str(trained), "--dataset", str(dataset / "test.csv"), "--filename", str(out), "--quiet"]
    line += variants.split()
    with largest_file(size):
        assert exit_code(lambda: main(line)) == 2
    assert capsys.readouterr() == ("", f"error: cannot write {tmp_path / file}: File too large\n")
    assert [file.name for file in tmp_path.iterdir()] == [".o.h5.partial"]
    assert main(line) == 0
    kept = out.read_bytes()
    assert main(line) == 0
    assert out.read_bytes() == kept


def contents_of(names, dimensions, types, fingerprint=""):
    names = np.array(names, object)
    return Contents(names, names, dimensions, tuple(types), False, {"params": fingerprint})


def test_wherever_the_disk_is_full(tmp_path):
    """One error; the old file stays, and HDF5 does not crash."""
    out, emb = tmp_path / "o", np.ones((2000, 8))
    contents = contents_of([f"images/id {number}/ä.jpg" for number in range(2000)], 8, "ab", "p" * 3000)

    def write():
        write_blocks(out, contents, ((emb[:100], np.stack([emb[:100]] * 2)) for _ in range(20)))

    (tmp_path / ".o.7.tmp").write_bytes(b"what a killed process left")
    write()
    whole = out.read_bytes()
    for size in [*range(0, len(whole), 50_021), len(whole) - 1]:
        with largest_file(size), pytest.raises(UserError, match=f"^cannot write {out}: File too large$"):
            write()
        assert out.read_bytes() == whole
    write()
    assert out.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("count", "length", "variants", "dimensions"),
    [(1, 5, 1, 4), (3000, 1, 3, 4), (500, 2100, 1, 4), (700, 1300, 2, 4), (300, 9, 3, 512), (300, 9, 1, 512)],
)
def test_the_space_allocated_first_is_enough(tmp_path, count, length, variants, dimensions):
    names = ["ä" * (length // 2) + str(number) for number in range(count)]
    contents = contents_of(names, dimensions, "abc"[:variants], "p" * 20_000)
    emb = np.ones((count, dimensions), np.float32)
    write_blocks(tmp_path / "o", contents, [(emb, np.stack([emb] * variants) if variants > 1 else None)])
    written = (tmp_path / "o").stat().st_size
    assert written <= contents.most_bytes < 3 * written + 2**17


def test_ctrl_c_while_the_file_is_written(tmp_path):
    def blocks():
        yield np.ones((1, 2)), None
        os.kill(os.getpid(), signal.SIGINT)
        yield np.ones((1, 2)), None
        pytest.fail("it continued")

    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "o", contents_of(["a", "b", "c"], 2, ["original"]), blocks())
    assert not any(tmp_path.iterdir())


def test_older_files_have_only_emb(tmp_path, manifest):
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["emb"] = EMB.astype(float)
        file["augmentation_types"] = np.asarray(["original_resize"], dtype="|S")
    found, verified = embeddings_of(tmp_path / "o.h5", manifest)
    assert (verified, found.paths, found.identities) == (False, None, None)
    assert found.augmentation_types == ("original_resize",)
    np.testing.assert_array_equal(found.emb, EMB)
    with pytest.raises(UserError, match=r"30 embeddings, but .*test.csv lists 29 images; embed that list again"):
        embeddings_of(tmp_path / "o.h5", manifest.select(np.arange(29)))


def test_a_list_is_compared_row_by_row(written, manifest):
    found, verified = embeddings_of(written, manifest)
    assert verified
    np.testing.assert_array_equal(found.emb, EMB)
    assert (found.attributes, found.emb_aug, found.augmentation_types) == ({"step": 1}, None, ("original",))
    swapped = np.arange(30)
    swapped[[7, 9]] = 9, 7
    with pytest.raises(UserError) as error:
        embeddings_of(written, manifest.select(swapped))
    assert str(error.value) == (
        f"{written}: row 8 has path 'images/id 1/2.jpg', but {manifest.source} has 'images/id 1/4.jpg' there; "
        f"embed that list again: embed.py --dataset {manifest.source} --filename {written}"
    )
    other = manifest.identities.copy()
    other[29] = "someone"
    with pytest.raises(UserError, match=r"row 30 has identity 'id 5', but .* has 'someone' there"):
        embeddings_of(written, dataclasses.replace(manifest, identities=other))
    fewer = manifest.select(np.delete(np.arange(30), 2))
    with pytest.raises(UserError, match=r"30 embeddings, but .* lists 29 images; the first difference: row 3"):
        embeddings_of(written, fewer)
    with h5py.File(written, "r+") as file:
        file.attrs["shard"] = "1/2"
    with pytest.raises(UserError, match=r"it is shard 1/2: join all shards with embed.py merge"):
        embeddings_of(written, fewer)


def replaced(name, **values):
    """Changes a dataset of the file."""

    def change(file):
        with h5py.File(file, "r+") as h5:
            if name in h5:
                del h5[name]
            if values:
                h5.create_dataset(name, **values)

    return change


TEXT = h5py.string_dtype("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "no such file"),
        (lambda file: file.unlink() or file.mkdir(), "this is a folder"),
        (lambda file: file.write_bytes(b""), "it is empty; embed the images again"),
        (lambda file: file.write_bytes(b"not hdf5" * 99), "not an HDF5 file: it is text"),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "truncated: it has 8,300 of 8,400 bytes"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:200] + bytes(file.stat().st_size - 200)),
            "the HDF5 file is damaged",
        ),
        (replaced("emb"), r"no dataset 'emb' in it \(it has augmentation_types, identity, path\)"),
        (
            replaced("emb", data=np.zeros(30)),
            r"'emb' is float64 of shape \(30,\); it must be numbers of shape \(images, d",
        ),
        (replaced("emb", data=np.zeros((30, 1), "S3")), r"'emb' is \|S3 of shape \(30, 1\)"),
        (replaced("emb", data=np.zeros((0, 4))), r"'emb' is float64 of shape \(0, 4\)"),
        (replaced("emb", data=np.zeros((30, 0))), r"of shape \(30, 0\)"),
        (replaced("emb", data=h5py.Empty("f4")), "of shape None"),
        (replaced("emb", data=np.zeros((31, 4))), "31 embeddings, but 30 values of 'path'"),
        (replaced("identity", data=["a"] * 29, dtype=TEXT), "30 embeddings, but 29 values of 'identity'"),
        (replaced("path", data=np.zeros(30)), "'path' is not a list of strings"),
        (replaced("emb_aug", data=np.zeros((1, 29, 4))), r"\(1, 29, 4\), but the other datasets require \(1, 30, 4\)"),
        (replaced("emb_aug", data=np.zeros((2, 30, 4))), r"\(2, 30, 4\), but the other datasets require \(1, 30, 4\)"),
        (
            replaced("emb", data=np.where(np.arange(30)[:, None] == 6, np.nan, np.ones((30, 4)))),
            r"the embedding in row 7 \(images/id 1/1.jpg\) is NaN or infinite",
        ),
    ],
)
def test_unusable_files(written, change, message):
    change(written)
    with pytest.raises(UserError, match=message) as error:
        read_embeddings(written)
    assert str(error.value).startswith(f"{written}: ")
    assert "\n" not in str(error.value)


def test_strings_of_fixed_length_are_read(tmp_path):
    """Other programs write such strings, as UTF-8 bytes that HDF5 declares as ASCII."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["emb"] = np.ones((2, 3))
        file["path"] = np.array([b"a.jpg", "größe/b.jpg".encode()])
        file["identity"] = np.array([b"1", b"2"])
    assert read_embeddings(tmp_path / "a.h5").paths.tolist() == ["a.jpg", "größe/b.jpg"]


def test_the_metric_of_the_training():
    cosine, euclidean = ({"params": f'{{"metric": "{name}"}}'} for name in ("cosine", "euclidean"))
    assert trained_metric([cosine, cosine]) == "cosine"
    for others in ([cosine, euclidean], [cosine, {}], [{"params": "{"}], [{"params": "[]"}]):
        assert trained_metric(others) is None
