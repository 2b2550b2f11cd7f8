"""What TensorBoard shows of a folder: by its Python loader within this process, or by a server of its own."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from helpers.commands import ROOT, environment
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

Curves = dict[str, dict[str, list[tuple[int, float]]]]  # run -> tag -> (step, value)


def reader(logdir: Path) -> EventMultiplexer:
    """The loader of `--load_fast false`; Reload it to see what was added."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    return multiplexer


def curves_of(multiplexer: EventMultiplexer) -> Curves:
    """The scalars of all runs as they are now."""
    multiplexer.Reload()
    found: Curves = {}
    for run in multiplexer.Runs():
        tags = multiplexer.PluginRunToTagToContent("scalars").get(run, {})
        found[run] = {
            tag: [(event.step, tf.make_ndarray(event.tensor_proto).item()) for event in multiplexer.Tensors(run, tag)]
            for tag in tags
        }
    return found


@contextlib.contextmanager
def served(logdir: Path, load_fast: str) -> Iterator[Callable[..., Any]]:
    """Starts TensorBoard; yields a function that asks it for the JSON of `/data/plugin/PATH?...`."""
    words = ["--logdir", str(logdir), "--port", "0", "--load_fast", load_fast, "--reload_interval", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    ) as process:
        try:
            assert process.stderr is not None
            port = next(found[1] for line in process.stderr if (found := re.search(r"localhost:(\d+)", line)))

            def ask(path: str, **query: str) -> Any:
                url = f"http://localhost:{port}/data/plugin/{path}?{urllib.parse.urlencode(query)}"
                with urllib.request.urlopen(url, timeout=60) as answer:
                    return json.load(answer)

            end = time.monotonic() + 60
            while not ask("scalars/tags") and time.monotonic() < end:
                time.sleep(0.2)
            time.sleep(2)  # the first answer may come before all files are read
            yield ask
        finally:
            process.terminate()


def curves_served(ask: Callable[..., Any]) -> Curves:
    """The scalars of all runs."""
    return {
        run: {tag: [(step, value) for _, step, value in ask("scalars/scalars", run=run, tag=tag)] for tag in tags}
        for run, tags in ask("scalars/tags").items()
    }
