"""Time and memory of forward + backward of every strategy, compared with libraries that define the same losses.

    python -m benchmarks.losses                                           # benchmarks/losses_benchmark.md and .png
    python -m benchmarks.losses --sizes 72 256 --rounds 3 --out runs      # a quick look

Needs benchmarks/requirements.txt; peers that are not installed are skipped.
"""

import argparse
import contextlib
import importlib.util
import itertools
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.loss_peers import IMAGES, SETTING, TINY, Contender, build, contenders
from benchmarks.processes import NotRunError, Worker, machine, proc_bytes
from runtime import plugins
from runtime.files import replace_file
from runtime.versions import find_versions

REPETITION = 0.02  # shortest time of a repetition, in seconds
START = 180.0  # longest time of a process to import and to trace, in seconds
TOLERANCE = 1e-5  # for losses with equal definitions

Results = dict[int, dict[str, dict[str, Any]]]  # batch size -> contender -> a result of `measure`


def measure(found: list[Contender], size: int, args: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], float]:
    """The results at one batch size: contender -> `loss`, `gradient`, `peak` and `times`, or a `note` why it has none.

    The second value is the share of the cores that other processes took meanwhile.
    """
    results: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}

    @contextlib.contextmanager
    def noted(name: str) -> Iterator[None]:
        """Turns a failure into a note, and ends the contender's process."""
        try:
            yield
        except NotRunError as reason:
            results[name] = {"note": str(reason)}
            if name in workers:
                workers.pop(name).close()

    try:
        limit = min(args.memory_limit * 1e9, 0.8 * (proc_bytes("/proc/meminfo", "MemAvailable") or math.inf))
        for before, contender in zip([None, *found], [*found, None], strict=True):  # two start at a time, not all
            if contender is not None:
                with noted(contender.name):
                    if contender.bytes(size) > limit:
                        raise NotRunError(f"not run: needs about {contender.bytes(size) / 1e9:,.0f} GB")
                    workers[contender.name] = Worker(
                        build, (args.strategies, contender.name, size, args.threads), limit
                    )
            if before is not None and before.name in workers:
                with noted(before.name):
                    workers[before.name].ask(None, START)
        # From here on one at a time: they do not compete for cores or memory.
        calls = {}
        for name in list(workers):
            with noted(name):
                first = workers[name].ask(("first",), args.time_limit)
                loss, gradient = first.pop("result")
                results[name] = first | {"loss": loss, "gradient": gradient, "times": []}
                calls[name] = math.ceil(REPETITION / workers[name].ask(("time", 2), 4 * args.time_limit))
        ticks = cpu_ticks(list(workers.values()))
        for number in range(args.rounds):
            order = list(workers)
            for name in order if number % 2 == 0 else reversed(order):  # the predecessor changes
                with noted(name):
                    seconds = workers[name].ask(("time", calls[name]), 2 * (calls[name] + 1) * args.time_limit)
                    results[name]["times"].append(seconds)
        every, busy, own = (now - then for now, then in zip(cpu_ticks(list(workers.values())), ticks, strict=True))
        return results, max(0.0, busy - own) / every if every else math.nan
    finally:
        for worker in workers.values():
            worker.close()


