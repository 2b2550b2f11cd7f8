"""CMC with a single gallery shot, CUHK03's protocol: of each identity the gallery holds one image, drawn at random.

Where evaluation scripts draw a hundred times and average (Li et al., DeepReID, CVPR 2014; the CMC of Open-ReID), this
is the mean over all draws, exactly. Draws of different identities are independent: given the match that is drawn, the
number of identities before it is a sum of independent events (Poisson-binomial), one for each other identity, with the
share of its images that are nearer as its probability.
"""

import numpy as np

from model.metrics.ranking.gallery_distances import Distances
from model.metrics.ranking.retrieval import Task

RANKS = (1, 5, 10, 20)
BLOCK_MATCHES = 512  # matches whose distributions are found together: these stay in the processor's cache
BYTES = 1 << 26  # of the comparisons that are held at a time
BYTES_PER_DISTANCE = 40  # of a block's arrays together

DEFINITION = (
    "cmc@k with a single gallery shot: the probability, mean over queries, that the match is among the k first when "
    "one image of each identity is drawn evenly from those not left out; exact, over all draws"
)


def single_gallery_shot(
    distances: np.ndarray,
    identities: np.ndarray,
    query_identities: np.ndarray,
    left_out: np.ndarray | None = None,
    ranks: tuple[int, ...] = RANKS,
    ties: str = "pessimistic",
) -> np.ndarray:
    """The probability that a query's match has rank k or better, (q, len(ranks)); NaN without a match.

    Args:
        distances: (q, G), finite where not left out.
        identities, query_identities: (G,) and (q,) integers, the same number for the same identity.
        left_out: (q, G) bool, gallery images that this query leaves out (its own camera's, junk); an identity of which
            nothing is left is not drawn.
        ranks: the k, counted from 1.
        ties: `optimistic`, other identities at the distance of the match rank after it, else before it.
    """
    if not distances.size:
        return np.full((len(distances), len(ranks)), np.nan)
    # The images of an identity side by side, for their counts to be differences of running sums.
    order = np.argsort(identities, kind="stable")
    names, starts, lengths = np.unique(identities[order], return_index=True, return_counts=True)  # (I,)
    distances = np.where(np.isnan(distances), np.inf, distances)[:, order]  # (q, G)
    kept = np.ones_like(distances, bool) if left_out is None else ~left_out[:, order]
    own = names == query_identities[:, None]  # (q, I)
    sizes = np.add.reduceat(kept, starts, axis=1, dtype=np.int32)  # (q, I) images that may be drawn
    # Where nothing is left, or the identity is the query's, there is nothing to come before the match.
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
    """The probability (m, len(counts)) that at most so many of independent events happen.

    The events are taken in one after the other: P(j) becomes P(j) (1 - p) + P(j - 1) p, for j up to the largest count.

    Args:
        probabilities: (m, I) of the events of each row.
        counts: integers from 0.
    """
    # Events that cannot happen change nothing; the others first, most of each row are then never looked at.
    probabilities = -np.sort(-probabilities, axis=1)
    events = int((probabilities > 0).sum(1).max(initial=0))
    states = min(int(max(counts)), events) + 1
    at = np.zeros((states, len(probabilities)))  # P(j), j = 0 .. states - 1, of each row
    at[0] = 1
    for p in np.ascontiguousarray(probabilities[:, :events].T):  # (m,)
        moved = at * p
        at -= moved
        at[1:] += moved[:-1]
    return np.minimum(np.cumsum(at, axis=0), 1)[np.minimum(counts, states - 1)].T


def single_shot_metrics(
    task: Task, distances: Distances, ties: str, memory_gb: float = 1.0
) -> tuple[dict[str, float], dict[str, str]]:
    """`cmc_single_shot@1`, `@5`, `@10`, `@20` and their definition; source: see `model.metrics.single_shot`.

    Ties are broken against the query unless `ties` is `optimistic`: among images that are drawn at random there is no
    order of the list.
    """
    lists, identities = task.lists, task.gallery_labels.identities
    own = identities[lists.columns[lists.offsets[:-1]]]  # (Q',) the queries' identities are those of their matches
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
    """Distances (q, G) float64 that are exact wherever they are near those of a match, and equal where they tie."""
    lists = task.lists
    block = distances.tile(rows, slice(0, distances.shape[1])).astype(np.float64)
    for values, row in zip(block, rows, strict=True):
        columns = lists.columns[lists.offsets[row] : lists.offsets[row + 1]]
        matches = np.sort(distances.pairs(np.full(len(columns), row), columns))
        slack = distances.slack(np.full(len(columns), row), matches)
        near = np.zeros(len(values), bool)
        near[columns] = True
        for match, around in zip(matches, slack, strict=True):
            near |= np.abs(values - match) <= around
        near = np.flatnonzero(near)
        values[near] = distances.pairs(np.full(len(near), row), near)
        same = distances.same(matches)
        for match, around in zip(matches[::-1], same[::-1], strict=True):
            values[near[np.abs(values[near] - match) <= around]] = match
    return block
