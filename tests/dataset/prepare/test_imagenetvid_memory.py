"""The memory of curation at the size that a tenth of ImageNet VID has."""

from pathlib import Path

import numpy as np
import pytest
from helpers.peak_memory import run_measured

from dataset.vid.index import SplitIndex, write_index
from dataset.vid.output_folder import OutputFolder

FRAMES, OBJECTS = 300, 3  # of a snippet, of a frame


def made_up(split: str, snippets: int) -> SplitIndex:
    """The index of `snippets` videos with `OBJECTS` objects in each of `FRAMES` frames."""
    random = np.random.default_rng(0)
    frames, objects = snippets * FRAMES, snippets * FRAMES * OBJECTS
    part = "ILSVRC2015_VID_train_0000/" if split == "train" else ""
    corners = random.integers(0, 600, (objects, 2))
    return SplitIndex(
        split=split,
        folders=np.array([f"{part}ILSVRC2015_{split}_{i:08d}".encode() for i in range(snippets)]),
        frames_in=np.full(snippets, FRAMES),
        names=np.array([f"{i:06d}".encode() for i in range(FRAMES)] * snippets),
        sizes=np.tile(np.array([[1280, 720]], np.int32), (frames, 1)),
        objects_in=np.full(frames, OBJECTS),
        trackids=np.tile(np.arange(OBJECTS), frames),
        categories=np.full(objects, b"n02084071"),
        boxes=np.concatenate([corners, corners + random.integers(30, 400, (objects, 2))], axis=1).astype(float),
        occluded=random.random(objects) < 0.2,
        generated=np.zeros(objects, bool),
    )


@pytest.mark.slow
def test_curation_of_100_000_frames_stays_below_1_gb(tmp_path: Path) -> None:
    out = OutputFolder(tmp_path / "out")
    with out.at_work():
        out.settle(tmp_path, None)
        for split, snippets in (("train", 250), ("val", 84)):
            write_index(out.index_file(split), made_up(split, snippets))
    said, peak = run_measured("dataset.prepare.imagenetvid", "curate", "--out", out.path)
    for name in ("train_eval", "val_eval", "easy_val_eval"):
        assert f"{name}: 10,000 of 10,000 episodes" in said
    assert peak < 1000