def cpu_ticks(workers: list[Worker]) -> tuple[int, int, int]:
    """Ticks of all cores: passed, in use, and used by the workers; all 0 if the system has no such counters."""
    try:
        user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
        own = [Path(f"/proc/{w.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13] for w in workers]
    except (OSError, ValueError):
        return 0, 0, 0
    busy = user + nice + system + sum(rest)
    return busy + idle + waiting, busy, sum(int(ticks) for both in own for ticks in both)


def compare(found: list[Contender], results: Results) -> dict[tuple[str, int], tuple[float, float]]:
    """(peer, batch size) -> |loss - ours|, and |gradient - ours| / |ours|, of losses with equal definitions."""
    differences = {}
    for size, at_size in results.items():
        for peer in (c for c in found if c.same and not c.ours):
            ours, theirs = at_size[peer.against], at_size[peer.name]
            if "loss" in ours and "loss" in theirs:
                gradient = np.linalg.norm(theirs["gradient"] - ours["gradient"]) / np.linalg.norm(ours["gradient"])
                differences[peer.name, size] = (abs(theirs["loss"] - ours["loss"]), float(gradient))
    return differences


def time_cell(result: dict[str, Any], ours: dict[str, Any]) -> str:
    seconds = statistics.median(result["times"])
    ratios = [a / b for a, b in zip(result["times"], ours.get("times", ()), strict=False)]  # by round
    return _digits(seconds * 1e3, "ms", statistics.median(ratios) if ratios and result is not ours else None)


def memory_cell(result: dict[str, Any], ours: dict[str, Any]) -> str:
    if result["peak"] is None:
        return "unknown"
    ratio = result["peak"] / ours["peak"] if ours.get("peak") and result is not ours else None
    return _digits(result["peak"] / 1e6, "MB", ratio)


def _digits(value: float, unit: str, ratio: float | None) -> str:
    """A value with three digits, and a ratio with two: "12.3 ms (4.1×)"."""
    text = f"{value:,.{max(0, 2 - math.floor(math.log10(max(value, 0.1))))}f} {unit}"
    return text if ratio is None else f"{text} ({ratio:.{max(0, 1 - math.floor(math.log10(max(ratio, 0.1))))}f}×)"


def table(found: list[Contender], results: Results, cell: Callable[[dict, dict], str]) -> str:
    """A Markdown table: contenders by batch sizes."""
    lines = [
        "| | compared with |" + "".join(f" B = {size:,} |" for size in results),
        "|---|---|" + "--:|" * len(results),
    ]
    for c in found:
        pairs = [(at_size[c.name], at_size[c.against]) for at_size in results.values()]
        cells = " | ".join(result.get("note") or cell(result, ours) for result, ours in pairs)
        peer = "" if c.ours else f"`{c.against}`" if c.same else f"`{c.against}`, which is similar"
        lines.append(f"| {f'`{c.name}`' if c.ours else c.name} | {peer} | {cells} |")
    return "\n".join(lines)


def page(found: list[Contender], results: Results, remarks: str) -> str:
    """The Markdown page, without its picture."""
    differences = compare(found, results)
    far = sum(not loss <= TOLERANCE for loss, _ in differences.values())
    agreement = ["| |" + "".join(f" B = {size:,} |" for size in results), "|---|" + "--:|" * len(results)]
    for c in (c for c in found if c.same and not c.ours):
        cells = (differences.get((c.name, size)) for size in results)
        text = " | ".join("" if cell is None else f"{cell[0]:.0e}, {cell[1]:.0e}" for cell in cells)
        agreement.append(f"| {c.name}, `{c.against}` | {text} |")
    compared = "\n".join(agreement)
    return f"""# Time and memory of the triplet losses

`python -m benchmarks.losses` writes this page. It measures forward and backward of one batch: B embeddings of
{SETTING}.
TFA is TensorFlow Addons, PML pytorch-metric-learning.

{remarks}

![time and memory against the batch size](losses_benchmark.png)

## Time

Medians. In brackets: the ratio to the strategy compared with, paired by round. Above 1, ours is faster.

{table(found, results, time_cell)}

## Memory

Peak of the first call above the level before it, including a few MB of the graph, and with XLA the compiler's memory.
In brackets: the ratio to the strategy compared with.

{table(found, results, memory_cell)}

## Agreement

|loss - ours|, and |gradient - ours| / |ours|, for equal definitions. {far} of {len(differences)} losses differ by more
than {TOLERANCE:.0e}. If two distances are equal in float32, either may be chosen, which only gradients show.

{compared}
"""


def draw(found: list[Contender], results: Results, file: IO[bytes]) -> None:
    """Draws a PNG file with a panel for time and one for memory: ours in colours, peers in grey."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(12, 5.2), dpi=90)
    colours = itertools.cycle([c for i, c in enumerate(pyplot.get_cmap("tab10").colors) if i != 7])  # 7 is grey
    dashes = iter([(0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (2, 1)), (0, (8, 2)), (0, (3, 2, 1, 2, 1, 2))])
    markers = iter("osD^vP")
    styles = {
        c.name: {"color": next(colours), "lw": 1.9, "marker": ".", "zorder": 3}
        if c.ours
        else {"color": "0.45", "lw": 1.3, "ls": next(dashes), "marker": next(markers), "ms": 4}
        for c in found
    }
    values = {
        "milliseconds": lambda result: statistics.median(result["times"]) * 1e3,
        "peak extra memory, MB": lambda result: result["peak"] / 1e6 if result["peak"] else math.nan,
    }
    ours = {c.name for c in found if c.ours}
    for panel, (title, value_of) in zip(panels, values.items(), strict=True):
        ends = []
        for c in found:
            run = [(size, value_of(at[c.name])) for size, at in results.items() if "note" not in at[c.name]]
            if run and not math.isnan(run[-1][1]):
                panel.plot(*zip(*run, strict=True), **styles[c.name])
                ends.append((*run[-1], c.name))
        panel.set(xscale="log", yscale="log", xlabel="batch size B", xticks=list(results), xticklabels=list(results))
        panel.set_title(f"forward + backward: {title}", loc="left", fontsize=11)
        panel.minorticks_off()
        panel.yaxis.set_major_formatter("{x:,.9g}")
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        # Labels in a column, close to the ends of their lines: pushed up where they overlap, then down from the top.
        ends.sort(key=lambda end: end[1])
        low, high = np.log(panel.get_ylim())
        heights, gap = [(math.log(value) - low) / (high - low) for _, value, _ in ends], 1 / max(16, len(ends))
        for i in range(1, len(ends)):
            heights[i] = max(heights[i], heights[i - 1] + gap)
        for i in reversed(range(len(ends))):
            heights[i] = min(heights[i], 1 - gap * (len(ends) - 1 - i))
        for height, (size, value, name) in zip(heights, ends, strict=True):
            colour, weight = styles[name]["color"], "bold" if name in ours else "normal"
            arrow = {"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6, "relpos": (0, 0.5)}
            panel.annotate(name, (size, value), (1.07, height), textcoords="axes fraction", va="center", fontsize=9,
                           color=colour, fontweight=weight, arrowprops=arrow)  # fmt: skip
    figure.tight_layout()
    figure.savefig(file, format="png", pil_kwargs={"optimize": True})


def arguments() -> argparse.Namespace:
    strategies = plugins.choices("model.losses.strategies")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[72, 256, 1024, 4096], metavar="B",
        help=f"batch sizes, multiples of {IMAGES} (default: 72 256 1024 4096)")  # fmt: skip
    add("--rounds", type=int, default=9, help="measurements of each, in turn (default: 9)")
    add("--strategies", nargs="+", default=strategies, choices=strategies, metavar="NAME",
        help=f"of {', '.join(strategies)} (default: all); their peers run too")  # fmt: skip
    add("--threads", type=int, default=os.cpu_count(), help="threads of each contender (default: all cores)")
    add("--memory_limit", type=float, default=12, metavar="GB",
        help="skip or stop what needs more (default: 12; never more than 80%% of the free memory)")  # fmt: skip
    add("--time_limit", type=float, default=240, metavar="SECONDS",
        help="stop what takes longer per call (default: 240)")  # fmt: skip
    add("--out", type=Path, default=Path("benchmarks"), metavar="FOLDER",
        help="folder of losses_benchmark.md and losses_benchmark.png (default: benchmarks)")  # fmt: skip
    args = parser.parse_args()
    if min(args.rounds, args.threads) < 1 or any(size % IMAGES or size < TINY for size in args.sizes):
        parser.error(f"--rounds and --threads must be at least 1, --sizes multiples of {IMAGES} from {TINY} on")
    args.sizes, args.strategies = sorted(set(args.sizes)), sorted(set(args.strategies))
    return args


def main() -> None:
    args = arguments()
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("error: matplotlib is not installed; pip install -r benchmarks/requirements.txt")
    found = contenders(args.strategies)
    needed = sorted({package for c in found for package in c.packages})
    installed = find_versions(["tensorflow", "tensorflow-cpu", *needed])
    missing = [package for package in needed if package not in installed]
    found = [c for c in found if not set(c.packages) & set(missing)]

    results, loads = {}, []
    for size in args.sizes:
        results[size], load = measure(found, size, args)
        loads.append(f"{load:.0%}")
        print(f"B = {size:<36}{'time':>20}{'memory':>20}", flush=True)
        for c in found:
            result, ours = results[size][c.name], results[size][c.against]
            cells = [f"{cell(result, ours):>20}" for cell in (time_cell, memory_cell) if "note" not in result]
            print(f"    {c.name:36}{result.get('note') or ''.join(cells)}", flush=True)

    software = ", ".join(map(" ".join, installed.items()))
    absent = f" Not installed, so skipped: {', '.join(missing)}." if missing else ""
    remarks = f"""- {machine(args.threads)}. Python {platform.python_version()}, {software}.{absent}
- Each runs in its own process. In each of {args.rounds} rounds, all take a turn of at least 20 ms. Other processes took
  {", ".join(loads)} of the cores meanwhile (by batch size): a few percent slow PyTorch's threads a lot.
- TensorFlow: a `tf.function` with static shapes. PyTorch: eager. What needs more than {args.memory_limit:g} GB is
  skipped, and what takes more than {args.time_limit:g} s is stopped.
- PML averages like its counterpart: over the triplets with a loss (its default), or over all with the batch-hard miner.
  Its semi-hard miner keeps all negatives within the margin beyond the positive. `basic` uses rows as triples."""
    with replace_file(args.out / "losses_benchmark.md") as file:
        file.write(page(found, results, remarks))
    with replace_file(args.out / "losses_benchmark.png", "wb") as file:
        draw(found, results, file)
    differences = compare(found, results)
    far = [f"{name} at {size}" for (name, size), (loss, _) in differences.items() if not loss <= TOLERANCE]
    print(f"{len(differences) - len(far)} of {len(differences)} losses agree to {TOLERANCE:.0e}; wrote {args.out}")
    if far:
        raise SystemExit(f"error: losses differ by more than {TOLERANCE:.0e}: {', '.join(far)}")


if __name__ == "__main__":
    main()
