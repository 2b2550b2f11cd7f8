"""The figures of an evaluation of embeddings as text."""

from model.embeddings_evaluation import Evaluation
from runtime.tables import align

_SHOWN = (  # a table each
    ("map", "map_market", "minp", "map@r", "r_precision"),
    ("cmc@1", "cmc@5", "cmc@10", "recall@2", "recall@4", "recall@8", "index_recall"),
    ("cmc_single_shot@1", "cmc_single_shot@5", "cmc_single_shot@10", "cmc_single_shot@20"),
    ("nmi", "ami"),
)
_OPTIONS = ("pool_sequences", "multi_query", "query_expansion", "rerank", "index")


def evaluation_text(evaluation: Evaluation) -> str:
    """What was compared, all figures, and how they are defined where that matters."""
    counts, metrics, definitions = evaluation.counts, evaluation.metrics, evaluation.definitions
    absent, camera = counts["queries_skipped_identity_absent"], counts["queries_skipped_only_same_camera"]
    lines = [
        f"{counts['queries']:,} queries against {counts['gallery']:,} gallery images, metric {definitions['metric']}",
        f"excluder {definitions['excluder']}",
    ]
    lines += [f"{name}: {definitions[name]}" for name in _OPTIONS if name in definitions]
    if "ties" in definitions:
        lines.append(f"ties: {definitions['ties']}")
    lines.append(
        f"{counts['queries_used']:,} queries used; skipped: {absent:,} whose identity is not in the gallery, "
        f"{camera:,} of whom it has only images that are left out"
    )
    for names in _SHOWN:
        there = [name for name in names if name in metrics]
        if there:
            lines += ["", align([["%", *there], ["", *(f"{100 * metrics[name]:.2f}" for name in there)]])]
    others = [name for name in metrics if name.partition("@")[0] in ("average_rank", "first_rank", "tpr", "threshold")]
    lines += ["", *(f"{name}: {metrics[name]:.6g}" for name in others)] if others else []
    if "mAP" in definitions:
        lines += ["", f"mAP is {definitions['mAP']}"]
    return "\n".join(lines)
