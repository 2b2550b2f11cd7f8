"""Embedding on several devices: each does its share, and the embeddings are those of one device, bit for bit."""

import h5py
import helpers.training_results  # noqa: F401 -- makes two logical devices
import numpy as np
import pytest
from helpers.commands import command, process

from dataset.formats.manifest import read_manifest
from model.embedding.embedder import Embedder
from model.embedding.views import TestTimeAugmentation
from model.evaluation import evaluator
from model.network.build import build_embedder
from model.run.checkpoint_files import list_checkpoints
from model.run.devices import local_devices
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from runtime.json_files import read_json_lines
from runtime.log import Log

FLIPPED = TestTimeAugmentation(flip=True)


@pytest.fixture(scope="module")
def params(trained):
    return RunFolder(trained).load_trained_params()


def test_the_batches_are_divided(trained, dataset, params):
    """Also after new weights, from any row on, and with several views."""
    first, second = local_devices()
    model = build_embedder(params)
    files, upright = read_manifest(dataset / "test.csv", dataset).files(), np.ones(30, np.uint8)
    one, two = Embedder(model, params, FLIPPED), Embedder(model, params, FLIPPED, [first, second])
    computed = []

    def record(device, function):
        def recorded(*args):
            computed.append(device)
            vectors = function(*args)
            assert vectors.device.endswith(device.rpartition("device:")[2])
            return vectors

        return recorded

    two.forward, two._forward_with = record(first, two.forward), record(second, two._forward_with)
    seen = []
    for step in (0, 4):
        restore_model(trained / "checkpoints" / f"ckpt-{step}", model)
        for start, stop in ((0, 30), (7, 30), (8, 9), (13, 25)):
            computed.clear()
            a, b = (list(each.batches(files, upright, batch_size=8, start=start, stop=stop)) for each in (one, two))
            assert [len(batch) for batch in a] == [len(batch) for batch in b]
            np.testing.assert_array_equal(np.concatenate(a), np.concatenate(b))
            assert computed == [device for batch, _ in enumerate(a) for device in [(first, second)[batch % 2]] * 2]
        seen.append(np.concatenate(a))
    assert not np.array_equal(*seen)


def test_embed_and_the_evaluator_use_all_devices(run, dataset, params, tmp_path, monkeypatch):
    """The file is that of a process with one device, byte for byte; so are the metrics."""
    assert len(local_devices()) == 2
    line = ["embed.py", "--model_dir", run.folder, "--dataset", dataset / "test.csv", "--batch_size", "4", "--quiet"]
    call, shares = Embedder._call_with, []
    monkeypatch.setattr(Embedder, "_call_with", lambda *args: shares.append(args[2].shape[0]) or call(*args))
    for name, run_line in (("two.h5", command), ("one.h5", process)):
        done = run_line(*line, "--filename", tmp_path / name)
        assert done.returncode == 0, done.stderr
    assert shares == [4]  # compiled for the second device
    assert (tmp_path / "two.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    assert h5py.File(tmp_path / "two.h5")["emb"].shape == (30, 8)

    params = run.load_trained_params(["eval_batch_size=4"])
    evaluator.evaluate_all(run, params, Log())
    assert shares == [4, 4]
    two = read_json_lines(run.results)
    assert len(two) == 3 * len(list_checkpoints(run.checkpoints))
    run.results.unlink()
    monkeypatch.setattr(evaluator, "local_devices", lambda: [])
    evaluator.evaluate_all(run, params, Log())
    assert read_json_lines(run.results) == two
