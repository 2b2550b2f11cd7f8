"""The page of `visualize.py analyze`: metrics of all queries and of each class, and which classes are confused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.evaluation.by_class.analysis import Analysis, ClassMetrics
from model.evaluation.by_class.confusion import ConfusedPair, Confusion
from model.evaluation.by_class.summary import class_cells, class_head, counts_text, overall_rows, pair_cells
from visualization.analyze.recall_chart import draw_histogram, draw_share
from visualization.kit.html_page import data_uri, render_page, to_html

MOST_CLASSES = 1000  # of the table of all: more are in the JSON alone

_STYLE = """
:root { color-scheme: light; }
body { max-width: 76rem; } .wide { overflow-x: auto; }
.figures td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures thead th { text-align: right; vertical-align: bottom; } .figures thead th.name { text-align: left; }
.figures .name { text-align: left; min-width: 9rem; max-width: 20rem; overflow-wrap: anywhere; }
.figures tbody .name { font-weight: normal; }
.figures thead button { font: inherit; background: none; border: 0; padding: 0; color: inherit; cursor: pointer;
                        text-decoration: underline dotted; text-align: inherit; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
figure { margin: 0; } figure img { display: block; } figcaption { font-size: .75rem; color: #444; max-width: 11rem;
         overflow-wrap: anywhere; }
.gone { width: 112px; height: 4rem; border: 1px dashed #777; font-size: .75rem; display: grid; place-items: center;
        text-align: center; }
svg.histogram { width: 40rem; max-width: 100%; font-size: 13px; } svg.share { display: block; }
.note { max-width: 60rem; } dt { font-weight: bold; } dd { margin: 0 0 .4rem 1.5rem; }
summary { cursor: pointer; margin: .5rem 0; }
@media print { .wide { overflow: visible; } tr { break-inside: avoid; } body { margin: 0; font-size: 11px; } }
"""

# Without it the tables are whole, in the order in which they are written.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      const value = row => row.cells[place].dataset.value ?? row.cells[place].textContent;
      const compare = (a, b) => head.className === "name" ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
      const rows = [...body.rows].sort((a, b) => (falling ? -1 : 1) * compare(value(a), value(b)));
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      body.append(...rows);
    };
  });
}
"""


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
    hardest, most = analysis.classes[:classes], analysis.pairs[:pairs]
    shares = [one.metrics["recall@1"] for one in analysis.classes]
    taken_for: dict[str, Confusion] = {}
    for one in analysis.confusions:  # the most frequent first
        taken_for.setdefault(one.query_class, one)
    body = [
        "<h2>All queries</h2>",
        _overall(analysis),
        f'<p class="note">{"<br>".join(map(to_html, counts_text(analysis.counts).splitlines()))}</p>',
        "<h2>How many classes have which recall@1</h2>",
        draw_histogram(shares),
        f"<h2>Hardest classes ({len(hardest):,} of {len(analysis.classes):,})</h2>",
        '<p class="note">The bar is recall@1; the line across it its 95% interval (Wilson): where a class has few '
        "queries, it is long, and its place in this list may be chance.</p>",
        _classes(hardest, taken_for),
        f"<h2>Most confused pairs ({len(most):,} of {len(analysis.pairs):,})</h2>",
        _pairs(most, pictures),
        f"<h2>Most frequent confusions, one direction ({min(pairs, len(analysis.confusions)):,} of "
        f"{len(analysis.confusions):,})</h2>",
        _confusions(analysis.confusions[:pairs], pictures),
        "<h2>All classes</h2>",
        _all_classes(analysis.classes, taken_for),
        "<h2>What the figures mean</h2>",
        "<dl>",
        *(f"<dt>{to_html(name)}</dt><dd>{to_html(value)}</dd>" for name, value in analysis.definitions.items()),
        "</dl>",
        f"<script>{_SCRIPT}</script>",
    ]
    return render_page(title, facts, body, _STYLE, heading=f"Recall by class: {title}")


def _overall(analysis: Analysis) -> str:
    head, *body = overall_rows(analysis)
    return _table(head, [[_name(name), *map(_number, cells)] for name, *cells in body], sortable=False)


def _classes(classes: Sequence[ClassMetrics], taken_for: dict[str, Confusion]) -> str:
    name, queries, *metrics = class_head()
    head = [name, queries, "recall@1, 0 to 100 %", "its interval %", *metrics, "most often taken for"]
    rows = []
    for one in classes:
        share = one.metrics["recall@1"]
        low, high = (100 * end for end in one.interval)
        wrong = taken_for.get(one.name)
        queries, *metrics = class_cells(one)
        rows.append(
            [
                _name(one.name, f" ({one.skipped:,} more without a match)" if one.skipped else ""),
                _number(queries, one.queries),
                f'<td data-value="{share!r}">{draw_share(share, one.interval)}</td>',
                _number(f"{low:.1f} – {high:.1f}", low),
                *(_number(cell, _plain(cell)) for cell in metrics),
                _name(f"{wrong.found_class} ({wrong.count:,})" if wrong else ""),
            ]
        )
    return _table(head, rows)


def _all_classes(classes: Sequence[ClassMetrics], taken_for: dict[str, Confusion]) -> str:
    if len(classes) > MOST_CLASSES:
        return f'<p class="note">{len(classes):,} classes: too many for a page; the JSON file has them all.</p>'
    table = _classes(classes, taken_for)
    return f"<details><summary>{len(classes):,} classes, hardest first</summary>{table}</details>"


def _pairs(pairs: Sequence[ConfusedPair], pictures: Pictures) -> str:
    if not pairs:
        return '<p class="note">No query’s nearest image is of another class.</p>'
    head = ["classes", "first for second", "second for first", "% of both classes’ queries", "nearest example"]
    rows = [
        [
            f'<th scope="row" class="name" data-value="{to_html(pair.classes[0])}">{to_html(pair.classes[0])}<br>and '
            f"{to_html(pair.classes[1])}</th>",
            *(_number(cell, _plain(cell)) for cell in pair_cells(pair)),
            *_example(pair.example, pictures),
        ]
        for pair in pairs
    ]
    return _table(head, rows, spans={4: 3})


def _confusions(confusions: Sequence[Confusion], pictures: Pictures) -> str:
    if not confusions:
        return '<p class="note">There are none.</p>'
    rows = [
        [
            _name(one.query_class),
            _name(one.found_class),
            _number(f"{one.count:,}", one.count),
            _number(f"{100 * one.share:.1f}", one.share),
            f'<td class="name">{to_html(pictures.queries[one.query])}<br>{to_html(pictures.gallery[one.image])}</td>',
            _number(f"{one.distance:.4g}", one.distance),
        ]
        for one in confusions
    ]
    head = ["class of the query", "taken for", "queries", "% of the class’s queries", "nearest example", "distance"]
    return _table(head, rows)


def _example(one: Confusion, pictures: Pictures) -> list[str]:
    """Three cells: the query, the image found, and their distance."""
    return [
        f"<td>{_figure('query', one.query_class, pictures.queries[one.query], pictures.query, one.query)}</td>",
        f"<td>{_figure('found', one.found_class, pictures.gallery[one.image], pictures.image, one.image)}</td>",
        _number(f"distance {one.distance:.4g}", one.distance),
    ]


def _figure(role: str, name: str, path: str, picture: Callable[[int], bytes | None] | None, number: int) -> str:
    caption = f"<figcaption>{role}: {to_html(name)}<br>{to_html(path)}</figcaption>"
    if picture is None:
        return f"<figure>{caption}</figure>"
    data = picture(number)
    shown = (
        '<div class="gone">cannot be opened</div>'
        if data is None
        else f'<img src="{data_uri("image/jpeg", data)}" alt="{role}">'
    )
    return f'<figure title="{to_html(path)}">{shown}{caption}</figure>'


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, sortable: bool = True, spans: dict[int, int] | None = None
) -> str:
    """Rows of finished cells below a row of headings, of which some may span several columns."""
    spans, words = spans or {}, ("", "class", "classes", "class of the query", "taken for", "most often taken for")
    cells = "".join(
        f'<th scope="col"{" class=name" if name in words or "example" in name else ""}'
        f"{f' colspan={spans[place]}' if place in spans else ''}>{to_html(name)}</th>"
        for place, name in enumerate(head)
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    kind = "figures sortable" if sortable and not spans else "figures"
    table = f'<table class="{kind}"><thead><tr>{cells}</tr></thead><tbody>\n{body}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _name(name: str, more: str = "") -> str:
    return f'<th scope="row" class="name">{to_html(name)}{to_html(more)}</th>'


def _number(cell: str, value: float | None = None) -> str:
    return f'<td class="number"{"" if value is None else f" data-value={value!r}"}>{to_html(cell)}</td>'


def _plain(cell: str) -> float:
    return float(cell.replace(",", ""))
