"""An analysis as JSON, and as text for the terminal."""

from collections.abc import Sequence
from typing import Any

from model.evaluation.by_class.analysis import RANKING_METRICS, Analysis, ClassMetrics
from model.evaluation.by_class.confusion import ConfusedPair, Confusion
from runtime.printable import printable
from runtime.tables import align

_LONGEST = 40  # characters of a name in the terminal
_RANKS = ("average_rank", "first_rank")  # all other metrics are shares
_OF_CLASSES = tuple(
    name for name in RANKING_METRICS if name not in ("map@r", "average_rank")
)  # a wider table is hard to read


def as_json(
    analysis: Analysis, title: str, facts: dict[str, str], queries: Sequence[str], gallery: Sequence[str]
) -> dict[str, Any]:
    """The JSON of docs/pictures.md: every class and every confusion, with the paths of the examples.

    Args:
        analysis: the analysis.
        title, facts: the network and data that it is about.
        queries, gallery: paths of all Q queries and G gallery images.
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
    """Tables of the mean metrics, of at most `classes` hardest classes, and of at most `pairs` most confused pairs."""
    parts = [counts_text(analysis.counts), "", align(overall_rows(analysis))]
    if hardest := analysis.classes[:classes]:
        rows = [class_head(), *([shown(one.name), *class_cells(one)] for one in hardest)]
        parts += ["", f"hardest classes, {len(hardest):,} of {len(analysis.classes):,}", align(rows)]
    if most := analysis.pairs[:pairs]:
        rows = [["confused classes", "", "first for second", "second for first", "% of both classes' queries"]]
        rows += [[shown(pair.classes[0]), shown(pair.classes[1]), *pair_cells(pair)] for pair in most]
        parts += ["", f"most confused pairs of classes, {len(most):,} of {len(analysis.pairs):,}", align(rows)]
    elif not analysis.pairs:
        parts += ["", "no confusions: every nearest image is of the query's class"]
    return "\n".join(parts)


def counts_text(counts: dict[str, int]) -> str:
    """The numbers of queries, classes and images, with skipped ones and the reason."""
    absent, camera = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    unused = counts["classes"] - counts["classes_used"]
    same = counts["queries_wrong_at_distance_0"]
    return (
        f"{counts['queries']:,} queries of {counts['classes']:,} classes against {counts['gallery']:,} gallery images\n"
        f"{counts['queries_used']:,} queries used; skipped: {absent:,} with a class that is not in the gallery, "
        f"{camera:,} with only excluded images there; {unused:,} classes without a used query\n"
        f"{counts['queries_wrong']:,} queries have an image of another class nearest"
        + (f", {same:,} of them at distance 0: one image with two classes?" if same else "")
    )


def overall_rows(analysis: Analysis) -> list[list[str]]:
    """A table of the means over queries and over classes, with a row of headings."""
    rows = {"mean over queries": analysis.metrics, "mean over classes": analysis.class_means}
    return [
        ["", *map(heading, RANKING_METRICS)],
        *([name, *_cells(metrics, RANKING_METRICS)] for name, metrics in rows.items()),
    ]


def class_head() -> list[str]:
    """The headings of a table of classes."""
    return ["class", "queries", *map(heading, _OF_CLASSES)]


def class_cells(one: ClassMetrics) -> list[str]:
    """The row of a class below these headings, without its name."""
    return [f"{one.queries:,}", *_cells(one.metrics, _OF_CLASSES)]


def heading(name: str) -> str:
    """The name of a metric, with % unless it is a rank."""
    return name if name in _RANKS else f"{name} %"


def pair_cells(pair: ConfusedPair) -> list[str]:
    """Both counts and the share in %."""
    return [*(f"{count:,}" for count in pair.counts), f"{100 * pair.share:.1f}"]


def shown(name: str) -> str:
    """A name that fits one line of the terminal."""
    name = printable(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _cells(metrics: dict[str, float], names: Sequence[str]) -> list[str]:
    """Metrics as text: shares in %, ranks unchanged."""
    return [f"{metrics[name]:,.2f}" if name in _RANKS else f"{100 * metrics[name]:.2f}" for name in names]
