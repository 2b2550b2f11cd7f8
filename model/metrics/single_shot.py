"""CMC with a single gallery shot, CUHK03's protocol: of each identity the gallery holds one image, drawn at random.

Where evaluation scripts draw a hundred times and average (Li et al., DeepReID, CVPR 2014; the CMC of Open-ReID), this
is the mean over all draws, exactly. Draws of different identities are independent: given the match that is drawn, the
number of identities before it is a sum of independent events (Poisson-binomial), one for each other identity, with the
share of its images that are nearer as its probability.
"""

import numpy as np

from runtime.errors import UserError

TIES = ("pessimistic", "optimistic")
BLOCK_MATCHES = 512  # matches whose distributions are found together: these stay in the processor's cache
BYTES = 1 << 26  # of the comparisons that are held at a time

DEFINITION = (
    "cmc@k with a single gallery shot: the probability, mean over queries, that the match is among the k first when "
    "one image of each identity is drawn evenly from those not left out; exact, over all draws"
)


def single_gallery_shot(
    distances: np.ndarray,
    identities: np.ndarray,
    query_identities: np.ndarray,
    left_out: np.ndarray | None = None,
    ranks: tuple[int, ...] = (1, 5, 10, 20),
    ties: str = "pessimistic",
) -> np.ndarray:
    """The probability that a query's match has rank k or better, (q, len(ranks)); NaN without a match.

    Args:
        distances: (q, G), finite where not left out.
        identities, query_identities: (G,) and (q,) integers, the same number for the same identity.
        left_out: (q, G) bool, gallery images that this query leaves out (its own camera's, junk); an identity of which
            nothing is left is not drawn.
        ranks: the k, counted from 1.
        ties: `pessimistic`, other identities at the distance of the match rank before it, or `optimistic`, after it.

    Raises:
        UserError: for another word for ties, a rank below 1.
        ValueError: for shapes that do not fit.
    """
    if ties not in TIES:
        raise UserError(f"ties {ties!r}: it must be one of {', '.join(TIES)}")
    if not ranks or min(ranks) < 1:
        raise UserError(f"ranks {ranks}: they are counted from 1")
    shape = len(query_identities), len(identities)
    if distances.shape != shape or (left_out is not None and left_out.shape != shape):
        raise ValueError(f"distances {distances.shape} of {shape[0]} queries and {shape[1]} gallery images")
    result = np.full((len(distances), len(ranks)), np.nan)
    if not distances.size:
        return result

    # The images of an identity side by side, for their counts to be differences of running sums.
    order = np.argsort(identities, kind="stable")
    names, starts = np.unique(identities[order], return_index=True)  # (I,)
    step = max(1, BYTES // (16 * len(identities)))
    for start in range(0, len(distances), step):
        part = slice(start, start + step)
        block = np.where(np.isnan(distances[part]), np.inf, distances[part])[:, order]  # (q, G)
        kept = np.ones_like(block, bool) if left_out is None else ~left_out[part][:, order]
        own = names[None] == query_identities[part, None]  # (q, I)
        result[part] = _block(block, kept, own, starts, np.asarray(ranks), ties)
    return result


def _block(
    distances: np.ndarray, kept: np.ndarray, own: np.ndarray, starts: np.ndarray, ranks: np.ndarray, ties: str
) -> np.ndarray:
    """The probabilities (q, ranks) of some queries; gallery images come identity by identity, from `starts` on."""
    lengths = np.diff(starts, append=distances.shape[1])
    sizes = np.add.reduceat(kept, starts, axis=1, dtype=np.int32)  # (q, I) images that may be drawn
    rows, columns = np.nonzero(np.repeat(own, lengths, axis=1) & kept)  # the matches, query by query (M,)
    found = np.empty((len(rows), len(ranks)))
    # Where nothing is left, or the identity is the query's, there is nothing to come before the match.
    shares = np.where(own | (sizes == 0), 0, 1 / np.maximum(sizes, 1))  # (q, I)
    step = max(1, min(BLOCK_MATCHES, BYTES // (16 * distances.shape[1])))
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        limit = distances[row, column][:, None]  # (m, 1)
        nearer = distances[row] <= limit if ties == "pessimistic" else distances[row] < limit
        nearer &= kept[row]
        before = np.add.reduceat(nearer, starts, axis=1, dtype=np.int32) * shares[row]  # (m, I) probabilities
        found[start : start + step] = poisson_binomial(before, ranks - 1)
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
