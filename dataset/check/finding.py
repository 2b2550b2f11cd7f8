"""One thing that a check has found."""

from dataclasses import dataclass
from typing import Any

from runtime.printable import LONGEST, shorten

EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        name: the check, a word for programs.
        what: what was found, in words before a number: "images that cannot be read".
        items: each of the things found, one line each.
        harms: whether it harms a training or an evaluation; else it is a note.
    """

    name: str
    what: str
    items: list[str]
    harms: bool

    def lines(self) -> list[str]:
        """The lines of the report: the number, and examples."""
        rest = len(self.items) - EXAMPLES
        more = [f"    ... and {rest:,} more"] if rest > 0 else []
        kind = "PROBLEM" if self.harms else "note"
        return [
            f"{kind}: {self.what}: {len(self.items):,}",
            *(f"    {shorten(item, LONGEST)}" for item in self.items[:EXAMPLES]),
            *more,
        ]

    def record(self) -> dict[str, Any]:
        """The finding for a JSON file, with all items."""
        level = "problem" if self.harms else "note"
        return {"name": self.name, "level": level, "what": self.what, "count": len(self.items), "items": self.items}
