"""Which pairs of images to explain: queries of a set with images near them, or files that are named."""

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UserError
from visualization.kit.printable import printable
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import EmbeddedSet, check_can_open


@dataclass(frozen=True)
class ChosenPair:
    """Two images.

    Attributes:
        files: that can be opened.
        names, identities: of both; identities are "" where they are not known.
        right: whether they are of one identity; None where that is not known.
        kind: best, worst or random, or "".
    """

    files: tuple[str, str]
    names: tuple[str, str]
    identities: tuple[str, str]
    right: bool | None
    kind: str = ""


def choose_pairs(embedded: EmbeddedSet, count: int, show: str, match: str, seed: int) -> list[ChosenPair]:
    """Queries of a set, each with the image nearest to it as it is evaluated.

    Args:
        embedded: the set.
        count, show, seed: see `choose_queries`.
        match: "nearest", or "right" or "wrong": the nearest of the query's identity, or of another.

    Raises:
        UserError: when it is not known where the images are, or all are of one identity and `match` is "wrong".
    """
    query_files, gallery_files = check_can_open(embedded.query), check_can_open(embedded.gallery)
    chosen = choose_queries(rank_queries(embedded), count, show, seed)
    pairs = []
    for (kind, _), ranking in zip(chosen, find_rankings(embedded, [row for _, row in chosen], 1), strict=True):
        found = {"nearest": ranking.top[0], "right": ranking.first, "wrong": ranking.nearest_wrong}[match]
        if found is None:
            raise UserError("--match wrong: all images are of one identity; use --match right")
        first, second = ranking.query, found.index
        pairs.append(
            ChosenPair(
                (str(query_files[first]), str(gallery_files[second])),
                (printable(embedded.query.paths[first]), printable(embedded.gallery.paths[second])),
                (embedded.query.identities[first], embedded.gallery.identities[second]),
                found.right,
                kind,
            )
        )
    return pairs


def find_pairs(pairs: list[tuple[str, str]], embedded: EmbeddedSet | None = None) -> list[ChosenPair]:
    """Pairs of files; a name may also be a path of the set's list, which tells the identity.

    Raises:
        UserError: for a file that is not there.
    """
    listed: dict[str, tuple[Path | None, str]] = {}
    for points in (embedded.gallery, embedded.query) if embedded else ():
        files = points.files or [None] * len(points)
        listed |= {path: found for path, *found in zip(points.paths, files, points.identities, strict=True)}
    chosen = []
    for pair in pairs:
        both = [_look_up(name, listed) for name in pair]
        identities = tuple(identity for _, identity in both)
        right = identities[0] == identities[1] if all(identities) else None
        names = tuple(printable(name) for name in pair)
        chosen.append(ChosenPair(tuple(file for file, _ in both), names, identities, right))
    return chosen


def _look_up(name: str, listed: dict[str, tuple[Path | None, str]]) -> tuple[str, str]:
    """The file of a name, and its identity."""
    file, identity = listed.get(name, (None, ""))
    file = file or Path(name)
    if not file.is_file():
        raise UserError(f"--pair {printable(name)}: there is no such file")
    return str(file), identity
