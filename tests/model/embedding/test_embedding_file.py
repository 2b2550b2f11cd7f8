import dataclasses

import h5py
import numpy as np
import pytest
from helpers.embedding_files import write_embeddings

from dataset.formats.manifest import read_manifest
from model.embedding.hdf5_file import Contents, embeddings_of, read_embeddings, trained_metric, write_blocks
from runtime.errors import UserError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def manifest(dataset):
    return read_manifest(dataset / "test.csv", dataset)


@pytest.fixture
def written(tmp_path, manifest):
    """A file of random embeddings of the list."""
    write_embeddings(tmp_path / "o.h5", RANDOM.normal(size=(30, 4)), manifest, {"step": 1})
    return tmp_path / "o.h5"


def test_what_is_written_is_read(tmp_path, manifest):
    emb = RANDOM.normal(size=(30, 4)).astype(np.float32)
    emb[7] = np.finfo(np.float32).max
    write_embeddings(tmp_path / "o.h5", emb, manifest, {"step": 1})
    found = read_embeddings(tmp_path / "o.h5")
    np.testing.assert_array_equal(found.emb, emb)
    assert list(found.paths) == list(manifest.paths)
    assert list(found.identities) == list(manifest.identities)
    assert found.attributes == {"step": 1}
    assert (found.emb_aug, found.augmentation_types) == (None, ("original",))


@pytest.mark.parametrize("half", [False, True])
def test_variants_are_written_in_blocks_of_any_size(tmp_path, manifest, half):
    variants = RANDOM.normal(size=(3, 30, 4)).astype(np.float32)
    emb = variants.mean(axis=0)
    contents = Contents(manifest.paths, manifest.identities, 4, ("a", "ä", "c"), half, {"step": 1})
    for name, size in (("one", 30), ("two", 7), ("three", 1)):
        blocks = ((emb[i : i + size], variants[:, i : i + size]) for i in range(0, 30, size))
        write_blocks(tmp_path / name, contents, blocks)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == (tmp_path / "three").read_bytes()
    found = read_embeddings(tmp_path / "one")
    kind = np.float16 if half else np.float32
    assert found.emb.dtype == found.emb_aug.dtype == np.float32
    np.testing.assert_array_equal(found.emb, emb.astype(kind))
    np.testing.assert_array_equal(found.emb_aug, variants.astype(kind))
    assert found.augmentation_types == ("a", "ä", "c")
    assert read_embeddings(tmp_path / "one", variants=False).emb_aug is None


def test_a_failed_write_keeps_the_old_file(written, manifest):
    before = written.read_bytes()
    with pytest.raises(TypeError):
        write_embeddings(written, np.ones((30, 2)), manifest, {"step": object()})
    contents = Contents(manifest.paths, manifest.identities, 2, ("original",), True, {})
    large = np.ones((30, 2), np.float32)
    large[3, 1] = 70_000
    with pytest.raises(UserError, match=r"images/id 0/3.jpg: its embedding has a value of 7e\+04, too large"):
        write_blocks(written, contents, [(large, None)])
    assert written.read_bytes() == before
    assert [file.name for file in written.parent.iterdir() if file.is_file()] == ["o.h5"]


def test_older_files_have_emb_alone(tmp_path, manifest):
    emb = RANDOM.normal(size=(30, 4))
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["emb"] = emb
        file["augmentation_types"] = np.asarray(["original_resize"], dtype="|S")
    found, verified = embeddings_of(tmp_path / "o.h5", manifest)
    assert not verified
    assert (found.paths, found.identities) == (None, None)
    assert found.augmentation_types == ("original_resize",)
    np.testing.assert_array_equal(found.emb, emb.astype(np.float32))
    with pytest.raises(UserError, match=r"30 embeddings, but .*test.csv lists 29 images; embed that list again"):
        embeddings_of(tmp_path / "o.h5", manifest.select(np.arange(29)))


def test_a_list_is_compared_row_by_row(written, manifest):
    found, verified = embeddings_of(written, manifest)
    assert verified
    assert len(found) == 30
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
    with pytest.raises(
        UserError, match=r"30 embeddings, but .* lists 29 images; the first that differs: row 3 has path"
    ):
        embeddings_of(written, manifest.select(np.delete(np.arange(30), 2)))


def test_a_shard_is_not_the_whole(written, manifest):
    with h5py.File(written, "r+") as file:
        file.attrs["shard"] = "1/2"
    with pytest.raises(UserError, match=r"it is shard 1/2: join all of them with embed.py merge"):
        embeddings_of(written, manifest.select(np.arange(20)))


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


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
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.unlink() or file.mkdir(), "Is a directory"),
        (lambda file: file.write_bytes(b""), "not a whole HDF5 file: empty, cut short, or not written by embed.py"),
        (lambda file: file.write_bytes(b"not hdf5" * 99), "not a whole HDF5 file"),
        (cut, "not a whole HDF5 file"),
        (lambda file: file.write_bytes(file.read_bytes()[:200] + bytes(file.stat().st_size - 200)), "a damaged HDF5"),
        (replaced("emb"), "no dataset 'emb' in it, but augmentation_types, identity, path"),
        (replaced("emb", data=np.zeros(30)), r"'emb' is float64 of shape \(30,\); it must be numbers \(images, d"),
        (replaced("emb", data=np.zeros((30, 1), "S3")), r"'emb' is \|S3 of shape \(30, 1\)"),
        (replaced("emb", data=np.zeros((0, 4))), r"'emb' is float64 of shape \(0, 4\)"),
        (replaced("emb", data=np.zeros((30, 0))), r"of shape \(30, 0\)"),
        (replaced("emb", data=h5py.Empty("f4")), "of shape None"),
        (replaced("emb", data=np.zeros((31, 4))), "31 embeddings, but 30 values of 'path'"),
        (replaced("identity", data=["a"] * 29, dtype=TEXT), "30 embeddings, but 29 values of 'identity'"),
        (replaced("path", data=np.zeros(30)), "'path' is no list of strings"),
        (replaced("emb_aug", data=np.zeros((1, 29, 4))), r"\(1, 29, 4\); beside the others it must be \(1, 30, 4\)"),
        (replaced("emb_aug", data=np.zeros((2, 30, 4))), r"\(2, 30, 4\); beside the others it must be \(1, 30, 4\)"),
        (
            replaced("emb", data=np.where(np.arange(30)[:, None] == 6, np.nan, np.ones((30, 4)))),
            r"the embedding of row 7 \(images/id 1/1.jpg\) is not finite",
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
    """Other programs write those, as bytes of UTF-8 that HDF5 takes for ASCII."""
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
