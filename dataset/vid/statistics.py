"""Statistics of the annotations of a split, and a table of them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from dataset.formats.categories import readable
from dataset.vid.annotations import Problem
from dataset.vid.index import SplitIndex
from dataset.vid.selection import SNIPPET_CLASSES, class_of
from runtime.tables import align

_MANY = 10  # frames with this many or more objects are counted together


def split_statistics(index: SplitIndex) -> dict[str, Any]:
    """Counts over the frames and objects of an index. A track is one object of one snippet."""
    per_frame = index.objects_in  # (F,)
    classes = [class_of(part.tolist()) for part in np.split(per_frame, np.cumsum(index.frames_in)[:-1]) if len(part)]
    snippet_of_object = index.snippet_of_frame[index.frame_of_object]  # (O,)
    tracks, first = np.unique(np.stack([snippet_of_object, index.trackids], 1), axis=0, return_index=True)
    width, height = index.sizes[index.frame_of_object].T
    x0, y0, x1, y1 = index.boxes.T
    categories = {}
    for name in np.unique(index.categories):
        of = index.categories == name
        categories[name.decode()] = {
            "snippets": len(np.unique(snippet_of_object[of])),
            "tracks": int((index.categories[first] == name).sum()),
            "objects": int(of.sum()),
            "occluded": int(index.occluded[of].sum()),
        }
    numbers = Counter(np.minimum(per_frame, _MANY).tolist())
    return {
        "snippets": len(index.folders),
        "frames": index.frame_count,
        "objects": len(index.trackids),
        "tracks": len(tracks),
        "snippet_classes": {name: classes.count(name) for name in SNIPPET_CLASSES},
        "objects_per_frame": {
            f"{number} or more" if number == _MANY else str(number): numbers[number] for number in sorted(numbers)
        },
        "categories": categories,
        "occluded_objects": int(index.occluded.sum()),
        "generated_boxes": int(index.generated.sum()),
        "boxes_beyond_the_frame": int(((x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height)).sum()),
        "trackids_of_several_snippets": int((np.unique(tracks[:, 1], return_counts=True)[1] > 1).sum()),
    }


def count_problems(problems: Iterable[Problem]) -> dict[str, int]:
    """The number of problems by kind, the most frequent kind first."""
    return dict(Counter(problem.kind for problem in problems).most_common())


def statistics_table(statistics: dict[str, dict[str, Any]]) -> str:
    """The statistics of some splits as text, with one column per split.

    Args:
        statistics: split -> the result of `split_statistics`, with `left_out` added (see `count_problems`).
    """
    splits = list(statistics)
    rows: list[list[str]] = [["", *splits]]

    def line(label: str, *keys: str) -> None:
        values = []
        for split in splits:
            value: Any = statistics[split]
            for key in keys:
                value = value.get(key, 0)
            values.append(f"{value:,}")
        rows.append([label, *values])

    def keys_of(name: str) -> list[str]:
        return list(dict.fromkeys(key for split in splits for key in statistics[split][name]))

    for name in ("snippets", "frames", "objects", "tracks"):
        line(name, name)
    rows.append(["snippets that are"])
    for name in SNIPPET_CLASSES:
        line(f"  {name}", "snippet_classes", name)
    rows.append(["frames with this number of objects"])
    for name in sorted(keys_of("objects_per_frame"), key=lambda key: int(key.split()[0])):
        line(f"  {name}", "objects_per_frame", name)
    rows.append(["objects (frame by frame) and tracks of a category"])
    for name in sorted(keys_of("categories")):
        values = [statistics[split]["categories"].get(name, {"objects": 0, "tracks": 0}) for split in splits]
        rows.append([f"  {readable(name)}", *(f"{value['objects']:,} / {value['tracks']:,}" for value in values)])
    line("occluded objects", "occluded_objects")
    line("interpolated boxes", "generated_boxes")
    line("boxes that exceed the frame", "boxes_beyond_the_frame")
    line("track ids used in several snippets (as different objects)", "trackids_of_several_snippets")
    if kinds := keys_of("left_out"):
        rows.append(["skipped"])
        for kind in kinds:
            line(f"  {kind}", "left_out", kind)
    return align(rows, left=1)
