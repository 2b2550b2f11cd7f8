"""Reads a Dockerfile of docker/, and performs its steps in a fresh folder where there is no Docker.

    python tests/helpers/dockerfile_steps.py docker/Dockerfile.cpu FRESH_FOLDER [WORDS ...]

The folder becomes the image's `/`; a fresh virtual environment stands for the base image's Python. COPY honours
.dockerignore; RUN is done by `sh`, with groupadd and useradd writing into the folder's etc; then the entry point is
run with WORDS, else with CMD, as the user that USER names (when root does this), without git on its path.
FRESH_FOLDER/workspace/data and runs are what a mount would be; a second run with the same folder runs WORDS only.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
KEYWORDS = ("FROM", "LABEL", "WORKDIR", "COPY", "RUN", "ARG", "ENV", "USER", "ENTRYPOINT", "CMD")


class Step(NamedTuple):
    """An instruction: its keyword, and the rest of its line or lines."""

    keyword: str
    text: str


def read_steps(dockerfile: Path) -> list[Step]:
    """The instructions, comments left out, continued lines joined."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def expand(text: str, values: dict[str, str]) -> str:
    """`${NAME}` replaced."""
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text)


def pairs(text: str) -> dict[str, str]:
    """`A=1 B="two"` of ENV, LABEL and ARG."""
    return dict(word.partition("=")[::2] for word in shlex.split(text))


def _pattern(line: str) -> re.Pattern[str]:
    """A line of .dockerignore, without its `!`."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", line.strip("/"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))


def is_ignored(path: str, ignore: Path) -> bool:
    """Whether .dockerignore keeps a file out: the last line that fits the path, or a folder that it is in, decides."""
    ignored, parts = False, path.split("/")
    prefixes = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    for line in ignore.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line and not line.startswith("#") and any(map(_pattern(line.removeprefix("!")).fullmatch, prefixes)):
            ignored = not line.startswith("!")
    return ignored


def context_files(root: Path) -> list[str]:
    """The files that a build sees."""
    files = []
    for name in sorted(os.listdir(root)):  # noqa: PTH208 (names, not paths)
        if is_ignored(name, root / ".dockerignore"):
            continue  # many thousand files; a line that takes some of them back takes the whole folder back first
        whole = root / name
        found = whole.rglob("*") if whole.is_dir() else [whole]
        files += [f.relative_to(root).as_posix() for f in found if f.is_file()]
    return [file for file in files if not is_ignored(file, root / ".dockerignore")]


def copy(text: str, root: Path, workdir: Path) -> None:
    """COPY: files into a folder that ends in /, or a folder's content into a folder."""
    *sources, target = text.split()
    files = context_files(root)
    for source in sources:
        inside = [file for file in files if file == source or file.startswith(f"{source}/")]
        if not inside:
            raise SystemExit(f"COPY {source}: there is no such file in the build's context")
        for file in inside:
            place = workdir / target / (Path(file).relative_to(source) if file != source else Path(source).name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, place)


def build(steps: list[Step], image: Path) -> None:
    """Performs what makes the image."""
    (image / "etc").mkdir(parents=True)
    (image / "bin").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (image / "etc" / name).touch()
    for name in ("groupadd", "useradd"):  # the real ones, in the folder instead of /
        (image / "bin" / name).write_text(f'#!/bin/sh\nexec /usr/sbin/{name} --prefix "{image}" "$@"\n')
        (image / "bin" / name).chmod(0o755)
    workdir, values = image, {}
    for step in steps:
        print(f"--- {step.keyword} {step.text}", flush=True)
        if step.keyword == "FROM":
            wanted = re.match(r"python:(\d+\.\d+)-slim", step.text)[1]
            if wanted != "{}.{}".format(*sys.version_info):
                raise SystemExit(f"run this with Python {wanted}, which the image has")
            subprocess.run([sys.executable, "-m", "venv", image / "venv"], check=True)
        elif step.keyword == "WORKDIR":
            workdir = image / step.text.strip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif step.keyword == "ARG":
            values |= pairs(step.text)
        elif step.keyword == "COPY":
            copy(step.text, ROOT, workdir)
        elif step.keyword == "RUN":
            # The new user is known in the folder only: chown takes its number.
            owner = "{UID}:{GID}".format(**values) if "chown" in step.text else ""
            text = step.text.replace("chown worker:worker", f"chown {owner}")
            environment = {"PATH": f"{image}/bin:{image}/venv/bin:/usr/bin:/bin", "HOME": str(image), **values}
            subprocess.run(["sh", "-ec", text], cwd=workdir, env=environment, check=True)


def run(steps: list[Step], image: Path, words: list[str]) -> int:
    """Runs the entry point as its user; the exit code."""
    last = {step.keyword: step.text for step in steps}
    values = {key: value for step in steps if step.keyword == "ARG" for key, value in pairs(step.text).items()}
    environment = {key: value for step in steps if step.keyword == "ENV" for key, value in pairs(step.text).items()}
    environment = {key: re.sub(r"^/(?=workspace)", f"{image}/", value) for key, value in environment.items()}
    environment |= {"PATH": f"{image}/venv/bin:/nowhere", "CUDA_VISIBLE_DEVICES": "-1"}
    workdir = image / last["WORKDIR"].strip("/")
    entry = json.loads(last["ENTRYPOINT"])
    if words and shutil.which(words[0], path=f"{image}/venv/bin"):  # as --entrypoint
        entry, words = [words[0]], words[1:]
    line = [f"{image}/venv/bin/{entry[0]}", *entry[1:], *(words or json.loads(last["CMD"]))]
    if os.getuid() == 0:
        user, _, group = expand(last["USER"], values).partition(":")
        line = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *line]
    return subprocess.run(line, cwd=workdir, env=environment).returncode


def main() -> int:
    dockerfile, image, *words = sys.argv[1:]
    steps, folder = read_steps(Path(dockerfile)), Path(image).resolve()
    if not folder.exists():
        build(steps, folder)
    return run(steps, folder, words)


if __name__ == "__main__":
    sys.exit(main())
