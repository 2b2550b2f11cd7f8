"""The page of `visualize.py analyze`: metrics of all queries and of each class, and which classes are confused."""

from collections.abc import Iterable
from pathlib import Path

from model.evaluation.by_class.analysis import Analysis
from model.evaluation.by_class.summary import class_cells, class_head, counts_text, overall_rows, pair_cells
from visualization.kit.colours import INK, PALETTE
from visualization.kit.html_page import render_page
from visualization.kit.thumbnails import as_jpeg, open_small
from visualization.sources.embedded_set import EmbeddedSet

MOST_CLASSES = 1000  # of the table of all: more are in the JSON alone
_SIDE = 112  # pixels of the longer side of an example


def render_analysis(analysis: Analysis, embedded: EmbeddedSet, classes: int, pairs: int) -> tuple[str, list[Path]]:
    """The page as HTML that needs no network, and no script but to sort the tables; and images that cannot be opened.

    Args:
        analysis: of the set.
        embedded: the set.
        classes: most hardest classes shown.
        pairs: most pairs shown, and most confusions in one direction.
    """
    missing: set[Path] = set()

    def thumbnail(file: Path) -> bytes | None:
        picture = open_small(file, _SIDE)
        if picture is None:
            missing.add(file)
            return None
        return as_jpeg(picture)

    page = render_page(
        "analyze/analysis.html.jinja",
        title=embedded.title,
        facts=embedded.facts,
        analysis=analysis,
        query=embedded.query,
        gallery=embedded.gallery,
        thumbnail=thumbnail,
        classes=classes,
        pairs=pairs,
        overall=overall_rows(analysis),
        counted=counts_text(analysis.counts).splitlines(),
        tenths=count_tenths(one.metrics["recall@1"] for one in analysis.classes),
        class_head=class_head(),
        class_cells=class_cells,
        pair_cells=pair_cells,
        taken_for={one.query_class: one for one in reversed(analysis.confusions)},  # the most frequent comes last
        most_classes=MOST_CLASSES,
        bar=PALETTE[1],  # sky blue, and a line that stands out from it
        line=INK,
    )
    return page, sorted(missing)


def count_tenths(shares: Iterable[float]) -> list[int]:
    """How many shares lie in each tenth of 0 to 1; the last has the 1."""
    counts = [0] * 10
    for share in shares:
        counts[min(int(share * 10), 9)] += 1  # 0.3 begins a tenth, though it is a hair less than 3 * 0.1
    return counts
