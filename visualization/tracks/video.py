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
    states = _states(tracks)
    legend = "dashed: wrong match" if any(State.WRONG in own for own in states) else ""
    for index, (annotated, numbers) in enumerate(zip(frames, tracks.numbers, strict=True)):
        objects = zip(annotated.frame.objects, numbers, states[index], strict=True)
        marks = [Mark(each.box, number, state) for each, number, state in objects]
        with Image.open(annotated.picture) as file:
            picture = file.convert("RGB")
        caption = f"frame {annotated.frame.name} ({index + 1} of {len(frames)})"
        yield draw_frame(picture, marks, caption, legend, width)
        progress(index + 1)


def _states(tracks: Tracks) -> list[list[State]]:
    """How each object came to its number; those of the first frame with objects are the first and not new."""
    states = [[State.NEW] * len(own) for own in tracks.numbers]
    first = next(own for own in states if own)
    first[:] = [State.KEPT] * len(first)
    for matching in tracks.matchings:
        right = matching.right
        for pair in matching.pairs:
            states[matching.second][pair[1]] = State.KEPT if pair in right else State.WRONG
    return states
