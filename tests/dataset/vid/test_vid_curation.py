"""The rules of curation, checked on random annotations by reading the paths that come out."""

import itertools
from collections import Counter

import numpy as np
import pytest

from dataset.vid.annotations import Frame, Snippet, VideoObject
from dataset.vid.episode_sets import object_episodes, random_crop_episodes
from dataset.vid.random_boxes import random_boxes
from dataset.vid.selection import query_gallery_rows, snippet_class, train_rows


def make_snippet(
    number: int, objects_per_frame: list[int], split: str = "val", occluded_share: float = 0.25
) -> Snippet:
    rng = np.random.default_rng(number)
    name = f"ILSVRC2015_{split}_{number:08d}"
    folder = f"ILSVRC2015_VID_train_000{number % 4}/{name}" if split == "train" else name
    frames = []
    for index, count in enumerate(objects_per_frame):
        objects = []
        for trackid in sorted(rng.choice(max(6, count), count, replace=False).tolist()):
            x, y, w, h = rng.uniform((0, 0, 20, 20), (150, 110, 60, 50)).round().tolist()
            occluded = bool(rng.uniform() < occluded_share)
            objects.append(VideoObject(trackid, "n1", x, y, x + w, y + h, occluded, False))
        frames.append(Frame(split, folder, f"{index:06d}", 200, 150, tuple(objects)))
    return Snippet(split, folder, tuple(frames))


def make_snippets(split: str = "val") -> list[Snippet]:
    rng = np.random.default_rng(7)
    snippets = [make_snippet(i, rng.integers(2, 6, 9).tolist(), split) for i in range(8)]
    snippets += [make_snippet(8 + i, rng.integers(0, 2, 9).tolist(), split) for i in range(4)]
    return [*snippets, make_snippet(12, [4, 4, 4, 1, 1, 1, 0, 0, 0], split), make_snippet(13, [0] * 9, split)]


class Index:
    """Looks up what a crop's path shows."""

    def __init__(self, snippets: list[Snippet]):
        self.frames = {(s.name, f.name): f for s in snippets for f in s.frames}
        self.classes = {s.name: snippet_class(s) for s in snippets}

    def __call__(self, path: str) -> tuple[Frame, int, str]:
        top, letter, snippet, file = path.split("/")
        name, trackid, kind = file.removesuffix(".jpg").split(".", 2)
        frame = self.frames[snippet, name]
        expected = "e" if frame.split == "val" else "abcd"[int(frame.folder.split("/")[0][-1])]
        assert (top, letter) == ("crops", expected)
        assert len(trackid) == 2
        return frame, int(trackid), kind

    def object(self, path: str) -> VideoObject:
        frame, trackid, kind = self(path)
        assert kind == "crop.x"
        (found,) = [o for o in frame.objects if o.trackid == trackid]
        return found


def check_anchor_and_positive(index: Index, anchor: str, positive: str) -> None:
    (first, one, _), (second, other, _) = index(anchor), index(positive)
    assert first.snippet == second.snippet
    assert first.name != second.name
    assert one == other
    assert not index.object(anchor).occluded
    assert not index.object(positive).occluded


def check_even_use(snippets: list[str]) -> None:
    """Some have one episode more than others, and no more than that, at every point of the file."""
    counts = Counter(snippets)
    assert max(counts.values()) - min(counts.values()) <= 1
    for start in range(0, len(snippets), len(counts)):
        turn = snippets[start : start + len(counts)]
        assert len(set(turn)) == len(turn)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 0, 0, 1], "missing_bbox"),
        ([0, 0, 1, 1], "single_bboxes"),  # half is no majority
        ([2, 2, 3, 1], "multiple_bboxes"),
        ([2, 2, 1, 1], "single_bboxes"),
        ([2, 2, 0, 0], "single_bboxes"),
        ([1, 1, 1, 1], "single_bboxes"),
        ([0, 1, 2], "single_bboxes"),
        ([0], "missing_bbox"),
        ([5], "multiple_bboxes"),
    ],
)
def test_snippet_class(numbers, expected):
    assert snippet_class(make_snippet(0, numbers)) == expected


