"""CMC with a single gallery shot over all queries, a block at a time."""

import numpy as np

from model.metrics.gallery_distances import Distances
from model.metrics.retrieval import Task
from model.metrics.single_shot import DEFINITION, single_gallery_shot

RANKS = (1, 5, 10, 20)
BYTES_PER_DISTANCE = 40  # of a block's arrays together


def single_shot_figures(
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
