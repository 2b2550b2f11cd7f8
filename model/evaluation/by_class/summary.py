"""An analysis as JSON and as text for the terminal."""

from collections.abc import Sequence
from typing import Any

from model.evaluation.by_class.analysis import RANKING_METRICS, Analysis, ClassMetrics
from model.evaluation.by_class.confusion import ConfusedPair, Confusion
from runtime.tables import align

_LONGEST = 40  # letters of a name in the terminal
_RANKS = ("average_rank", "first_rank")  # the others are shares
_OF_CLASSES = tuple(
    name for name in RANKING_METRICS if name not in ("map@r", "average_rank")
)  # a wider table nobody reads


def as_json(
    analysis: Analysis, title: str, facts: dict[str, str], queries: Sequence[str], gallery: Sequence[str]
) -> dict[str, Any]:
    """The keys of docs/pictures.md: every class and every confusion, with the paths of the examples.

    Args:
        analysis: what came out.
        title, facts: what it is of.
        queries, gallery: the paths of all Q queries and G gallery images.
    """

    def example(one: Confusion) -> dict[str, Any]:
        return {"query": str(queries[one.query]), "image": str(gallery[one.image]), "distance": one.distance}

    return {
        "title": title,
        "facts": facts,
        "metrics": analysis.metrics,
        "class_means": analysis.class_means,
        "definitions": analysis.definitions,
        "counts": analysis.counts,
        "classes": [
            {"class": one.name, "queries": one.queries, "queries_skipped": one.skipped}
            | one.metrics
            | {"recall@1_interval": list(one.interval)}
            for one in analysis.classes
        ],
        "confusions": [
            {"query_class": one.query_class, "found_class": one.found_class, "count": one.count, "share": one.share}
            | {"example": example(one)}
            for one in analysis.confusions
        ],
        "confused_pairs": [
            {"classes": list(pair.classes), "counts": list(pair.counts), "count": pair.count, "share": pair.share}
            | {"example": example(pair.example)}
            for pair in analysis.pairs
        ],
    }


def as_text(analysis: Analysis, classes: int, pairs: int) -> str:
    """The figures of all, of the hardest classes, and the most confused pairs: at most so many of either."""
    parts = [counts_text(analysis.counts), "", align(overall_rows(analysis))]
    if hardest := analysis.classes[:classes]:
        rows = [class_head(), *([shown(one.name), *class_cells(one)] for one in hardest)]
        parts += ["", f"hardest classes, {len(hardest):,} of {len(analysis.classes):,}", align(rows)]
    if most := analysis.pairs[:pairs]:
        rows = [["taken for each other", "", "first for second", "second for first", "% of both classes' queries"]]
        rows += [[shown(pair.classes[0]), shown(pair.classes[1]), *pair_cells(pair)] for pair in most]
        parts += ["", f"most confused pairs of classes, {len(most):,} of {len(analysis.pairs):,}", align(rows)]
    elif not analysis.pairs:
        parts += ["", "no query's nearest image is of another class"]
    return "\n".join(parts)


def counts_text(counts: dict[str, int]) -> str:
    """What was compared, and what was skipped and why."""
    absent, camera = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    left_out = counts["classes"] - counts["classes_used"]
    same = counts["queries_wrong_at_distance_0"]
    return (
        f"{counts['queries']:,} queries of {counts['classes']:,} classes against {counts['gallery']:,} gallery images\n"
        f"{counts['queries_used']:,} queries used; skipped: {absent:,} whose class is not in the gallery, "
        f"{camera:,} of which it has only images that are left out; {left_out:,} classes without a query that is used\n"
        f"{counts['queries_wrong']:,} queries have an image of another class nearest"
        + (f", {same:,} of them one at distance 0: one image under two classes?" if same else "")
    )


def overall_rows(analysis: Analysis) -> list[list[str]]:
    """A table: means over queries and over classes, after a row of headings."""
    rows = {"mean over queries": analysis.metrics, "mean over classes": analysis.class_means}
    return [
        ["", *map(heading, RANKING_METRICS)],
        *([name, *_cells(figures, RANKING_METRICS)] for name, figures in rows.items()),
    ]


def class_head() -> list[str]:
    """The headings of a table of classes."""
    return ["class", "queries", *map(heading, _OF_CLASSES)]


def class_cells(one: ClassMetrics) -> list[str]:
    """A class's row below these headings, without its name."""
    return [f"{one.queries:,}", *_cells(one.metrics, _OF_CLASSES)]


def heading(name: str) -> str:
    """The name of a figure with its unit, where that is no rank."""
    return name if name in _RANKS else f"{name} %"


def pair_cells(pair: ConfusedPair) -> list[str]:
    """Both counts and the share in %."""
    return [*(f"{count:,}" for count in pair.counts), f"{100 * pair.share:.1f}"]


def shown(name: str) -> str:
    """A name for one line of the terminal."""
    name = "".join(letter if letter.isprintable() else "�" for letter in name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _cells(figures: dict[str, float], names: Sequence[str]) -> list[str]:
    """Figures as text: shares in %, ranks as they are."""
    return [f"{figures[name]:,.2f}" if name in _RANKS else f"{100 * figures[name]:.2f}" for name in names]
