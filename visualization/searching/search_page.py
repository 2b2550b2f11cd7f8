"""search.html: the trials of a search as lines through parallel axes, and as a sortable table."""

from typing import Any

from model.searching.plan import Plan
from model.searching.table import DEVIATION
from runtime.files import replace_file
from visualization.kit.html_page import render_page
from visualization.searching.coordinates import colour_rows, is_numeric, make_axes


def write_page(plan: Plan, rows: list[dict[str, Any]], metric: str) -> None:
    """Writes the page into the folder of the search.

    Args:
        plan: the search.
        rows: rows of its table, the best first.
        metric: the column that ranks them, `<set>/<metric>`.
    """
    states: dict[str, int] = {}
    for row in rows:
        state = row["status"].partition(":")[0]
        states[state] = states.get(state, 0) + 1
    facts = {
        "parameters": str(plan.source),
        "searched": "; ".join(plan.sets) or "seeds alone",
        "method": plan.method + (f", {plan.seeds} seeds each" if plan.seeds > 1 else ""),
        "trials": ", ".join(f"{count} {state}" for state, count in states.items()),
    }
    best = rows[0]
    if best[metric] != "":
        deviation = f" ± {best[DEVIATION]:.2g}" if best[DEVIATION] != "" else ""
        values = ", ".join(f"{key} {best[key]}" for key in plan.searched)
        facts["best"] = f"trial {best['trial']}: {metric} {best[metric]:.4g}{deviation}" + f" with {values}" * bool(
            values
        )
    page = render_page(
        "searching/search.html.jinja",
        title=f"Search in {plan.parent}",
        intro=f"Trials of a hyperparameter search, ranked by {metric}. Look which values the best lines share, and "
        "whether the best are at the end of a range: then search farther there.",
        facts=facts,
        rows=rows,
        axes=make_axes(plan.space, rows, metric),
        colours=colour_rows(rows, metric),
        metric=metric,
        searched=plan.searched,
        words=["status", *(each.key for each in plan.space if not is_numeric(each))],
        deviation=DEVIATION,
    )
    with replace_file(plan.parent / "search.html") as file:
        file.write(page)
