"""visualize.py projector: files that TensorBoard's own plugin reads, with and without identities and images."""

import h5py
import numpy as np
import pytest
from helpers.commands import command
from PIL import Image
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

from embed import main


def read(folder):
    """What TensorBoard finds in a folder without events: the embedding, the table of labels, the vectors."""
    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(folder))
    provider = data_provider.MultiplexerDataProvider(events, str(folder))
    plugin = ProjectorPlugin(base_plugin.TBContext(data_provider=provider, logdir=str(folder)))
    plugin._update_configs()
    (embedding,) = plugin._configs["."].embeddings
    labels = [line.split("\t") for line in (folder / embedding.metadata_path).read_text().splitlines()]
    return embedding, labels, np.loadtxt(folder / embedding.tensor_path, ndmin=2)


@pytest.fixture
def without_identities(trained, dataset, tmp_path):
    """The embeddings of a folder of images."""
    words = ["--model_dir", trained, "--dataset", dataset / "images", "--filename", tmp_path / "o.h5", "--quiet"]
    assert main([str(word) for word in words]) == 0
    return tmp_path / "o.h5"


def test_of_a_run(run, dataset):
    done = command(
        "visualize.py", "projector", "--model_dir", run.folder, "--images", 12, "--eval_set", "query_gallery"
    )
    assert (done.returncode, done.stderr) == (0, "")
    out = run.folder / "pictures" / "projector"
    assert f"wrote {out}: 12 of 30 images of tiny, query_gallery; 8 dimensions\n" in done.stdout
    assert f"tensorboard --logdir {out}, then http://localhost:6006/#projector" in done.stdout
    embedding, (head, *rows), vectors = read(out)
    assert embedding.tensor_name == "tiny, query_gallery, step 4"
    assert list(embedding.tensor_shape) == list(vectors.shape) == [12, 8]
    assert head == ["identity", "file", "set"]
    assert {row[2] for row in rows} == {"query", "gallery"}
    assert len({row[0] for row in rows}) <= 4  # whole identities
    with Image.open(out / embedding.sprite.image_path) as sprite:
        assert sprite.size == (4 * 64, 4 * 64)
        for place, (identity, file, _) in enumerate(rows):
            x, y = 64 * (place % 4) + 32, 64 * (place // 4) + 32
            with Image.open(dataset / file) as image:
                assert file.startswith(f"images/{identity}/")
                assert sprite.crop((x - 12, y - 12, x + 12, y + 12)).tobytes() == image.tobytes()
    assert command("visualize.py", "projector", "--model_dir", run.folder).returncode == 0  # replaces its own
    assert len(read(out)[2]) == 30


def test_of_a_run_without_a_retrieval_set(run, own_dataset):
    for name in ("test", "query", "gallery"):
        (own_dataset / f"{name}.csv").unlink()
    words = ["visualize.py", "projector", "--model_dir", run.folder, "--dataset", own_dataset]
    out = run.folder / "pictures" / "projector"
    episodes = {row.split(",")[2] for row in (own_dataset / "episodes" / "val_eval.csv").read_text().splitlines()[1:]}
    for more in ([], ["--eval_set", "val_eval"]):
        done = command(*words, *more)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"wrote {out}: 12 of 12 images of tiny, val_eval; 8 dimensions\n" in done.stdout
        _, (head, *rows), _ = read(out)
        assert head == ["file", "set"]
        assert {row[0] for row in rows} == episodes
    (own_dataset / "episodes" / "val_eval.csv").unlink()
    assert f"wrote {out}: 30 of 30 images of tiny, train; 8 dimensions\n" in command(*words).stdout
    assert read(out)[1][0] == ["identity", "file", "set"]


def test_of_a_file_without_identities(without_identities, dataset, tmp_path):
    words = ["visualize.py", "projector", "--query_embeddings", without_identities]
    done = command(*words)
    assert done.stdout.startswith(
        "no small pictures: the images are not where the list says; set their folder with --image_root"
    )
    embedding, (head, *rows), vectors = read(tmp_path / "projector")
    assert not embedding.HasField("sprite")
    assert head == ["file", "set"]
    with h5py.File(without_identities) as file:
        assert [row[0] for row in rows] == list(file["path"].asstr())
        assert vectors == pytest.approx(file["emb"][:], rel=1e-5)
    done = command(*words, "--image_root", dataset / "images", "--images", 5)
    assert done.stdout.startswith("wrote ")
    embedding, (_, *rows), _ = read(tmp_path / "projector")
    assert embedding.HasField("sprite")
    assert len(rows) == 5


def test_images_that_are_gone(without_identities, tmp_path, dataset):
    (tmp_path / "images").mkdir()
    first = next((dataset / "images").glob("*/0.jpg"))
    (tmp_path / "images" / first.parent.name).mkdir()
    (tmp_path / "images" / first.parent.name / "0.jpg").write_bytes(first.read_bytes())
    words = ["projector", "--query_embeddings", without_identities, "--image_root"]
    done = command("visualize.py", *words, tmp_path / "images")
    assert done.stdout.startswith("29 images cannot be opened: grey in the projector\n")
    done = command("visualize.py", *words, tmp_path)
    assert done.stdout.startswith("no small pictures")
    assert [file.name for file in (tmp_path / "projector" / "projector").glob("*.png")] == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--out EMB", "this is a file; name a folder"),
        ("--out FULL", "the folder has other files (notes.txt)"),
        ("--out no/such", "does not exist; make it first"),
        ("--images 0", "--images: 0: it must be a whole number between 1 and 262144"),
        ("--metric cosine", "unrecognized arguments: --metric cosine"),
    ],
)
def test_refused(without_identities, tmp_path, more, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    named = {"EMB": without_identities, "FULL": tmp_path / "full"}
    words = [named.get(word, word) for word in more.split()]
    done = command("visualize.py", "projector", "--query_embeddings", without_identities, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "projector").exists()
