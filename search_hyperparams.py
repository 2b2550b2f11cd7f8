"""Searches hyperparameters: trains and evaluates one run per combination of values, and compares them in a table."""

import argparse
import sys
from pathlib import Path
from typing import Any

from model.run.devices import split_device
from model.searching.plan import METHODS, TRIALS, check_trials, make_plan, record_plan
from model.searching.scheduler import Scheduler
from model.searching.table import DEVIATION, format_text, make_rows, write_tables
from runtime.arguments import Parser, number
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.locks import only_one
from runtime.log import Log
from runtime.printable import print_line, print_lines


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="Each run is a normal run folder inside DIR. table.csv, table.md and search.html compare the runs. "
        "To resume a search, repeat the command. See docs/hyperparameters.md.",
    )
    add = parser.add_argument
    add("--parent_dir", required=True, type=Path, metavar="DIR", help="folder of the search")
    add("--params", type=Path, metavar="FILE", help="parameters that all trials share (default: DIR/params.json)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="values to try: choices a,b,c (written as for train.py --set), or a range low:high or log:low:high; may "
        "be repeated",
    )
    add(
        "--method",
        choices=METHODS,
        help="default: grid if all --set are choices and --trials is not given, else random",
    )
    count = number(int, 1)
    add("--trials", type=count, metavar="N", help=f"combinations that random or optuna tries (default: {TRIALS})")
    add("--seeds", type=count, default=1, metavar="N", help="runs per combination, for mean and deviation (default: 1)")
    add("--parallel", type=count, metavar="N", help="runs at the same time (default: one per device)")
    add("--devices", default="auto", metavar="LIST", help="devices that the runs share, such as gpu:0,gpu:1")
    add("--prune", action="store_true", help="stop runs that are below the median of the other trials at the same step")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    devices = args.devices.split(",")
    for device in devices:
        split_device(device, "--devices")
    parallel = args.parallel or len(devices)
    plan = make_plan(args.parent_dir, args.params, args.set, args.method, args.trials, args.seeds, parallel)
    proposals = plan.propose()
    watched = check_trials(plan, proposals)
    from visualization.searching.search_page import write_page  # loads Matplotlib: only after all checks
    from visualization.tensorboard.hparams_events import write_hparams

    plan.parent.mkdir(parents=True, exist_ok=True)
    with only_one(
        plan.parent / ".search.lock", f"{plan.parent}: another search_hyperparams.py is using it; wait for its end"
    ):
        record_plan(plan)
        scheduler = Scheduler(plan, proposals, watched, devices, prune=args.prune, log=Log())
        runs = proposals.count * plan.seeds
        print_line(f"{counted(proposals.count, 'trial')}, {counted(runs, 'run')}, compared by {watched}")

        def write() -> list[dict[str, Any]]:
            rows = make_rows(scheduler.trials, scheduler.failures, plan.searched, str(watched))
            write_tables(plan.parent, rows)
            write_page(plan, rows, str(watched))
            return rows

        try:
            scheduler.run(write)
        finally:
            rows = write() if scheduler.trials else []
        print_lines(format_text(rows, ["trial", *plan.searched, "status", "step", str(watched), DEVIATION]))
        print_line(f"wrote {plan.parent / 'table.csv'}, table.md and search.html")
        if rows[0]["status"].startswith("failed"):
            raise UserError(f"every trial failed; the first one: {rows[0]['status'].removeprefix('failed: ')}")
        write_hparams(plan.parent)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
