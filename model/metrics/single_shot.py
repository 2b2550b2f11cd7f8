"""CMC with a single gallery shot, CUHK03's protocol: the gallery has one image per identity, drawn at random.

Evaluation scripts average over a hundred draws (Li et al., DeepReID, CVPR 2014; the CMC of Open-ReID). This module
computes the exact mean over all draws. Draws of different identities are independent. For a given match, each other
identity ranks before it with a probability equal to the share of its images that are nearer. The number of identities
before the match is the sum of these independent events (Poisson-binomial).
"""

import itertools

import numpy as np

from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.retrieval import Task

RANKS = (1, 5, 10, 20)
BLOCK_MATCHES = 512  # matches computed together: their distributions fit into the CPU cache
BYTES = 1 << 26  # for the comparisons in memory
BYTES_PER_DISTANCE = 40  # for all arrays of a block

DEFINITION = (
    "cmc@k with a single gallery shot: mean over queries of the probability that the match is among the k nearest if "
    "one image per identity is drawn at random from those not excluded; exact, over all draws"
)


def single_gallery_shot(
    distances: np.ndarray,
    identities: np.ndarray,
    query_identities: np.ndarray,
    left_out: np.ndarray | None = None,
    ranks: tuple[int, ...] = RANKS,
    ties: str = "pessimistic",
) -> np.ndarray:
    """The probability that a query's match has rank k or better: (q, len(ranks)); NaN for queries without a match.

    Args:
        distances: (q, G), finite except for excluded images.
        identities, query_identities: (G,) and (q,) integers, equal for equal identities.
        left_out: (q, G) bool, the excluded gallery images (junk, and those from the query's camera). Identities without
            other images are not drawn.
        ranks: the values of k, counted from 1.
        ties: with `optimistic`, other identities at the distance of the match rank after it, else before it.
    """
    if not distances.size:
        return np.full((len(distances), len(ranks)), np.nan)
    # Sorted by identity: then the counts per identity are sums over slices.
    order = np.argsort(identities, kind="stable")
    names, starts, lengths = np.unique(identities[order], return_index=True, return_counts=True)  # (I,)
    distances = np.where(np.isnan(distances), np.inf, distances)[:, order]  # (q, G)
    kept = np.ones_like(distances, bool) if left_out is None else ~left_out[:, order]
    own = names == query_identities[:, None]  # (q, I)
    sizes = np.add.reduceat(kept, starts, axis=1, dtype=np.int32)  # (q, I) images that may be drawn
    # 0 for identities without images to draw, and for the query's own: they cannot rank before the match.
    shares = np.where(own | (sizes == 0), 0, 1 / np.maximum(sizes, 1))  # (q, I)
    rows, columns = np.nonzero(np.repeat(own, lengths, axis=1) & kept)  # the matches, query by query (M,)
    found = np.empty((len(rows), len(ranks)))
    step = max(1, min(BLOCK_MATCHES, BYTES // (16 * len(identities))))
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        limit = distances[row, column][:, None]  # (m, 1)
        nearer = distances[row] < limit if ties == "optimistic" else distances[row] <= limit
        nearer &= kept[row]
        before = np.add.reduceat(nearer, starts, axis=1, dtype=np.int32) * shares[row]  # (m, I) probabilities
        found[start : start + step] = poisson_binomial(before, np.asarray(ranks) - 1)
    matches = np.bincount(rows, minlength=len(distances))  # (q,)
    sums = np.stack([np.bincount(rows, column, minlength=len(distances)) for column in found.T], axis=1)
    return np.where(matches[:, None] > 0, sums / np.maximum(matches, 1)[:, None], np.nan)


def poisson_binomial(probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The probability (m, len(counts)) that at most `counts` of the independent events happen.

    The events are added one by one: P(j) becomes P(j) (1 - p) + P(j - 1) p, for j up to the largest count.

    Args:
        probabilities: (m, I), the events' probabilities in each row.
        counts: integers from 0.
    """
    # Impossible events change nothing, so they are sorted to the end and skipped.
    probabilities = -np.sort(-probabilities, axis=1)
    events = int((probabilities > 0).sum(1).max(initial=0))
    states = min(int(max(counts)), events) + 1
    at = np.zeros((states, len(probabilities)))  # P(j), j = 0 .. states - 1, for each row
    at[0] = 1
    for p in np.ascontiguousarray(probabilities[:, :events].T):  # (m,)
        moved = at * p
        at -= moved
        at[1:] += moved[:-1]
    return np.minimum(np.cumsum(at, axis=0), 1)[np.minimum(counts, states - 1)].T


def single_shot_metrics(
    task: Task, distances: Distances, ties: str, memory_gb: float = 1.0
) -> tuple[dict[str, float], dict[str, str]]:
    """`cmc_single_shot@1`, `@5`, `@10`, `@20` and their definition; the module's docstring has the source.

    Ties are broken against the query unless `ties` is `optimistic`: images drawn at random have no order in a list.
    """
    lists, identities = task.lists, task.gallery_labels.identities
    own = identities[lists.columns[lists.offsets[:-1]]]  # (Q',) the identities of the queries, from their matches
    ties = "optimistic" if ties == "optimistic" else "pessimistic"
    shares = []
    step = int(np.clip(memory_gb * 1e9 / (BYTES_PER_DISTANCE * len(identities)), 1, 256))
    for start in range(0, len(own), step):
        rows = np.arange(start, min(start + step, len(own)))
        left_out = np.zeros((len(rows), len(identities)), bool)
        counts = np.diff(lists.left_out_offsets[rows[0] : rows[-1] + 2])
        columns = lists.left_out[lists.left_out_offsets[rows[0]] : lists.left_out_offsets[rows[-1] + 1]]
        left_out[np.repeat(np.arange(len(rows)), counts), columns] = True
        block = _settled(task, distances, rows)
        shares.append(single_gallery_shot(block, identities, own[rows], left_out, RANKS, ties))
    means = np.concatenate(shares).mean(0)
    metrics = {f"cmc_single_shot@{k}": float(value) for k, value in zip(RANKS, means, strict=True)}
    return metrics, {"cmc_single_shot": f"{DEFINITION}; ties {ties}"}


def _settled(task: Task, distances: Distances, rows: np.ndarray) -> np.ndarray:
    """Distances (q, G) float64 that are exact near the distances of matches, and equal for ties."""
    lists = task.lists
    block = distances.tile(rows, slice(0, distances.shape[1])).astype(np.float64)
    offsets = lists.offsets[rows[0] : rows[-1] + 2]
    columns = lists.columns[offsets[0] : offsets[-1]]
    owners = np.repeat(rows, np.diff(offsets))
    matches = distances.pairs(owners, columns)
    slack, same = distances.slack(owners, matches), distances.same(matches)
    parts = [slice(*ends) for ends in itertools.pairwise((offsets - offsets[0]).tolist())]  # of each query
    near = []
    for values, part in zip(block, parts, strict=True):
        unsure = np.zeros(len(values), bool)
        unsure[columns[part]] = True
        for match, around in zip(matches[part], slack[part], strict=True):
            unsure |= np.abs(values - match) <= around
        near.append(np.flatnonzero(unsure))
    lengths = [len(each) for each in near]
    exact = np.split(distances.pairs(np.repeat(rows, lengths), np.concatenate(near)), np.cumsum(lengths)[:-1])
    for values, where, found, part in zip(block, near, exact, parts, strict=True):
        values[where] = found
        for match, around in sorted(zip(matches[part], same[part], strict=True), reverse=True):
            values[where[np.abs(values[where] - match) <= around]] = match
    return block
