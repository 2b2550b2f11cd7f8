"""CMC with a single gallery shot over all queries, a block at a time."""

import numpy as np

from model.metrics.gallery_distances import Distances
from model.metrics.retrieval import Task
from model.metrics.single_shot import DEFINITION, single_gallery_shot

RANKS = (1, 5, 10, 20)
BLOCK_BYTES = 2**26  # of a block's distances


def single_shot_figures(task: Task, distances: Distances, ties: str) -> tuple[dict[str, float], dict[str, str]]:
    """`cmc_single_shot@1`, `@5`, `@10`, `@20` and their definition; source: see `model.metrics.single_shot`.

    Distances are compared in the precision of their tiles. Ties are broken against the query unless `ties` is
    `optimistic`: among images that are drawn at random there is no order of the list.
    """
    lists, identities = task.lists, task.gallery_labels.identities
    own = identities[lists.columns[lists.offsets[:-1]]]  # (Q',) the queries' identities are those of their matches
    ties = "optimistic" if ties == "optimistic" else "pessimistic"
    shares = []
    step = max(1, BLOCK_BYTES // (4 * len(identities)))
    for start in range(0, len(own), step):
        rows = np.arange(start, min(start + step, len(own)))
        left_out = np.zeros((len(rows), len(identities)), bool)
        counts = np.diff(lists.left_out_offsets[rows[0] : rows[-1] + 2])
        columns = lists.left_out[lists.left_out_offsets[rows[0]] : lists.left_out_offsets[rows[-1] + 1]]
        left_out[np.repeat(np.arange(len(rows)), counts), columns] = True
        tile = distances.tile(rows, slice(0, len(identities)))
        shares.append(single_gallery_shot(tile, identities, own[rows], left_out, RANKS, ties))
    means = np.concatenate(shares).mean(0)
    metrics = {f"cmc_single_shot@{k}": float(value) for k, value in zip(RANKS, means, strict=True)}
    return metrics, {"cmc_single_shot": f"{DEFINITION}; ties {ties}"}
