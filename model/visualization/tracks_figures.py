"""How often the matches of a video are right, as a table, and what its words mean."""

from model.tracking import Score

NOTES = [
    "Right: of the objects that are in both of two consecutive frames, those matched to themselves. Wrong: matches of "
    "two different objects. Identity switches: an object's number is not the one it had when it was last seen.",
    "A frame is matched to the last one before it that has objects, and to no earlier one: an object that was away "
    "comes back with another number, which counts as a switch after absence.",
    "Overlap of boxes: the same assignment on 1 - IoU of the annotated boxes; boxes that do not overlap are not "
    "matched. Chance: a random assignment, on average.",
]


def figures_of(scores: dict[str, Score], chance: float) -> list[list[str]]:
    """A table: a row per way of matching, after a row of headings.

    Args:
        scores: by the way of matching, all of the same frames.
        chance: how many matches would be right by chance.
    """
    head = ["matched by", "right", "of", "right, %", "wrong", "identity switches", "after absence"]
    rows = [head]
    for name, s in scores.items():
        counts = [s.right, s.present, _percent(s.right, s.present), s.wrong, s.switches, s.switches_after_absence]
        rows.append([name, *(f"{count:,}" if isinstance(count, int) else count for count in counts)])
    present = next(iter(scores.values())).present
    return [*rows, ["chance", f"{chance:,.1f}", f"{present:,}", _percent(chance, present), "", "", ""]]


def as_text(figures: list[list[str]]) -> str:
    """The table for the terminal, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*figures, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in figures]
    return "\n".join(line.rstrip() for line in lines)


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
