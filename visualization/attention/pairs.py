"""The pairs of images to explain: queries of a set with images near them, or named files."""

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UserError
from runtime.printable import printable
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import EmbeddedSet, check_can_open


@dataclass(frozen=True)
class ChosenPair:
    """A query and the image it is compared with.

    Attributes:
        files: paths that can be opened.
        names, identities: of both; an unknown identity is "".
        kind: why it is shown: best, worst, random, or "".
    """

    files: tuple[str, str]
    names: tuple[str, str]
    identities: tuple[str, str]
    kind: str = ""

    @property
    def right(self) -> bool | None:
        """Whether both have one identity; None if that is unknown."""
        return self.identities[0] == self.identities[1] if all(self.identities) else None

    @property
    def verdict(self) -> str:
        return {True: "✓ right", False: "✗ wrong", None: ""}[self.right]


def choose_pairs(embedded: EmbeddedSet, count: int, show: str, match: str, seed: int) -> list[ChosenPair]:
    """Queries of a set, each with the nearest image of the evaluation.

    Args:
        embedded: the set.
        count, show, seed: see `choose_queries`.
        match: "nearest", or "right" or "wrong": the nearest of the query's identity, or of another.

    Raises:
        UserError: when the place of the images is unknown, or all have one identity and `match` is "wrong".
    """
    query, gallery = embedded.query, embedded.gallery
    query_files, gallery_files = check_can_open(query), check_can_open(gallery)
    chosen = choose_queries(rank_queries(embedded), count, show, seed)
    pairs = []
    for (kind, _), ranking in zip(chosen, find_rankings(embedded, [row for _, row in chosen], 1), strict=True):
        found = {"nearest": ranking.top[0], "right": ranking.first, "wrong": ranking.nearest_wrong}[match]
        if found is None:
            raise UserError("--match wrong: all images have one identity; use --match right")
        first, second = ranking.query, found.index
        files = str(query_files[first]), str(gallery_files[second])
        names = printable(query.paths[first]), printable(gallery.paths[second])
        pairs.append(ChosenPair(files, names, (query.identities[first], gallery.identities[second]), kind))
    return pairs


def find_pairs(pairs: list[tuple[str, str]], embedded: EmbeddedSet | None = None) -> list[ChosenPair]:
    """Pairs of files. A name may also be a path in the set's list, which has the identity.

    Raises:
        UserError: for a file that does not exist.
    """
    listed: dict[str, tuple[Path, str]] = {}
    for points in (embedded.gallery, embedded.query) if embedded else ():
        files = points.files or map(Path, points.paths)
        listed |= zip(points.paths, zip(files, points.identities, strict=True), strict=True)
    chosen = []
    for pair in pairs:
        found = [listed.get(name, (Path(name), "")) for name in pair]
        for name, (file, _) in zip(pair, found, strict=True):
            if not file.is_file():
                raise UserError(f"--pair {printable(name)}: there is no such file")
        (first, one), (second, other) = found
        names = printable(pair[0]), printable(pair[1])
        chosen.append(ChosenPair((str(first), str(second)), names, (one, other)))
    return chosen
