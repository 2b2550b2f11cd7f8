"""Trains the network described by the params.json of a run folder. To resume a stopped training, repeat the command."""

import argparse
import contextlib
import sys
from pathlib import Path

from dataset.formats.prepared import PreparedDataset, open_prepared
from dataset.loading.training_set import load_training_set
from model.configuration.params import Params
from model.evaluation.best import best_metric
from model.evaluation.sets import find_evaluation_sets, load_evaluation_sets
from model.run.arguments import add_run_arguments
from model.run.devices import prepare
from model.run.heartbeat import Heartbeat
from model.run.run_folder import RunFolder
from model.run.status import status_text
from model.training.start import check_start, notes, nothing_to_do, reopened, start_run, tidy_run
from model.training.supervisor import Watched
from runtime.arguments import Parser
from runtime.errors import UserError, exit_code
from runtime.log import Log
from runtime.printable import print_lines


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="To run alongside: evaluate.py --model_dir RUN, and tensorboard --logdir RUN. All parameters: "
        "python -m model.configuration.reference. Exit codes: 0 if done or stopped, 2 for invalid input, 3 if the loss "
        "became NaN or infinite.",
    )
    add_run_arguments(parser, required=False)
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
    if args.params:
        start_run(run, Path(args.params))
    params = run.load_params(args.set)
    prepared = open_prepared(params.dataset)
    found = find_evaluation_sets(prepared.folder)  # an incomplete set is an error before any image is opened
    data = load_training_set(params)
    watched = watched_metric(params, prepared) if found else None
    check_start(run, params, data, watched)
    total = params.total_steps(data.sampler.steps_per_epoch)

    with run.lock("train"):
        mended = tidy_run(run)
        if reasons := nothing_to_do(run, params, total):
            print_lines("\n".join([*mended, *reasons]))
            return 0
        with reopened(run):
            devices = prepare(args.device, params.deterministic)
            from model.training.loop import train  # loads TensorFlow: only after all checks

            log = Log(run.train_log)
            log.line(f"run: {run.folder}, devices: {', '.join(devices)}, {total:,} steps")
            for note in (*mended, *notes(run, params, data, total)):
                log.line(note)
            try:
                with Heartbeat(run, "train", log) as beat:
                    train(run, params, data, log, beat, watched)
            except UserError as error:
                with contextlib.suppress(UserError):  # on a full disk, too
                    log.line(f"failed: {error}", printed=False)
                raise
    return 0


def watched_metric(params: Params, prepared: PreparedDataset) -> Watched:
    """The metric by which the evaluator will choose the best checkpoint.

    This reads the evaluation sets: what the evaluator would refuse is an error before the training starts.
    """
    sets = load_evaluation_sets(prepared, params)
    return Watched(*best_metric(params.best_metric, {each.name: each.metrics for each in sets}))


if __name__ == "__main__":
    sys.exit(exit_code(main))
