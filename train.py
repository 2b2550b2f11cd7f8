"""Trains the network that a run folder's params.json describes. Run it again to go on after a stop."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from model.run.arguments import add_run_arguments
from runtime.errors import UserError, exit_code

if TYPE_CHECKING:
    from model.run.run_folder import RunFolder

# What main imports, it imports late: --help needs none of it, and a mistake in the parameters needs no TensorFlow.


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Beside it: evaluate.py --model_dir RUN, and tensorboard --logdir RUN. "
        "All parameters: python -m model.configuration.reference",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--params", metavar="FILE", help="start a new run: copy FILE to RUN/params.json first (such as params.json)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)

    from dataset.loading.training_set import load_training_set
    from model.evaluation.best import best_metric
    from model.evaluation.sets import load_evaluation_sets
    from model.run.checkpoint_files import find_weights, list_checkpoints
    from model.run.done import stopped_early, write_done
    from model.run.run_folder import RunFolder
    from model.training.curriculum import late_beginnings

    run = RunFolder(args.model_dir)
    if args.params:
        start_run(run, Path(args.params))
    params = run.load_params(args.set)
    data = load_training_set(params)
    watched = None
    asked = [name for name in ("plateau_evaluations", "early_stopping_evaluations") if getattr(params, name)]
    if data.prepared.evaluation_sets:  # the evaluator's mistakes too, before hours are spent
        sets = load_evaluation_sets(data.prepared, params)
        watched = best_metric(params.best_metric, {each.name: each.metrics for each in sets})
    elif asked:
        raise UserError(f"{asked[0]} needs figures, but {data.prepared.folder} has no evaluation set; set it to null")
    run.check_writable(run.checkpoints, run.train_events)
    listed = list_checkpoints(run.checkpoints)
    if params.warm_start_from and not listed:
        find_weights(params.warm_start_from)
    for old in (run.results, run.best_json):
        if not listed and old.exists():
            raise UserError(f"{old} has results of checkpoints that are gone; take a new --model_dir, or remove it")
    total = params.total_steps(data.sampler.steps_per_epoch)

    with run.lock("train"):
        listed = list_checkpoints(run.checkpoints)
        early = stopped_early(run, params, listed[-1][0]) if listed else None
        if early:
            print(
                f"nothing to do: {early}; to go on, give another early_stopping_evaluations (null: never), "
                "least_improvement or best_metric"
            )
            for change in run.changes(params):
                print(f"not used, as nothing is trained: {change}")
            return 0
        if listed and listed[-1][0] >= total and run.resolved_json.exists():
            write_done(run, listed[-1][0])
            print(f"nothing to do: {listed[-1][1]} is at step {listed[-1][0]} of {total}")
            for change in run.changes(params):
                print(f"not used, as nothing is trained: {change}")
            return 0
        finished = run.done.read_text() if run.done.exists() else None
        if finished and run.ended_white():
            raise UserError(
                f"{run.folder}: its training has ended with a whitening in the place of the layers that were learned, "
                f"and cannot go on; take a new --model_dir with warm_start_from {str(run.folder)!r}"
            )
        run.done.unlink(missing_ok=True)  # before anything slow: an evaluator started now must not end on it

        from model.run.devices import prepare

        devices = prepare(args.device, params.deterministic)
        from model.training.checkpoints import NonFiniteError
        from model.training.loop import train
        from model.training.supervisor import Watched
        from runtime.log import Log

        log = Log(run.train_log)
        log.line(f"run: {run.folder}, devices: {', '.join(devices)}, {total:,} steps")
        log.line(data.summary())
        for name in ("decay_start_step", "warmup_steps"):  # a short trial of a long recipe is no mistake
            if getattr(params, name) >= total > 1:
                log.line(f"note: {name} is {getattr(params, name)}, but training ends at step {total}")
        for note in late_beginnings(params, total) if total > 1 else ():
            log.line(f"note: {note}")
        for change in run.changes(params):
            log.line(f"changed since the last start: {change}")
        try:
            train(run, params, data, log, Watched(*watched) if watched else None)
        except NonFiniteError as error:
            log.line(f"failed: {error}", printed=False)
            print(f"error: {error}", file=sys.stderr)
            return 3
        except UserError as error:
            log.line(f"failed: {error}", printed=False)
            if finished is not None and list_checkpoints(run.checkpoints) == listed:
                run.done.write_text(finished)  # nothing was trained: the run is as finished as it was
            raise
    return 0


def start_run(run: "RunFolder", source: Path) -> None:
    """Copies a params.json into a new run folder; one that is there already must be the same."""
    from model.configuration.loading import load_params

    load_params(source)
    if run.params_json.exists():
        if run.params_json.read_bytes() != source.read_bytes():
            raise UserError(
                f"{run.params_json} exists and differs from {source}; leave out --params, or take a new run"
            )
        return
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, run.params_json)
    except OSError as error:
        raise UserError(f"cannot write into the run folder {run.folder}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(exit_code(main))
