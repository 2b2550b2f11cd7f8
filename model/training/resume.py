"""Where a training starts: a checkpoint of its run, other weights, or nothing."""

from dataset.loading.training_set import TrainingSet
from model.configuration.params import Params
from model.run.results import forget_results_after, write_results_csv
from model.run.run_folder import RunFolder
from model.training.checkpoints import TrainingCheckpoints
from model.training.learner import Learner
from model.training.warm_start import warm_start
from model.training.whitening import check_whitening, whiten
from runtime.log import Log


def resume_or_begin(
    run: RunFolder, params: Params, data: TrainingSet, learner: Learner, log: Log, *, fresh: bool
) -> tuple[TrainingCheckpoints, int]:
    """Restores the newest checkpoint of the run; if it is `fresh`, loads the weights to begin with and saves step 0.

    Returns:
        The run's checkpoints, and the number of steps that are done.

    Raises:
        UserError: when the checkpoint is of another architecture, weights do not fit, or an image is broken.
    """
    model = learner.embedder
    checkpoints = TrainingCheckpoints(
        run.checkpoints, model, learner.objective, learner.optimizer, params.keep_checkpoints
    )
    start = checkpoints.restore()
    if not fresh:
        log.line(f"resumed from {checkpoints.latest}")
    elif params.warm_start_from == "imagenet":  # loaded when the network was built
        log.line(f"warm start: {len(model.get_layer('backbone').weights)} variables (backbone) from ImageNet")
    elif params.warm_start_from:
        log.line(warm_start(model, params.warm_start_from))
    if params.whitening != "none":
        check_whitening(learner.network, params)
    if fresh and params.whitening in ("start", "both"):
        log.line(whiten(learner.network, params, data.images))
    run.write_resolved(params)  # only now: a run that cannot go on keeps its record
    if forgotten := forget_results_after(run, start):
        log.line(f"{forgotten} results of later steps dropped from {run.results}: these steps are repeated")
    if params.csv_log and run.results.exists():
        write_results_csv(run)
    if fresh:
        checkpoints.save(0)  # so that the untrained network is evaluated too
    return checkpoints, start
