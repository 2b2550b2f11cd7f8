"""Computes the maps of pairs by a run's network. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from runtime.errors import UserError
from visualization.attention.maps import AttentionMaps, mean_embedding
from visualization.attention.pair_figure import ExplainedPair
from visualization.attention.pairs import ChosenPair
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.network import check_finite, load_network


def explain(
    pairs: list[ChosenPair],
    orientations: np.ndarray,
    checkpoint: Path,
    params: Params,
    metric: str,
    embedded: EmbeddedSet | None,
) -> list[ExplainedPair]:
    """Runs the network and computes the maps, a few pairs at a time.

    Args:
        pairs: N pairs.
        orientations: (2 N,) EXIF orientations of their files.
        checkpoint, params: of the network.
        metric: a module of `model.distances`.
        embedded: the set whose mean is the centre; None for 0.

    Raises:
        UserError: for a checkpoint of another architecture, or one whose embeddings are not finite.
    """
    params = params.model_copy(update={"precision": "float32"})  # gradients vanish in half precision
    model = load_network(checkpoint, params)
    centre = None if embedded is None else mean_embedding(embedded.gallery.emb, metric)
    if centre is not None and len(centre) != model.output_shape[-1]:
        raise UserError(f"{checkpoint}: it gives {model.output_shape[-1]} dimensions, the file has {len(centre)}")
    compute = AttentionMaps(model, metric, centre)
    files = [file for pair in pairs for file in pair.files]
    explained: list[ExplainedPair] = []
    for batch in embedding_batches(files, orientations, params, 16):
        images = batch.numpy().reshape(-1, 2, *batch.shape[1:])  # (n, 2, H, W, C)
        maps, similarity, emb = compute(images)
        check_finite(checkpoint, emb)
        distances = EmbeddingDistances(emb[:, 0], emb[:, 1], metric)
        rows = np.arange(len(images))
        apart = np.asarray(distances.in_units(distances.pairs(rows, rows)))
        for pair, *values in zip(pairs[len(explained) :], images, maps, apart, similarity, strict=False):
            explained.append(ExplainedPair(pair, *values))
    return explained
