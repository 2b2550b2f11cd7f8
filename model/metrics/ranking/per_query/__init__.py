"""Metrics of a ranking, one module each: a formula of the ranks of a query's matches, averaged over queries.

A module defines

    DEFINITIONS                             name -> its definition, which is written with the results
    BEST_BY                                 metrics that may choose the best checkpoint: higher is better
    COLUMNS                                 metrics in the evaluator's table, in %
    per_query(ranks) -> {metric: (Q,)}      for Q queries with at least one match each; see `match_ranks.Ranks`

    >>> from model.metrics.ranking.per_query import collect_definitions
    >>> collect_definitions()["cmc"]
    'cmc@k: share of queries with a match among the k nearest gallery images'
"""

from types import ModuleType

import numpy as np

from model.metrics.ranking.match_ranks import Ranks
from runtime import plugins

_FIRST = ("cmc", "average_precision", "minp", "map_at_r", "r_precision", "match_rank")


def load_metrics() -> list[ModuleType]:
    """All modules of this package, the most common metrics first."""
    return [plugins.load(__name__, name) for name in plugins.choices(__name__, _FIRST)]


def compute_per_query(ranks: Ranks) -> dict[str, np.ndarray]:
    """All metrics of Q queries with at least one match each: name -> (Q,). Their means are the metrics of the set."""
    return {name: values for module in load_metrics() for name, values in module.per_query(ranks).items()}


def collect_definitions() -> dict[str, str]:
    """The definitions of all metrics."""
    return {name: text for module in load_metrics() for name, text in module.DEFINITIONS.items()}
