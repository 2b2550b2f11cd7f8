"""Cropping that is interrupted or killed, or done by two processes; damaged crops; an archive that changes."""

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.commands import start, wait_for
from helpers.preparing import crop, curate
from helpers.vid_tree import contents, make_root, picture, read_episodes
from PIL import Image

from dataset.formats.prepared import open_prepared
from dataset.loading.checked import load_episodes
from dataset.prepare.imagenetvid import main
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError
from runtime.json_files import read_json

STOPPED = "interrupted\nfinished work is kept; to resume, repeat the command\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_root(tmp_path_factory.mktemp("vid") / "root", repeat=4)


@pytest.fixture(scope="module")
def uninterrupted(root, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    crop(root, out)
    return contents(out)


def crops_in(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.startswith("crops/")}


@contextlib.contextmanager
def at_work(root: Path, out: Path, workers: int = 1) -> Iterator[subprocess.Popen]:
    """The command in a process group of its own, killed at the end of the block."""
    words = ("-m", "dataset.prepare.imagenetvid", "crop", "--root", root, "--out", out, "--workers", workers)
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background process would ignore Ctrl-C
    process = start(*words, start_new_session=True, preexec_fn=hears)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def number(out: Path) -> int:
    return sum(1 for _ in (out / "crops").rglob("*.jpg"))


@pytest.mark.parametrize(("workers", "ending"), [(1, signal.SIGINT), (2, signal.SIGKILL)])
def test_stopped_with_two_at_once(root, uninterrupted, tmp_path, capsys, workers, ending):
    out = tmp_path / "out"
    with at_work(root, out, workers) as process:
        wait_for(lambda: number(out) >= 20, process)
        os.kill(process.pid, signal.SIGSTOP)  # it must still exist when the second one starts
        for words in (("crop", "--root", root), ("curate",), ("index", "--root", root)):
            with pytest.raises(UserError, match=f"^{out}: another process is using it") as caught:
                main([*map(str, words), "--out", str(out)])
            assert "\n" not in str(caught.value)
        os.kill(process.pid, signal.SIGCONT)
        os.killpg(process.pid, ending)
        _, errors = process.communicate()
    assert (process.returncode, errors) == ((130, STOPPED) if ending == signal.SIGINT else (-signal.SIGKILL, ""))
    assert not (out / "crops_val.json").exists()
    crops = crops_in(contents(out))
    stamps = {path: (out / path).stat().st_mtime_ns for path in crops}
    assert 20 <= len(crops) < len(crops_in(uninterrupted))
    assert crops.items() <= uninterrupted.items()  # existing crops are complete

    crop(root, out)
    assert contents(out) == uninterrupted
    told = [int(number) for number in re.findall(r"(\d+) of them existed before", capsys.readouterr().out)]
    assert sum(told) == len(crops)
    assert not (out / ".partial").exists()
    assert stamps == {path: (out / path).stat().st_mtime_ns for path in stamps}


def test_half_a_file_never_has_the_name_of_a_crop(root, uninterrupted, tmp_path, monkeypatch):
    """The process ends in the middle of the tenth file."""
    out, save, saved = tmp_path / "out", Image.Image.save, []

    def stops(image: Image.Image, file: Path, *words: object, **options: object) -> None:
        save(image, file, *words, **options)
        saved.append(file)
        if len(saved) == 10:
            file.write_bytes(file.read_bytes()[:999])
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        crop(root, out)
    crops = crops_in(contents(out))
    assert len(crops) == 9
    assert crops.items() <= uninterrupted.items()


def test_interrupted_while_the_workers_start(root, tmp_path):
    """One line and no tracebacks of processes that were importing."""
    out = tmp_path / "out"
    with at_work(root, out, workers=2) as process:
        wait_for((out / ".lock").exists, process)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (130, STOPPED)


def test_damaged_crops(root, uninterrupted, tmp_path):
    """Missing and empty crops are made again, leftovers of a killed process are removed, other files stay."""
    out = tmp_path / "out"
    for path, data in uninterrupted.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
    crops = sorted(crops_in(uninterrupted))
    (out / crops[3]).unlink()
    (out / crops[40]).write_bytes(b"")
    shutil.rmtree((out / crops[-1]).parent)
    (out / ".partial").mkdir()
    for left in (".partial/7.jpg", ".settings.json.7.tmp", "index/.val.npz.7.tmp", ".crops_val.json.7.tmp"):
        (out / left).write_bytes(b"half")
    stamp = (out / crops[4]).stat().st_mtime_ns
    crop(root, out)
    assert contents(out) == uninterrupted
    assert (out / crops[4]).stat().st_mtime_ns == stamp


def test_added_annotations_and_fixed_images(tmp_path, capsys):
    """An archive that was unpacked in two steps is read again, and so is an image that was unreadable."""
    root, out, whole = make_root(tmp_path / "root"), tmp_path / "a" / "out", tmp_path / "b" / "out"
    crop(root, whole)
    late = root / "Annotations" / "VID" / "val" / "ILSVRC2015_val_00005000"
    late.rename(tmp_path / "late")
    image = picture(root, "val", "ILSVRC2015_val_00000001", "000003")
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2])
    crop(root, out)
    assert f"{image}: cannot be read" in capsys.readouterr().out
    assert contents(out) != contents(whole)
    (tmp_path / "late").rename(late)
    image.write_bytes(data)
    crop(root, out)
    said = capsys.readouterr().out
    assert "val: annotation files were added or removed" in said
    assert "val: nothing was skipped" in said
    assert contents(out) == contents(whole)


