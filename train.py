"""Trains the network described by the params.json of a run folder. To resume a stopped training, repeat the command."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.loading.training_set import load_training_set
from model.configuration.loading import load_params
from model.configuration.params import Params
from model.evaluation.best import best_metric
from model.evaluation.sets import find_evaluation_sets, load_evaluation_sets
from model.run.arguments import add_run_arguments
from model.run.devices import prepare
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder
from model.run.status import status_text
from model.training.rendezvous import meet
from model.training.start import (
    check_shares,
    check_start,
    description,
    notes,
    nothing_to_do,
    reopened,
    start_run,
    tidy_run,
    workers_of,
)
from model.training.supervisor import Watched
from runtime.arguments import Parser
from runtime.errors import UserError, exit_code
from runtime.log import Log
from runtime.printable import print_line, print_lines
from runtime.workers import Workers


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="To run alongside: evaluate.py --model_dir RUN, and tensorboard --logdir RUN. All parameters: "
        "python -m model.configuration.reference. Exit codes: 0 if done or stopped, 2 for invalid input, 3 if the loss "
        "became NaN or infinite, 4 if another worker has ended.",
    )
    add_run_arguments(parser, required=False)
    parser.add_argument(
        "--worker", type=int, metavar="I", help="number of this process among the --workers, from 0; 0 writes the run"
    )
    parser.add_argument(
        "--workers", metavar="HOST:PORT,...", help="train on several hosts: the addresses of all, equal on each"
    )
    parser.add_argument(
        "--params", metavar="FILE", help="start a new run: copy FILE, such as params.json, to RUN/params.json first"
    )
    parser.add_argument("--status", metavar="RUN", help="print what the processes of a run do, then end")
    args = parser.parse_args(argv)
    if args.model_dir is None and args.status is None:
        parser.error("the following arguments are required: --model_dir")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    if args.status is not None:
        print_lines(status_text(Path(args.status)))
        return 0
    run = RunFolder(args.model_dir)
    params = load_params(Path(args.params), args.set) if args.params else run.load_params(args.set)
    workers = workers_of(params, args.worker, args.workers)
    if workers and not workers.chief:
        return work(args.device, run, params, workers)
    if args.params:
        start_run(run, Path(args.params))
    prepared = open_prepared(params.dataset)
    found = find_evaluation_sets(prepared.folder)  # an incomplete set is an error before any image is opened
    data = load_training_set(params)
    watched = watched_metric(params, prepared) if found else None
    check_shares(params, data.sampler.batch_size, workers.of if workers else 1, "workers")
    check_start(run, params, data, watched)
    total = params.total_steps(data.sampler.steps_per_epoch)

    with run.lock("train"):
        mended = tidy_run(run)
        if reasons := nothing_to_do(run, params, total):
            print_lines("\n".join([*mended, *reasons]))
            if workers:
                meet(workers, {}, print_line, ended=reasons)
            return 0
        with reopened(run):
            devices = prepare(args.device, params.deterministic)
            from model.training.cluster import Cluster  # these load TensorFlow: only after all checks
            from model.training.loop import train

            log = Log(run.train_log)
            log.line(f"run: {run.folder}, devices: {', '.join(devices)}, {total:,} steps")
            for note in (*mended, *notes(run, params, data, total)):
                log.line(note)
            with logged(log), Heartbeat(run, "train", log) as beat:
                members = meet(workers, description(params, data, devices), log.line) if workers else []
                beat.set(workers=members[1:])
                train(run, params, data, log, Cluster(params, workers, members), beat=beat, watched=watched)
    return 0


def work(device: str, run: RunFolder, params: Params, workers: Workers) -> int:
    """Trains as a worker other than the chief: writes nothing but its log."""
    data = load_training_set(params)
    check_shares(params, data.sampler.batch_size, workers.of, "workers")
    run.check_writable()
    log = Log(run.worker_log(workers.number))
    devices = prepare(device, params.deterministic)
    from model.training.cluster import Cluster  # these load TensorFlow: only after all checks
    from model.training.loop import train

    log.line(f"{workers.name(workers.number)} of {workers.of}, devices: {', '.join(devices)}")
    with logged(log):
        if members := meet(workers, description(params, data, devices), log.line):
            train(run, params, data, log, Cluster(params, workers, members))
    return 0


@contextlib.contextmanager
def logged(log: Log) -> Iterator[None]:
    """Writes the error that ends the block into the log."""
    try:
        yield
    except UserError as error:
        with contextlib.suppress(UserError):  # on a full disk, too
            log.line(f"failed: {error}", printed=False)
        raise


def watched_metric(params: Params, prepared: PreparedDataset) -> Watched:
    """The metric by which the evaluator will choose the best checkpoint.

    This reads the evaluation sets: what the evaluator would refuse is an error before the training starts.
    """
    sets = load_evaluation_sets(prepared, params)
    return Watched(*best_metric(params.best_metric, {each.name: each.metrics for each in sets}))


if __name__ == "__main__":
    sys.exit(exit_code(main))
