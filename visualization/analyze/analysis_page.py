"""The page of `visualize.py analyze`: metrics of all queries and of each class, and which classes are confused."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from model.evaluation.by_class.analysis import Analysis
from model.evaluation.by_class.summary import class_cells, class_head, counts_text, overall_rows, pair_cells
from visualization.kit.colours import INK, PALETTE
from visualization.kit.html_page import render_page

MOST_CLASSES = 1000  # of the table of all: more are in the JSON alone


@dataclass(frozen=True)
class Pictures:
    """The images of the examples.

    Attributes:
        queries, gallery: the paths of all Q queries and G gallery images.
        query, image: from such a number to a small JPEG, None where the image cannot be opened; None where it is not
            known where the images are.
    """

    queries: Sequence[str]
    gallery: Sequence[str]
    query: Callable[[int], bytes | None] | None = None
    image: Callable[[int], bytes | None] | None = None


def render_analysis(
    analysis: Analysis, title: str, facts: dict[str, str], pictures: Pictures, classes: int, pairs: int
) -> str:
    """The page as HTML that needs no network, and no script but to sort the tables.

    Args:
        title, facts: what it is of, the facts by name.
        pictures: of the examples.
        classes: most hardest classes shown.
        pairs: most pairs shown, and most confusions in one direction.
    """
    return render_page(
        "analyze/analysis.html.jinja",
        title=title,
        facts=facts,
        analysis=analysis,
        classes=classes,
        pairs=pairs,
        pictures=pictures,
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


def count_tenths(shares: Iterable[float]) -> list[int]:
    """How many shares lie in each tenth of 0 to 1; the last has the 1."""
    counts = [0] * 10
    for share in shares:
        # 0.3 is a tenth's beginning, though as a share of three in ten it is a hair less than 3 * 0.1.
        counts[min(int(share * 10 + 1e-9), 9)] += 1
    return counts
