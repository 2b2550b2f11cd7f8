"""Ranking metrics for each class, and which classes are confused.

A class is the identity of a query. Ranks and metrics are those of the evaluation (metrics/ranking/match_ranks.py); the
nearest image of another class of each query is added. Needs no TensorFlow.
"""

from dataclasses import dataclass

import numpy as np

from model.evaluation.by_class.confusion import (
    ConfusedPair,
    Confusion,
    NearestWrong,
    confused_pairs,
    find_confusions,
)
from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.match_ranks import TIES, rank_matches
from model.metrics.ranking.per_query import collect_definitions, compute_per_query
from model.metrics.ranking.per_query.cmc import RECALL_RANKS
from model.metrics.ranking.retrieval import BYTES_PER_QUERY, MAX_BLOCK, QUERIES, Task
from runtime.parallel import cores

TIE_RULE = "pessimistic"  # as in the evaluator
RANKING_METRICS = (*(f"recall@{k}" for k in RECALL_RANKS), "map", "map@r", "average_rank", "first_rank")
Z = 1.959963984540054  # standard deviations that contain 95% of a normal distribution


@dataclass(frozen=True)
class ClassMetrics:
    """One class as queries.

    Attributes:
        name: the identity.
        queries: number of its queries with a match; the metrics are over these.
        skipped: number of its queries without a match.
        metrics: name of RANKING_METRICS -> mean over its queries.
        interval: (low, high) of Recall@1: 95%, Wilson.
    """

    name: str
    queries: int
    skipped: int
    metrics: dict[str, float]
    interval: tuple[float, float]


@dataclass(frozen=True)
class Analysis:
    """The result.

    Attributes:
        metrics: name of RANKING_METRICS -> mean over queries, as in evaluate.py.
        class_means: the same as mean over classes: each class has the same weight.
        definitions: the meaning of every key.
        counts: those of the task, and `classes`, `classes_used`, `queries_wrong`, `queries_wrong_at_distance_0`,
            `confusions`, `confused_pairs`.
        classes: all classes that have a query with a match, the hardest first.
        confusions: all confusions, the most frequent first.
        pairs: the same with both directions joined.
    """

    metrics: dict[str, float]
    class_means: dict[str, float]
    definitions: dict[str, str]
    counts: dict[str, int]
    classes: list[ClassMetrics]
    confusions: list[Confusion]
    pairs: list[ConfusedPair]


def analyze(
    task: Task,
    distances: Distances,
    query_identities: np.ndarray,
    gallery_identities: np.ndarray,
    metric: str,
    memory_gb: float = 1.0,
) -> Analysis:
    """The analysis of a task, from the distances of its (Q') queries to its (G') gallery images.

    Args:
        task: queries and gallery, from `make_task`.
        distances: the source of the distances.
        query_identities, gallery_identities: (Q,) and (G,), for all images, including those that are not in the task.
        metric: the distance in words, for the definitions.
        memory_gb: limit in 10^9 bytes for blocks of distances (at least one query).
    """
    wrong = NearestWrong(distances)
    # Twice the memory of the ranking alone, because of the candidates of `wrong`.
    batch_size = int(np.clip(memory_gb * 1e9 / (2 * BYTES_PER_QUERY * cores()), 1, MAX_BLOCK))
    ranks = rank_matches(distances, task.lists, TIE_RULE, batch_size=batch_size, see=wrong.see)
    per_query = compute_per_query(ranks)
    per_query = {name: per_query[name] for name in RANKING_METRICS}

    identities = np.array([str(name) for name in query_identities], object)
    names, codes = np.unique(identities, return_inverse=True)  # (C,), (Q,)
    classes, class_means = _by_class(names, codes, task.queries, per_query)
    failed = np.flatnonzero(ranks.first > 1)
    sizes = {one.name: one.queries for one in classes}
    confusions = find_confusions(task, wrong, failed, query_identities, gallery_identities, sizes)
    pairs = confused_pairs(confusions, sizes)
    counts = task.counts | {
        "classes": len(names),
        "classes_used": len(classes),
        "queries_wrong": len(failed),
        "queries_wrong_at_distance_0": int((wrong.distances[failed] == 0).sum()),
        "confusions": len(confusions),
        "confused_pairs": len(pairs),
    }
    metrics = {name: float(values.mean()) for name, values in per_query.items()}
    return Analysis(metrics, class_means, definitions(task, metric), counts, classes, confusions, pairs)


def definitions(task: Task, metric: str) -> dict[str, str]:
    """The meaning of each key, with excluder, metric and ties."""
    meanings = collect_definitions()
    return {
        "recall": meanings["cmc"].replace("cmc", "recall"),
        **{name: meanings[name] for name in ("map", "map@r", "average_rank", "first_rank")},
        "class": "the identity of a query; classes without a query that has a match count nowhere",
        "class_means": "mean over classes of the mean over the class's queries",
        "recall@1_interval": "95%, Wilson's score interval of the share of the class's queries, assuming that they are "
        "independent",
        "hardest": "classes by ascending recall@1, then map, then name",
        "confusion": "a query's class and the class of its nearest image, where they differ; at equal distances the "
        "image that is listed first; the example is the nearest such pair",
        "share": "share of the class's queries with a match; for a pair, of the queries of both classes",
        "queries": QUERIES,
        "ties": f"{TIE_RULE}: {TIES[TIE_RULE]}",
        "excluder": task.rules,
        "metric": metric,
    }


def wilson_interval(successes: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% score interval of a share: (n,) successes of (n,) trials, at least 1, -> (n,) low and (n,) high.

    Unlike share +- 1.96 standard errors it has a width even if all or none succeed.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
    """
    share = successes / trials
    middle = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * np.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    # At the ends the formula gives 0 and 1 up to rounding.
    return np.where(successes == 0, 0.0, middle - half), np.where(successes == trials, 1.0, middle + half)


def _by_class(
    names: np.ndarray, codes: np.ndarray, used: np.ndarray, per_query: dict[str, np.ndarray]
) -> tuple[list[ClassMetrics], dict[str, float]]:
    """The metrics of each class, hardest first, and their means.

    Args:
        names, codes: (C,) classes, and (Q,) the class of each query.
        used: (Q',) the queries with a match.
        per_query: name -> (Q',).
    """
    everything = np.bincount(codes, minlength=len(names))
    queries = np.bincount(codes[used], minlength=len(names))
    there = np.flatnonzero(queries)
    sums = {k: np.bincount(codes[used], values, len(names))[there] for k, values in per_query.items()}
    means = {name: values / queries[there] for name, values in sums.items()}  # (C',) each
    low, high = wilson_interval(sums["recall@1"], queries[there])
    # `names` is sorted, so the last key is the index itself.
    order = np.lexsort((np.arange(len(there)), means["map"].round(12), means["recall@1"]))
    classes = [
        ClassMetrics(
            name=str(names[there[i]]),
            queries=int(queries[there[i]]),
            skipped=int(everything[there[i]] - queries[there[i]]),
            metrics={name: float(values[i]) for name, values in means.items()},
            interval=(float(low[i]), float(high[i])),
        )
        for i in order
    ]
    return classes, {name: float(values.mean()) for name, values in means.items()}
