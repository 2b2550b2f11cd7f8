"""Evaluates the checkpoints of a run, alongside its training or later; or embedding files written by embed.py."""

import argparse
import json
import sys

from dataset.formats.prepared import open_prepared
from model.evaluation import report
from model.evaluation.request import add_embedding_arguments, given_flags, request_of
from model.evaluation.sets import find_evaluation_sets
from model.run.arguments import add_run_arguments
from model.run.checkpoint_files import list_checkpoints, wait_for_checkpoint
from model.run.devices import prepare
from model.run.heartbeat import Heartbeat
from model.run.results import origin_of
from model.run.run_folder import RunFolder
from runtime.arguments import Parser
from runtime.errors import UserError, exit_code
from runtime.files import check_output, replace_file
from runtime.log import Log
from runtime.printable import print_line, print_lines


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="A run: metrics go to RUN/results.jsonl and TensorBoard, the best checkpoint to RUN/best. The command "
        "ends when training is done, or after eval_timeout_secs without a new checkpoint. Embeddings: metrics are "
        "printed; --filename also writes them as JSON.",
    )
    run = parser.add_argument_group("a run")
    add_run_arguments(run, required=False)
    run.add_argument("--once", action="store_true", help="evaluate only the latest checkpoint, then end")
    run.add_argument(
        "--breakdown",
        action="store_true",
        help="at the end, also print accuracies by attribute and by number of candidates",
    )
    add_embedding_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    if args.model_dir is None:
        return evaluate_embeddings(args)
    if flags := given_flags(args):
        raise UserError(f"{flags[0]} is for embeddings, --model_dir is for a run; give only one of them")
    return evaluate_run(args)


def evaluate_run(args: argparse.Namespace) -> int:
    """Evaluates checkpoints, and prints the table of all results."""
    run = RunFolder(args.model_dir)
    params = run.load_params(args.set)  # an invalid params.json is an error before any waiting
    once = args.once or params.eval_run_once
    if once and not list_checkpoints(run.checkpoints):
        raise UserError(
            f"{run.folder}: there is no checkpoint to evaluate yet; first run train.py --model_dir {run.folder}"
        )
    run.check_writable(run.folder / "eval")
    if not wait_for_checkpoint(run.checkpoints, params.eval_interval_secs, params.eval_timeout_secs):
        print_line(f"no checkpoint in {run.checkpoints} for {params.eval_timeout_secs:g} s (eval_timeout_secs): ending")
        return 0
    params = run.load_trained_params(args.set)
    find_evaluation_sets(open_prepared(params.dataset).folder)  # raises for a missing data set or an incomplete set
    with run.share("evaluate"):
        prepare(args.device, params.deterministic)
        from model.evaluation import evaluator

        make_pictures = None
        if params.eval_pictures:
            from visualization.tensorboard.evaluation_pictures import EvaluationPictures

            make_pictures = EvaluationPictures

        evaluate = evaluator.evaluate_latest if once else evaluator.evaluate_all
        log = Log()
        with Heartbeat(run, "evaluate", log) as beat:
            evaluate(run, params, log, make_pictures, beat)
    origin = origin_of(params)
    texts = [report.table(run, origin), report.intervals_text(run, origin)]
    if args.breakdown:
        texts.append(report.breakdown_text(run, origin))
    for text in filter(None, texts):
        print_lines(f"\n{text.rstrip()}")
    return 0


def evaluate_embeddings(args: argparse.Namespace) -> int:
    """Evaluates embeddings, queries against a gallery or all against all; prints the metrics, writes them as JSON."""
    request = request_of(args)  # checked before any file is read
    if request.filename:
        check_output(request.filename, "--filename", "evaluation.json", request.files)
    from model.evaluation import embedding_files  # loads SciPy: only after all checks

    result = embedding_files.evaluate_files(request)
    for note in result.notes:
        print_line(f"note: {note}", error=True)
    print_lines(embedding_files.evaluation_text(result))
    if request.filename:
        with replace_file(request.filename) as file:
            json.dump(result.as_json(), file)
        print_line(f"wrote {request.filename}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
