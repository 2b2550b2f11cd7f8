"""The start of a training: from a checkpoint of its run, from other weights, or from scratch."""

from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.run.results import forget_results_after, write_results_csv
from model.run.run_folder import RunFolder
from model.run.training_list import write_training_list
from model.training.checkpoints import TrainingCheckpoints
from model.training.learner import Learner
from model.training.warm_start import warm_start
from model.training.whitening import check_whitening, whiten
from runtime.log import Log


def resume_or_begin(
    run: RunFolder, params: Params, data: TrainingSet, learner: Learner, log: Log, *, fresh: bool
) -> tuple[TrainingCheckpoints, int]:
    """Restores the newest checkpoint. A `fresh` run loads its initial weights instead and saves them as step 0.

    With several workers, the chief does so, and the others get its values.

    Returns:
        The checkpoints of the run, and the number of steps done.

    Raises:
        UserError: when the checkpoint has another architecture, weights do not fit, or an image is broken.
    """
    cluster = learner.cluster
    checkpoints = TrainingCheckpoints(
        run.checkpoints,
        learner.embedder,
        learner.objective,
        learner.optimizer,
        params.keep_checkpoints,
        learner.average,
        writer=cluster.chief,
    )
    if cluster.chief:
        _load(run, params, data, learner, checkpoints, log, fresh=fresh)
    elif params.whitening != "none":
        check_whitening(learner.network, params)
    cluster.share_values(checkpoints.variables)
    return checkpoints, checkpoints.step


def _load(
    run: RunFolder,
    params: Params,
    data: TrainingSet,
    learner: Learner,
    checkpoints: TrainingCheckpoints,
    log: Log,
    *,
    fresh: bool,
) -> None:
    """Loads the state that training begins with, and brings the files of the run to it."""
    model, start = learner.embedder, checkpoints.restore()
    if not fresh:
        log.line(f"resumed from {checkpoints.latest}")
    elif params.warm_start_from == "imagenet":  # loaded with the network
        log.line(f"warm start: {len(model.get_layer('backbone').weights)} variables (backbone) from ImageNet")
    elif params.warm_start_from:
        log.line(warm_start(model, params.warm_start_from))
    if params.whitening != "none":
        check_whitening(learner.network, params)
    if fresh and params.whitening in ("start", "both"):
        log.line(whiten(learner.network, params, data.images))
    if fresh and learner.average:
        learner.average.begin()
    write_training_list(run, data.images.manifest)
    run.write_resolved(params)  # only now: a run that cannot resume keeps its old record
    if forgotten := forget_results_after(run, start):
        log.line(f"dropped {forgotten} results of steps after {start} from {run.results}: these steps are repeated")
    if params.csv_log and run.results.exists():
        write_results_csv(run)
    if fresh:
        checkpoints.save(0)  # the evaluator evaluates the untrained network, too
