"""A folder in which a page's commands run as a reader gives them, one block after the other."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.commands import ROOT
from helpers.documented import Block, python_blocks, shell_blocks, simple_commands
from helpers.documented_data import MAKERS, Store
from helpers.tiny import TINY

PROGRAMS = ROOT / "tests" / "helpers" / "documented_programs"
LINKED = ("dataset", "model", "runtime", "visualization", "benchmarks", "docker", "docs", "jobs")
PATIENCE = 900  # seconds for a block

# What does not run here, why, and what is checked instead. (tests/helpers/command_checks.py looks at each of them.)
NOT_RUN = {
    r"python -m benchmarks\.": "takes minutes to hours, and some need other libraries: its arguments are parsed",
    r"--workers host0:2222": "needs two machines: its arguments are parsed",
    r"dataset\.prepare\.labelled|visualize\.py lengths": "a part that the page shows how to add: test_parts.py does",
}
PATTERN = re.compile(r"\.\.\.|\b(DIR|NAME)\b")  # inline, it stands for many commands
# Programs that do nothing here: they change the machine, or are not on it.
IDLE = {
    "pip": "installs: its files are there, and its other words are names of packages",
    "docker": "needs a daemon and an hour: its files are there, and what it runs in a container is parsed",
    "git": "changes the repository: it tags a release",
    "pre-commit": "changes the repository: it installs a hook",
    "hadolint": "is not a package of the tests: its files are there, and test_docker.py reads them",
    "check-jsonschema": "is not a package of the tests: its files are there, and test_docker.py reads them",
    "kubernetes-validate": "is not a package of the tests: its file is there, and test_jobs.py reads it",
    "shellcheck": "is not a package of the tests: its file is there, and test_jobs.py runs it",
    "sbatch": "needs a cluster: its file is there, and test_jobs.py runs it",
    "kubectl": "needs a cluster: its file is there, and test_jobs.py reads it",
}
# What the code of pages takes as given.
GIVEN = """
import pathlib
from pathlib import Path

import keras
import numpy
from dataset.formats.manifest import read_manifest
import numpy as np
from PIL import Image

