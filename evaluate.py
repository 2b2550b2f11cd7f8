"""Evaluates every checkpoint of a run, beside its training or after it, on all evaluation sets of its data set."""

import argparse
import sys

from dataset.errors import UserError, exit_code
from model.command_line import add_run_arguments

# What main imports, it imports late: --help needs none of it, and a mistake in the parameters needs no TensorFlow.


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Figures go to RUN/results.jsonl and TensorBoard, the best checkpoint to RUN/best. It ends when "
        "training "
        "is done, or after eval_timeout_secs without a new checkpoint.",
    )
    add_run_arguments(parser)
    parser.add_argument("--once", action="store_true", help="evaluate the latest checkpoint and end")
    parser.add_argument(
        "--breakdown",
        action="store_true",
        help="in the end, print accuracies by attribute and number of candidates too",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)

    from model.checkpoint_files import list_checkpoints, wait_for_checkpoint
    from model.run_folder import RunFolder

    run = RunFolder(args.model_dir)
    params = run.load_params(args.set)  # a mistake in params.json is answered before anything is waited for
    once = args.once or params.eval_run_once
    if once and not list_checkpoints(run.checkpoints):
        raise UserError(
            f"{run.folder}: there is no checkpoint to evaluate yet; train.py --model_dir {run.folder} writes them"
        )
    run.check_writable(run.folder / "eval")
    if not wait_for_checkpoint(run.checkpoints, params.eval_interval_secs, params.eval_timeout_secs):
        print(f"no checkpoint in {run.checkpoints} for {params.eval_timeout_secs:g} s (eval_timeout_secs): ending")
        return 0
    params = run.load_trained_params(args.set)

    from model.devices import prepare

    with run.lock("evaluate"):
        prepare(args.device, params.deterministic)
        from model.breakdown_text import breakdown_text, intervals_text
        from model.evaluator import evaluate_all, evaluate_latest, origin_of
        from model.monitoring import Log
        from model.results import table

        (evaluate_latest if once else evaluate_all)(run, params, Log())
    origin = origin_of(params)
    texts = [table(run, origin), intervals_text(run, origin), breakdown_text(run, origin) if args.breakdown else ""]
    print("".join(f"\n{text.rstrip()}\n" for text in texts if text), end="")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
