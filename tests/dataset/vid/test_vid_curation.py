"""The rules of curation, checked on random annotations by looking up the resulting paths."""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest
from helpers.vid_tree import crop_file, thing

from dataset.vid.annotations import Frame, Snippet
from dataset.vid.episode_sets import object_episodes, random_boxes, random_crop_episodes
from dataset.vid.selection import query_gallery_rows, snippet_class, train_rows


def make_snippet(number, objects_per_frame, split="val", occluded_share=0.25) -> Snippet:
    rng = np.random.default_rng(number)
    name = f"ILSVRC2015_{split}_{number:08d}"
    folder = f"ILSVRC2015_VID_train_000{number % 4}/{name}" if split == "train" else name
    frames = []
    for index, count in enumerate(objects_per_frame):
        objects = []
        for trackid in sorted(rng.choice(max(6, count), count, replace=False).tolist()):
            x, y, w, h = rng.uniform((0, 0, 20, 20), (150, 110, 60, 50)).round().tolist()
            objects.append(thing(trackid, (x, y, x + w, y + h), "n1", bool(rng.uniform() < occluded_share)))
        frames.append(Frame(split, folder, f"{index:06d}", 200, 150, tuple(objects)))
    return Snippet(split, folder, tuple(frames))


def make_snippets(split="val") -> list[Snippet]:
    rng = np.random.default_rng(7)
    snippets = [make_snippet(i, rng.integers(2, 6, 9).tolist(), split) for i in range(8)]
    snippets += [make_snippet(8 + i, rng.integers(0, 2, 9).tolist(), split) for i in range(4)]
    return [*snippets, make_snippet(12, [4, 4, 4, 1, 1, 1, 0, 0, 0], split), make_snippet(13, [0] * 9, split)]


def snippet_of(*objects) -> Snippet:
    """A snippet with an object in each frame."""
    frames = (Frame("val", "s", f"{i:06d}", 200, 150, (o,)) for i, o in enumerate(objects))
    return Snippet("val", "s", tuple(frames))


def shown(snippets) -> dict:
    """The frame and the object that each crop shows."""
    return {crop_file(f, o.trackid): (f, o) for s in snippets for f in s.frames for o in f.objects}


def check(result, snippets, classes, able):
    """Checks anchors, positives and snippets of the episodes, and yields the values for further checks."""
    assert len(result.episodes) == len({episode[:2] for episode in result.episodes}) == result.asked
    assert result.shortfall == ""
    crops, used = shown(snippets), []
    attributes = zip(*(result.attributes[name] for name in ("snippet", "category", "gap")), strict=True)
    for (anchor, positive, negatives), said in zip(result.episodes, attributes, strict=True):
        (first, one), (second, other) = crops[anchor], crops[positive]
        assert (first.snippet, one.trackid) == (second.snippet, other.trackid)
        assert first.name != second.name
        assert not one.occluded
        assert not other.occluded
        assert said == (first.snippet, one.category, abs(int(first.name) - int(second.name)))
        used.append(second.snippet)
        yield second, other, negatives
    assert {snippet_class(snippet) for snippet in snippets if snippet.name in used} == classes
    # Some have one episode more than others, and no more than that, at every point of the file.
    assert len(set(used)) == result.snippets == min(result.asked, able)
    for start in range(0, result.asked, able):
        turn = used[start : start + able]
        assert len(set(turn)) == len(turn)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 0, 0, 1], "missing_bbox"),
        ([0, 0, 1, 1], "single_bboxes"),  # half is no majority
        ([2, 2, 3, 1], "multiple_bboxes"),
        ([2, 2, 1, 1], "single_bboxes"),
        ([2, 2, 0, 0], "single_bboxes"),
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
    for snippet, trackid in itertools.product(snippets, range(6)):
        seen = [f for f in snippet.frames for o in f.objects if o.trackid == trackid and not o.occluded]
        for frame in seen if len(seen) >= 2 else []:
            expected[f"{snippet.name}/{trackid}", crop_file(frame, trackid), "", snippet.name] += 1
    assert Counter(train_rows(snippets)) == expected
    assert set(expected.values()) == {1}
    box, hidden = (thing(1, (10, 10, 40, 40), occluded=occluded) for occluded in (False, True))
    assert train_rows([snippet_of(box, hidden, hidden)]) == []  # seen once


@pytest.mark.parametrize("count", [5, 60])
def test_object_episodes(count):
    snippets = make_snippets()
    result = object_episodes(snippets, "val_eval", count, seed=3)
    for second, target, negatives in check(result, snippets, {"multiple_bboxes"}, able=8):
        assert len(second.objects) >= 3
        assert negatives == [crop_file(second, o.trackid) for o in second.objects if o != target]


