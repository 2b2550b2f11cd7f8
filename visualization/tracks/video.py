"""The frames of a video with its objects in numbered boxes, and what is wrong with their numbers."""

from collections.abc import Callable, Iterator, Sequence

from PIL import Image

from dataset.vid.annotated_frames import AnnotatedFrame
from visualization.tracks.boxes import Mark, State, draw_frame
from visualization.tracks.tracking import Tracks


def draw_frames(
    frames: Sequence[AnnotatedFrame],
    tracks: Tracks,
    width: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Image.Image]:
    """Yields each frame with its objects' boxes and numbers, RGB, all of one size, at most `width` pixels wide.

    Calls `progress` with the number of frames that have been taken and used.
    """
    states = _states(frames, tracks)
    legend = "dashed: wrong match" if any(State.WRONG in own for own in states) else ""
    for index, (annotated, numbers) in enumerate(zip(frames, tracks.numbers, strict=True)):
        objects = zip(annotated.frame.objects, numbers, states[index], strict=True)
        marks = [Mark(each.box, number, state) for each, number, state in objects]
        with Image.open(annotated.picture) as file:
            picture = file.convert("RGB")
        caption = f"frame {annotated.frame.name} ({index + 1} of {len(frames)})"
        yield draw_frame(picture, marks, caption, legend, width)
        progress(index + 1)


def _states(frames: Sequence[AnnotatedFrame], tracks: Tracks) -> list[list[State]]:
    """How each object came to its number; those of the first frame with objects are the first and not new."""
    objects = [annotated.frame.objects for annotated in frames]
    states = [[State.NEW] * len(own) for own in objects]
    first = next(i for i, own in enumerate(objects) if own)
    states[first] = [State.KEPT] * len(objects[first])
    for matching in tracks.matchings:
        for row, column in matching.pairs:
            right = objects[matching.first][row].trackid == objects[matching.second][column].trackid
            states[matching.second][column] = State.KEPT if right else State.WRONG
    return states