array = np.zeros((24, 24, 3), np.uint8)
pil_image = Image.fromarray(array)
query_emb, gallery_emb = np.random.default_rng(0).normal(size=(2, 300, 8)).astype("float32")
images, labels = np.random.default_rng(1).random((16, 16, 16, 3), "float32"), np.arange(16) % 4
gallery = Path("data/market1501/gallery.csv")
manifest = read_manifest(gallery, Path("Market-1501-v15.09.15")) if gallery.exists() else None
net = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
"""


class Sandbox:
    """A folder with what a page takes as given.

    Args:
        folder: to make.
        page: whose commands will run in it.
        store: where the small data come from.
    """

    def __init__(self, folder: Path, page: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.made_by: dict[str, list[str]] = {}  # of each --out, the program
        self.blocks = [kept for block in shell_blocks(page) if (kept := without_not_run(block)).text]
        self.code = [block for block in python_blocks(page) if not block.text.startswith("# ")]
        self.commands = [words for block in self.blocks for words in simple_commands(block.text)]
        folder.mkdir()
        self._link_the_project()
        self._write_programs()
        self._put_data()
        self._put_runs()
        self._put_embeddings()

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Runs the commands of a block in one shell; what they leave in the background must end well, too."""
        for words in simple_commands(block.text):
            self._clear_for(words)
        ended = 'for job in $(jobs -p); do wait "$job"; done'
        return self._run(["bash", "-c", f"set -eo pipefail\n{block.text}\n{ended}\n"])

    def _clear_for(self, words: list[str]) -> None:
        """Deletes a data set that another command has made under the name that this one is to write."""
        out, program = dict(itertools.pairwise(words)).get("--out"), words[:3]
        if out and "dataset.prepare" in program[-1]:
            if self.made_by.get(out, program) != program:
                shutil.rmtree(self.folder / out)
            self.made_by[out] = program

    def run_code(self) -> subprocess.CompletedProcess[str]:
        """Runs the page's code in one Python, from the first block to the last."""
        (self.folder / "page.py").write_text("\n".join([GIVEN, *(block.text for block in self.code)]))
        return self._run(["python", "page.py"])

    def _run(self, line: list[str]) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            line, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def _link_the_project(self) -> None:
        """The code, and copies of what is written into."""
        for path in [*(ROOT / name for name in LINKED), *ROOT.glob("*.py"), *ROOT.glob("*.txt"), ROOT / "params.json"]:
            (self.folder / path.name).symlink_to(path)
        for params in ROOT.glob("experiments/*/params.json"):
            self._put_params(f"experiments/{params.parent.name}", params.read_text())
        model = "experiments/omniglot/model"
        shutil.copytree(ROOT / model, self.folder / model)

    def _write_programs(self) -> None:
        """The programs that are others here."""
        start = f"exec {shlex.quote(sys.executable)} {shlex.quote(str(PROGRAMS))}"
        scripts = dict.fromkeys(IDLE, "exit 0")
        scripts |= dict.fromkeys(("python", "python3"), f'{start}/short_python.py "$@"')
        scripts["tensorboard"] = f'{start}/asked_tensorboard.py "$@"'
        scripts["make"] = f'exec {shutil.which("make")} --dry-run -C {shlex.quote(str(ROOT))} "$@"'
        files = {self.folder / "bin" / name: text for name, text in scripts.items()}
        files[self.folder / ".venv" / "bin" / "pre-commit"] = "exit 0"
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)

    def _put_data(self) -> None:
        """The data that the page uses before it has made them."""
        for name in MAKERS:
            if name != "RUN" and self._is_given(name):
                source, target = self.store.need(name), self.folder / name
                target.parent.mkdir(exist_ok=True)
                if name.startswith("data/") and name != "data/ILSVRC2015":
                    shutil.copytree(source, target)
                else:
                    target.symlink_to(source)

    def _is_given(self, name: str) -> bool:
        """Whether a name is used, in a command or in code, before a command has it as --out."""
        used = re.compile(rf"(?<![\w/.-]){re.escape(name)}(?![\w.-])")
        for words in self.commands:
            if ("--out", name) in itertools.pairwise(words):
                return False
            if used.search(" ".join(words)) or name == self._trained_on(words):
                return True
        return any(used.search(block.text) for block in self.code)

    def _trained_on(self, words: list[str]) -> str:
        """The data set that a command trains on without naming it."""
        options = dict(itertools.pairwise(words))
        file = ROOT / (options.get("--params") or f"{options.get('--model_dir')}/params.json")
        return f"data/{json.loads(file.read_text())['dataset']}" if file.is_file() else ""

    def _put_runs(self) -> None:
        """Parameters of the runs that the page trains; the others are finished."""
        text = "\n".join([*(" ".join(words) for words in self.commands), *(block.text for block in self.code)])
        runs = set(re.findall(r"--model_dir (\S+)", text))
        runs |= set(re.findall(r"(?<![\w/])(?:RUN|experiments/my_run)\b", text))
        trained = {match[2]: match[1] for match in re.finditer(r"(train\.py .*?)--model_dir (\S+)", text)}
        trained |= dict.fromkeys(re.findall(r"--params \S+ --model_dir (\S+)", text), "--params")
        finished = self.store.need("RUN")
        for run in sorted(runs):
            if run not in trained:
                shutil.copytree(finished, self.folder / run, dirs_exist_ok=True)
            elif "--params" not in trained[run] and not (self.folder / run / "params.json").exists():
                dataset = json.loads((finished / "params.json").read_text())["dataset"]
                self._put_params(run, json.dumps(TINY | {"dataset": dataset}))

    def _put_params(self, run: str, text: str) -> None:
        file = self.folder / run / "params.json"
        file.parent.mkdir(parents=True)
        file.write_text(text)

    def _put_embeddings(self) -> None:
        """The files of embeddings that no command of the page has made."""
        made = {dict(itertools.pairwise(words)).get("--filename") for words in self.commands}
        uses = [dict(itertools.pairwise(words)) for words in self.commands]
        uses += [{"--query_embeddings": name} for block in self.code for name in re.findall(r'"(\w+\.h5)"', block.text)]
        for options in uses:
            for part in ("query", "gallery"):
                name = options.get(f"--{part}_embeddings")
                if name and name not in made and not (self.folder / name).exists():
                    shutil.copy(self._embedded(options, part), self.folder / name)

    def _embedded(self, options: dict[str, str], part: str) -> Path:
        """The embeddings of the list that the command names, or of the folder of images."""
        if options.get("--image_root") == "photos":
            self.store.need("images.csv")
            return self.store.embed("images.csv", "--image_root", self.store.need("photos"))
        images = options.get(f"--{part}_dataset", "data/cars196/test.csv")
        if images in MAKERS:
            self.store.need(images)
            return self.store.embed(images, "--image_root", self.store.need("Market-1501-v15.09.15"))
        self.store.need(str(Path(images).parent))
        return self.store.embed(images)


def without_not_run(block: Block) -> Block:
    """A block without the lines of NOT_RUN; a block without text for a pattern in a sentence."""
    if block.language == "inline" and PATTERN.search(block.text):
        return block._replace(text="")
    lines = [line for line in block.text.splitlines() if not any(re.search(each, line) for each in NOT_RUN)]
    return block._replace(text="\n".join(lines))