def iou(one: tuple, other: tuple) -> float:
    """The IoU by counting cells of half a pixel: slow, and independent of the tested code."""
    sides = [np.arange(min(one[i], other[i]), max(one[i + 2], other[i + 2]), 0.5) + 0.25 for i in (0, 1)]
    x, y = np.meshgrid(*sides)
    inside = [(b[0] <= x) & (x < b[2]) & (b[1] <= y) & (y < b[3]) for b in (one, other)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def test_random_crop_episodes(tmp_path):
    snippets = make_snippets()
    result = random_crop_episodes(snippets, "easy_val_eval", 30, seed=3)
    for second, target, negatives in check(result, snippets, {"single_bboxes", "multiple_bboxes"}, able=12):
        assert negatives == [crop_file(second, target.trackid, f"random.{i}") for i in range(5)]
        for path in negatives:
            frame, box = result.random_crops[path]
            assert frame == second
            assert iou(box, target.box) < 0.3 + 0.01
            assert 0 <= (box[0] + box[2]) / 2 <= frame.width
            assert 0 <= (box[1] + box[3]) / 2 <= frame.height
            for low, high in ((0, 2), (1, 3)):
                ratio = (box[high] - box[low]) / (target.box[high] - target.box[low])
                assert 1 / 1.5 < ratio < 1.5
    tasks = result.random_crop_tasks(tmp_path / "vid", tmp_path / "out")
    assert {path: (task.frame, box) for task in tasks for box, path in task.boxes} == result.random_crops
    assert len({task.image for task in tasks}) == len(tasks)  # every image is decoded once


@pytest.mark.parametrize("limit", [0.1, 0.3])
def test_random_boxes_keep_their_distance(limit):
    """Around a large object, many boxes are just far enough, and none is closer. More boxes keep the first ones."""
    rng, found = np.random.default_rng(0), []
    for i in range(60):
        x, y = rng.integers(0, 90, 2).tolist()
        large = thing(4, (x, y, x + 110, y + 60))
        frame = Frame("val", "s", f"{i:06d}", 200, 150, (large,))
        boxes = random_boxes(frame, 4, 5, limit)
        assert random_boxes(frame, 4, 2, limit) == boxes[:2]
        found += [iou(box, large.box) for box in boxes]
    assert len(found) == 60 * 5
    assert limit - 0.05 < max(found) < limit + 0.01


def test_as_many_as_there_are():
    """Every possible pair occurs once, and too few episodes are reported."""
    snippet = make_snippet(1, [3, 3, 2, 4], occluded_share=0.2)
    possible = []
    for first, second in itertools.permutations(snippet.frames, 2):
        for trackid in range(6):
            free = [any(o.trackid == trackid and not o.occluded for o in f.objects) for f in (first, second)]
            if all(free) and len(second.objects) >= 3:
                possible.append((crop_file(first, trackid), crop_file(second, trackid)))
    assert possible
    result = object_episodes([snippet], "val_eval", 10**6, seed=0)
    assert sorted(pair for *pair, _ in result.episodes) == sorted(map(list, possible))
    assert f"val_eval: only {len(possible)} of 1,000,000" in result.shortfall


def test_no_snippet_qualifies():
    """No box of a huge object's size whose centre is in the frame is far enough from it."""
    crowded = snippet_of(*[thing(0, (-400, -400, 600, 550))] * 4)
    assert random_boxes(crowded.frames[0], 0) == []
    for result in (
        random_crop_episodes([crowded], "easy_val_eval", 4, seed=0),
        object_episodes([make_snippet(0, [1] * 5), make_snippet(1, [2] * 5)], "val_eval", 4, seed=0),
    ):
        assert result.episodes == []
        assert "0 of 4" in result.shortfall


@pytest.mark.parametrize(
    ("make", "digest"), [(object_episodes, "649b311b3be3a409"), (random_crop_episodes, "c115e482e3294f27")]
)
def test_the_seed_and_the_name_decide(make, digest):
    """And the draws stay as they were: a set that is curated again is the same."""
    snippets = make_snippets()
    reference = make(snippets, "val_eval", 20, 5).episodes
    assert hashlib.sha256(repr(reference).encode()).hexdigest().startswith(digest)
    assert make(snippets, "val_eval", 20, 6).episodes != reference
    assert make(snippets, "other", 20, 5).episodes != reference


def test_query_gallery():
    snippets = make_snippets()
    crops, rows = shown(snippets), query_gallery_rows(snippets, seed=0)
    query, gallery = ([(identity, *crops[path]) for identity, path in each] for each in rows)
    assert all(identity == f"{frame.snippet}/{o.trackid}" for identity, frame, o in (*query, *gallery))
    seen = {True: Counter(), False: Counter()}  # early, in the first third of 9 frames, or late
    for snippet in snippets:
        for frame in snippet.frames:
            free = [f"{frame.snippet}/{o.trackid}" for o in frame.objects if not o.occluded]
            seen[int(frame.name) < 3].update(free)
    both = seen[True].keys() & seen[False].keys()
    assert both
    assert Counter(identity for identity, *_ in query) == dict.fromkeys(both, 1)
    assert Counter(identity for identity, *_ in gallery) == {identity: seen[False][identity] for identity in both}
    for found, early in ((query, True), (gallery, False)):
        assert all((int(frame.name) < 3) == early and not o.occluded for _, frame, o in found)
    assert query_gallery_rows(snippets, seed=0) == rows != query_gallery_rows(snippets, seed=1)
