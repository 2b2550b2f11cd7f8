"""Pictures of a retrieval set for TensorBoard: rankings, distances, and the projector's files."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dataset.formats.manifest import read_manifest
from dataset.formats.prepared import PreparedDataset
from model.configuration.params import Params
from model.evaluation.sets import ReadySet, load_kinds
from model.metrics.excluders import default_excluder
from model.run.run_folder import RunFolder
from runtime.printable import printable
from visualization.distances import histogram_figure
from visualization.kit.card_page import draw_cards
from visualization.rankings.query_cards import FilePictures, lay_out_rankings
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import EmbeddedSet, Lists, assemble_set
from visualization.tensorboard.projector import Projector

TOP, SIDE = 8, 88  # images in a ranking, and their pixels; small: TensorBoard keeps a picture per checkpoint
QUERIES = 8  # about a third each worst, best and random
PROJECTED = 1000  # images in the projector
MOST_PAIRS = 2 * 10**7  # pairs of queries and gallery images used


class EvaluationPictures:
    """Draws the pictures of one set for each checkpoint."""

    def __init__(self, prepared: PreparedDataset, ready: ReadySet, params: Params, run: RunFolder) -> None:
        """Args:
        prepared: the data set.
        ready: its retrieval set; the `PICTURES` of its kind are drawn.
        params: parameters of the run.
        run: its folder, for the headings and the projector's files.

        Raises:
            UserError: for a broken list.
        """
        used, parts = set(ready.files), []
        for csv in ready.found.files:
            manifest = read_manifest(csv, prepared.image_root)
            # As evaluated: without the skipped images.
            parts.append(manifest.select(np.array([file in used for file in manifest.files()])))
        excluder = default_excluder(parts[0], parts[-1])
        self._lists = Lists(parts[0], parts[-1], excluder, params.eval_pool_sequences)
        self._params, self._title, self._run = params, f"{prepared.name}, {ready.name}", run.folder
        self._shown = load_kinds()[ready.found.kind].PICTURES
        self._projector = None
        if "projector" in self._shown:
            self._projector = Projector(run.eval_events(ready.name), PROJECTED, params.seed)

    def draw(self, embeddings: np.ndarray, step: int, *, newest: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        """Yields names and pictures (H, W, 3) uint8, and writes the projector's files for the newest checkpoint.

        Args:
            embeddings: (N, D) of the files, in their order.
            step: the checkpoint's.
            newest: whether it is the newest one so far.
        """
        embedded = assemble_set(
            self._lists,
            embeddings,
            self._params.metric,
            title=printable(self._title),
            facts={"run": printable(self._run.name), "step": f"{step:,}"},
        )
        looked_at = self._drawn(embedded)
        if "rankings" in self._shown:
            yield "rankings", self._rankings(looked_at)
        if self._projector and newest:
            self._projector.write(embedded.query, embedded.gallery, f"step {step}")
        if "distances" in self._shown:
            yield "distances", histogram_figure.picture_distances(looked_at)

    def _drawn(self, embedded: EmbeddedSet) -> EmbeddedSet:
        """The set with the queries used, the same for every checkpoint. The title says so if they are not all."""
        queries = len(embedded.task.queries)
        most = max(1, MOST_PAIRS // max(1, len(embedded.task.gallery)))
        if queries <= most:
            return embedded
        rows = np.sort(np.random.default_rng(self._params.seed).permutation(queries)[:most])
        title = f"{embedded.title}: {most:,} queries, drawn from {queries:,}"
        return replace(embedded.with_queries(rows), title=title)

    def _rankings(self, embedded: EmbeddedSet) -> np.ndarray:
        chosen = choose_queries(rank_queries(embedded), QUERIES, "mixed", self._params.seed)
        rankings = find_rankings(embedded, [row for _, row in chosen], TOP)
        page = lay_out_rankings(
            embedded,
            [(kind, ranking) for (kind, _), ranking in zip(chosen, rankings, strict=True)],
            FilePictures(embedded, 2 * SIDE),
            title=f"Rankings: {embedded.title}",
        )
        return np.asarray(draw_cards(page, SIDE))