def test_train_rows():
    snippets = make_snippets("train")
    expected = Counter()
    for snippet in snippets:
        for trackid in range(6):
            seen = [f for f in snippet.frames for o in f.objects if o.trackid == trackid and not o.occluded]
            if len(seen) >= 2:
                letter = "abcd"[int(snippet.folder.split("/")[0][-1])]
                for frame in seen:
                    path = f"crops/{letter}/{snippet.name}/{frame.name}.{trackid:02d}.crop.x.jpg"
                    expected[f"{snippet.name}/{trackid}", path, "", snippet.name] += 1
    assert Counter(train_rows(snippets)) == expected
    assert set(expected.values()) == {1}


def test_an_object_seen_once_is_left_out():
    box = VideoObject(1, "n1", 10, 10, 40, 40, False, False)
    hidden = VideoObject(1, "n1", 10, 10, 40, 40, True, False)
    frames = [Frame("val", "s", f"{i}", 200, 150, (o,)) for i, o in enumerate((box, hidden, hidden))]
    assert train_rows([Snippet("val", "s", tuple(frames))]) == []


@pytest.mark.parametrize("count", [5, 60])
def test_object_episodes(count):
    snippets = make_snippets()
    index, result = Index(snippets), object_episodes(snippets, "val_eval", count, seed=3)
    assert len(result.episodes) == count
    assert result.shortfall == ""
    used = []
    for anchor, positive, negatives in result.episodes:
        check_anchor_and_positive(index, anchor, positive)
        second, trackid, _ = index(positive)
        others = {o.trackid for o in second.objects} - {trackid}
        assert len(others) >= 2
        assert [index(path)[0] for path in negatives] == [second] * len(others)
        assert {index.object(path).trackid for path in negatives} == others
        assert len(set(negatives)) == len(others)
        used.append(second.snippet)
    assert {index.classes[name] for name in used} == {"multiple_bboxes"}
    assert len(set(used)) == min(count, 8)
    check_even_use(used)
    assert len({(anchor, positive) for anchor, positive, _ in result.episodes}) == count