def test_an_archive_that_was_moved_and_lost_frames(tmp_path, capsys):
    """Random crops need the moved archive. With its new path they are cut, and no crop is made again."""
    root, out, moved = make_root(tmp_path / "root"), tmp_path / "out", tmp_path / "moved"
    crop(root, out, "--split=val")
    before = {path: (out / path).stat().st_mtime_ns for path in contents(out, ".jpg")}
    root.rename(moved)
    with pytest.raises(UserError, match=f"^{root}/Data/VID/val: no such folder.*run crop with"):
        curate(out, "--episodes=60")
    assert not (out / "dataset.json").exists()
    crop(moved, out, "--split=val")
    for i in range(3):
        picture(moved, "val", "ILSVRC2015_val_00000001", f"00000{i}").unlink()
    curate(out, "--episodes=60")
    assert before == {path: (out / path).stat().st_mtime_ns for path in before}
    episodes = read_episodes(out / "episodes" / "easy_val_eval.csv")
    dropped = 60 - len(episodes)
    assert 0 < dropped < 60
    told = f"note: easy_val_eval: {dropped} episodes skipped, as images of frames are missing"
    assert told in capsys.readouterr().out
    load_episodes(out / "episodes" / "easy_val_eval.csv", out, check="full")
    statistics = read_json(out / "statistics.json")["sets"]["easy_val_eval"]
    assert statistics["episodes"] == len(episodes)
    assert statistics["snippets"] == len({anchor.split("/")[2] for anchor, *_ in episodes})


def test_a_split_that_lost_its_images_loses_its_lists_and_does_not_block_the_other(tmp_path, capsys):
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    crop(root, out)
    curate(out, "--episodes=5")
    for image in (root / "Data" / "VID" / "train").rglob("*.JPEG"):
        image.unlink()
    for each in (out / "crops").glob("[a-d]/*/*.jpg"):
        each.unlink()
    (out / "crops_val.json").unlink()
    with pytest.raises(UserError, match="none of its 24 frames gave a crop"):
        crop(root, out)
    assert (out / "crops_val.json").exists()
    curate(out, "--episodes=5")
    assert "train: skipped, as none of its objects has a crop" in capsys.readouterr().out
    assert not (out / "train.csv").exists()
    sets = {"val_eval", "easy_val_eval"}
    assert {each.name for each in find_evaluation_sets(open_prepared(str(out)).folder)} == sets
    assert {file.stem for file in (out / "episodes").glob("*.csv")} == sets
    assert {file.stem for file in (out / "episodes" / "attributes").iterdir()} == sets
