"""Evaluation of files of embeddings within `--memory_gb`: what must be in memory, and what is left for blocks.

The numbers of bytes are upper estimates, from measurements with 2 cores.
"""

import numpy as np

from dataset.formats.manifest import Manifest
from model.evaluation.request import Request
from model.metrics.ranking.retrieval import Task
from runtime.errors import UserError
from runtime.parallel import cores

FIXED = 2**24  # code that is loaded late, and what the allocator keeps
PER_CORE = 2**24 + 2**22  # pairs that a thread compares, and its smallest block of queries
PER_IMAGE, PER_LETTER = 200, 9  # the lists, while they are read and compared with the file; letters of paths
PER_MATCH, PER_EXCLUDED = 80, 40
PER_PAIR = 40  # of the nearest pairs of different identities, from which the operating point follows
RERANKED = 7000  # neighbours and encodings of an image
ROWS = 1024  # of the gallery, that must fit


def block_memory(request: Request, task: Task, lists: list[Manifest], dimensions: int) -> float:
    """What is left for blocks of distances and parts of the gallery, in 10^9 bytes.

    Args:
        request: with `memory_gb`; None: 1 GB, in addition to everything else.
        task: the matches.
        lists: of the queries and, if there is one, of the gallery, as they were read.
        dimensions: D.

    Raises:
        UserError: if nothing is left; names the least value that is enough.
    """
    if request.memory_gb is None:
        return 1.0
    queries, gallery = len(task.queries), len(task.gallery)
    most = FIXED + cores() * PER_CORE
    most += sum(PER_IMAGE + PER_LETTER * len(path) for each in lists for path in each.paths)
    most += PER_MATCH * len(task.lists.columns) + PER_EXCLUDED * len(task.lists.left_out)
    why = ""
    if request.index:
        most += 16 * gallery
    else:
        accepted = request.fpr * queries * gallery
        most += PER_PAIR * int(2 * accepted + 2**16)
        why = "; a smaller --fpr needs less" if PER_PAIR * 2 * accepted > most / 2 else ""
    if request.query_expansion:
        most += len(lists[0]) * (28 * dimensions + 100 * request.query_expansion[0])
    if request.single_gallery_shot:
        most += 64 * gallery
    if request.rerank:
        count = len(lists[0]) + (gallery if len(lists) > 1 else 0)
        most += count * (24 * dimensions + 32 * request.rerank[0] + RERANKED)
        why = "; --rerank needs all embeddings in memory"
    if request.clusters:
        most += gallery * 28 * dimensions
        why = "; --clusters needs all embeddings in memory"
    least = most + 28 * ROWS * dimensions
    if request.memory_gb * 1e9 < least:
        value = np.ceil(least / 1e7) / 100
        raise UserError(f"--memory_gb {request.memory_gb:g} is too small: give at least {value:g}{why}")
    return request.memory_gb - most / 1e9