def iou(one: tuple, other: tuple) -> float:
    """By counting cells of half a pixel: slow, and another way than the one under test."""
    sides = [np.arange(min(one[i], other[i]), max(one[i + 2], other[i + 2]), 0.5) + 0.25 for i in (0, 1)]
    x, y = np.meshgrid(*sides)
    inside = [(b[0] <= x) & (x < b[2]) & (b[1] <= y) & (y < b[3]) for b in (one, other)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def test_random_crop_episodes(tmp_path):
    snippets = make_snippets()
    index, result = Index(snippets), random_crop_episodes(snippets, "easy_val_eval", 30, seed=3)
    assert len(result.episodes) == 30
    used = []
    for anchor, positive, negatives in result.episodes:
        check_anchor_and_positive(index, anchor, positive)
        second, trackid, _ = index(positive)
        target = index.object(positive)
        assert len(set(negatives)) == 5
        for number, path in enumerate(negatives):
            frame, box = result.random_crops[path]
            assert index(path) == (second, trackid, f"random.{number}")
            assert frame == second
            assert iou(box, target.box) < 0.3 + 0.01
            assert 0 <= (box[0] + box[2]) / 2 <= frame.width
            assert 0 <= (box[1] + box[3]) / 2 <= frame.height
            for low, high in ((0, 2), (1, 3)):
                ratio = (box[high] - box[low]) / (target.box[high] - target.box[low])
                assert 1 / 1.5 < ratio < 1.5
        used.append(second.snippet)
    assert {index.classes[name] for name in used} == {"single_bboxes", "multiple_bboxes"}
    check_even_use(used)

    tasks = result.random_crop_tasks(tmp_path / "vid", tmp_path / "out")
    assert {path: (task.frame, box) for task in tasks for box, path in task.boxes} == result.random_crops
    assert len({task.image for task in tasks}) == len(tasks)  # every image is decoded once


def test_random_boxes_keep_their_distance():
    """Around a large object many boxes are just far enough, and none is nearer."""
    rng, found = np.random.default_rng(0), []
    for i in range(60):
        x, y = rng.integers(0, 90, 2).tolist()
        large = VideoObject(4, "n1", x, y, x + 110, y + 60, False, False)
        boxes = random_boxes(Frame("val", "s", f"{i:06d}", 200, 150, (large,)), 4)
        found += [iou(box, large.box) for box in boxes]
    assert len(found) == 60 * 5
    assert 0.25 < max(found) < 0.3 + 0.01


def test_no_room_for_random_crops():
    """No box of this size whose centre is in the frame is far enough from the object's."""
    huge = VideoObject(0, "n1", -400, -400, 600, 550, False, False)
    frames = tuple(Frame("val", "s", f"{i:06d}", 200, 150, (huge,)) for i in range(4))
    assert random_boxes(frames[0], 0) == []
    result = random_crop_episodes([Snippet("val", "s", frames)], "easy_val_eval", 3, seed=0)
    assert result.episodes == []
    assert "0 of 3" in result.shortfall


def test_as_many_as_there_are():
    """Every pair there is comes once, and the shortfall is told."""
    snippet = make_snippet(1, [3, 3, 2, 4], occluded_share=0.2)
    possible = set()
    for first, second in itertools.permutations(snippet.frames, 2):
        for trackid in range(6):
            free = [any(o.trackid == trackid and not o.occluded for o in f.objects) for f in (first, second)]
            if all(free) and len(second.objects) >= 3:
                possible.add((first.name, second.name, trackid))
    assert possible
    index, result = Index([snippet]), object_episodes([snippet], "val_eval", 10**6, seed=0)
    made = [(index(anchor)[0].name, *(index(positive)[i] for i in (0, 1))) for anchor, positive, _ in result.episodes]
    assert sorted((first, second.name, trackid) for first, second, trackid in made) == sorted(possible)
    assert f"val_eval: {len(possible)} of 1000000" in result.shortfall


def test_no_snippet_qualifies():
    result = object_episodes([make_snippet(0, [1] * 5), make_snippet(1, [2] * 5)], "val_eval", 4, seed=0)
    assert result.episodes == []
    assert "0 of 4" in result.shortfall


@pytest.mark.parametrize("make", [object_episodes, random_crop_episodes])
def test_the_seed_and_the_name_decide(make):
    snippets = make_snippets()
    reference = make(snippets, "val_eval", 20, 5)
    assert make(snippets, "val_eval", 20, 5).episodes == reference.episodes
    assert make(snippets, "val_eval", 20, 6).episodes != reference.episodes
    assert make(snippets, "other", 20, 5).episodes != reference.episodes
    assert query_gallery_rows(snippets, 5) == query_gallery_rows(snippets, 5) != query_gallery_rows(snippets, 6)


def test_query_gallery():
    snippets = make_snippets()
    index = Index(snippets)
    query, gallery = query_gallery_rows(snippets, seed=0)
    identities = [identity for identity, _ in query]
    assert identities
    assert len(set(identities)) == len(identities)
    assert {identity for identity, _ in gallery} == set(identities)
    for rows, early in ((query, True), (gallery, False)):
        for identity, path in rows:
            frame, trackid, _ = index(path)
            assert identity == f"{frame.snippet}/{trackid}"
            assert not index.object(path).occluded
            assert (int(frame.name) < 3) == early  # of 9 frames
    for identity in identities:
        snippet, trackid = identity.split("/")
        late = [f for (s, _), f in index.frames.items() if s == snippet and int(f.name) >= 3]
        seen = sum(o.trackid == int(trackid) and not o.occluded for f in late for o in f.objects)
        assert sum(name == identity for name, _ in gallery) == seen
