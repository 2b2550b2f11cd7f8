"""Metrics of a ranking, one module each: a formula of the ranks of a query's matches, and its mean over queries.

A module here defines

    DEFINITIONS                             name -> what it means, as it stands beside the results
    BEST_BY                                 those of which more is better, by which the best checkpoint may be chosen
    COLUMNS                                 those that the table of a run shows, in %
    per_query(ranks) -> {metric: (Q,)}      of Q queries with at least one match each; see `match_ranks.Ranks`
"""

from types import ModuleType

import numpy as np

from model.metrics.ranking.match_ranks import Ranks
from runtime import plugins

_FIRST = ("cmc", "average_precision", "minp", "map_at_r", "r_precision", "match_rank")


def load_metrics() -> list[ModuleType]:
    """All modules of this package, the usual ones first."""
    return [plugins.load(__name__, name) for name in plugins.choices(__name__, _FIRST)]


def compute_per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    """All metrics of Q queries, each with at least one match: name -> (Q,); their means are the metrics of the set."""
    return {name: values for module in load_metrics() for name, values in module.per_query(ranks).items()}


def collect_definitions() -> dict[str, str]:
    """What all of them mean."""
    return {name: text for module in load_metrics() for name, text in module.DEFINITIONS.items()}
