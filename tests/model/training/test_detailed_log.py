"""The detailed log: writing and reading, in resumed runs too; earlier logs are kept."""

import numpy as np
import pytest

from model.training import detailed_log
from model.training.detailed_log import DetailedLog, read_detailed_log
from runtime.errors import UserError

FILES = ["a.jpg", "ordner/ü b.jpg", "c.png"]
B, D = 6, 4


def opened(folder, start=0, files=FILES, batch_size=B, dimensions=D):
    return DetailedLog(folder / "detailed", files, start, batch_size, dimensions)


def row(step, batch_size=B, dimensions=D):
    random = np.random.default_rng(step)
    embeddings = random.normal(size=(batch_size, dimensions)).astype(np.float32)
    losses, images = random.normal(size=batch_size).astype(np.float32), random.integers(0, 3, batch_size)
    return step, step / 2, embeddings, losses, images


def write(log, steps, **shape):
    for step in steps:
        log.append(*row(step, **shape))
    log.write()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_holds(folder, steps):
    batches = read_detailed_log(folder)
    assert batches.emb.dtype == batches.anchor_losses.dtype == batches.losses.dtype == np.float32
    assert batches.images.dtype == batches.steps.dtype == np.int64
    assert batches.paths == FILES
    names = ("steps", "losses", "emb", "anchor_losses", "images")
    for name, column in zip(names, zip(*map(row, steps), strict=True), strict=True):
        np.testing.assert_array_equal(getattr(batches, name), np.array(column))


def test_what_is_written_is_read(tmp_path):
    log = opened(tmp_path)
    assert log.note is None
    with pytest.raises(UserError, match="no batch is written yet"):
        read_detailed_log(tmp_path / "detailed")
    write(log, range(1, 4))
    write(log, range(4, 12))
    write(log, [])
    assert files(tmp_path / "detailed") == ["00000003.npz", "00000011.npz", "contents.json"]
    assert_holds(tmp_path / "detailed", range(1, 12))
    with np.load(tmp_path / "detailed" / "00000003.npz") as part:
        assert part["step"].tolist() == [1, 2, 3]
        np.testing.assert_array_equal(part["emb"], read_detailed_log(tmp_path / "detailed").emb[:3])


def test_large_logs_are_written_early(tmp_path, monkeypatch):
    monkeypatch.setattr(detailed_log, "_LARGE", 3 * B * D * 4)
    log = opened(tmp_path)
    for step in range(1, 6):
        log.append(*row(step))
    assert_holds(tmp_path / "detailed", range(1, 4))
    log.write()
    assert_holds(tmp_path / "detailed", range(1, 6))


@pytest.mark.parametrize("start", [0, 3, 6])
def test_resuming_drops_later_steps(tmp_path, start):
    """Killed after step 8; the last checkpoint is of step `start`. Step 7 was in memory, or in half a file."""
    log = opened(tmp_path)
    for steps in ((1, 2, 3), (4, 5, 6), (7, 8)):
        write(log, steps)
    log.append(*row(9))
    (tmp_path / "detailed" / ".00000009.npz.17.tmp").write_bytes(b"half")
    log = opened(tmp_path, start)
    assert log.note is None
    write(log, range(start + 1, start + 3))
    assert_holds(tmp_path / "detailed", range(1, start + 3))
    assert not any(name.endswith(".tmp") for name in files(tmp_path / "detailed"))


@pytest.mark.parametrize("change", [{"batch_size": B + 2}, {"dimensions": D + 1}, {"files": FILES[::-1]}])
def test_another_shape_begins_a_new_folder(tmp_path, change):
    for aside in ("detailed.until-2", "detailed.until-2-2"):
        write(opened(tmp_path), [1, 2])
        log = opened(tmp_path, 2, **change)
        assert log.note.endswith(f"it was renamed to {aside}, and a new one begins")
        write(log, [3], **{name: value for name, value in change.items() if name != "files"})
        assert_holds(tmp_path / aside, [1, 2])
        assert read_detailed_log(tmp_path / "detailed").steps.tolist() == [3]
        (tmp_path / "detailed" / "00000003.npz").unlink()
        (tmp_path / "detailed" / "contents.json").unlink()


def test_errors_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"none/contents.json: no such file"):
        read_detailed_log(tmp_path / "none")
    (tmp_path / "detailed").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        opened(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"5", b"\xff"])
def test_a_lost_or_damaged_list_of_contents_loses_no_batch(tmp_path, content):
    write(opened(tmp_path), [1, 2])
    contents = tmp_path / "detailed" / "contents.json"
    whole = contents.read_bytes()
    contents.unlink() if content is None else contents.write_bytes(content)
    with pytest.raises(UserError, match=r"contents\.json"):
        read_detailed_log(tmp_path / "detailed")
    assert "detailed.until-2, and a new one begins" in opened(tmp_path, 2).note
    (tmp_path / "detailed.until-2" / "contents.json").write_bytes(whole)
    assert_holds(tmp_path / "detailed.until-2", [1, 2])
