import json

import h5py
import numpy as np
import pytest
from conftest import command

from dataset.errors import UserError
from dataset.manifest import read_manifest
from model.checkpoints import restore_model
from model.embedder import build_embedder
from model.embedding import Embedder
from model.embedding_file import read_embeddings, write_embeddings
from model.run_folder import RunFolder


def test_embed_writes_what_the_network_says(trained, dataset, tmp_path):
    out = tmp_path / "out.h5"
    done = command("embed.py", "--model_dir", trained, "--dataset", dataset / "test.csv", "--filename", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    manifest = read_manifest(dataset / "test.csv", dataset)
    with h5py.File(out) as file:
        assert file["emb"].shape == (30, 8)
        assert file["emb"].dtype == np.float32
        assert list(file["path"].asstr()) == list(manifest.paths)
        assert list(file["identity"].asstr()) == list(manifest.identities)
        assert (
            file["path"].dtype.metadata["vlen"] is str
            or h5py.check_string_dtype(file["path"].dtype).encoding == "utf-8"
        )
        attributes = dict(file.attrs)
        emb = file["emb"][:]
    assert attributes["step"] == 4
    assert attributes["checkpoint"].endswith("checkpoints/ckpt-4")
    assert json.loads(attributes["params"])["embedding_size"] == 8
    params = RunFolder(trained).load_trained_params()
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    by_hand = Embedder(model, params).embed(manifest.files(), np.ones(30, np.uint8), batch_size=7)
    np.testing.assert_allclose(emb, by_hand, atol=1e-6)


def test_image_root_and_checkpoint_by_name(trained, dataset, tmp_path):
    csv = tmp_path / "list.csv"
    csv.write_text("a,images/id 0/0.jpg\nb,images/id 1/3.jpg\n")
    words = ["embed.py", "--model_dir", trained, "--dataset", csv, "--filename", tmp_path / "o.h5"]
    missing = command(*words)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path}/images/id 0/0.jpg: no such file" in missing.stderr
    assert not (tmp_path / "o.h5").exists()
    done = command(*words, "--image_root", dataset, "--checkpoint", "ckpt-0", "--batch_size", 1)
    assert done.returncode == 0, done.stderr
    assert read_embeddings(tmp_path / "o.h5").attributes["step"] == 0


def test_a_failed_write_keeps_the_old_file(tmp_path, dataset):
    manifest = read_manifest(dataset / "test.csv", dataset)
    out = tmp_path / "o.h5"
    write_embeddings(out, np.zeros((30, 2)), manifest, {"step": 1})
    with pytest.raises(TypeError):
        write_embeddings(out, np.ones((30, 2)), manifest, {"step": object()})
    assert not read_embeddings(out).emb.any()
    assert [file.name for file in tmp_path.iterdir()] == ["o.h5"]


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match="not a readable HDF5 file"):
        read_embeddings(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["emb"] = np.zeros((3, 2))
    with pytest.raises(UserError, match="no dataset 'path'"):
        read_embeddings(tmp_path / "b.h5")
