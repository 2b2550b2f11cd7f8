"""Whether a documented command would be accepted, without running it: one check for each program that pages name."""

import argparse
import functools
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from helpers.commands import ROOT, command
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError

from model.configuration.loading import check_params
from model.configuration.params import Params
from runtime.errors import UserError

# Parts that CONTRIBUTING.md shows how to add. tests/commands/test_parts.py adds them and runs these commands.
EXAMPLE_PARTS = ("dataset.prepare.labelled", "lengths")
ENTERED = ("experiments", "data", "docs", "runs", "exports")  # folders in which a reader makes new files
IMAGE = re.compile(r"triplet-embeddings:\w+")


class _ParsedError(Exception):
    """The arguments were read: the rest of the command is not for this test."""


def problem(words: list[str]) -> str:
    """What is wrong with a command; nothing if it would be accepted."""
    name = words[0].rpartition("/")[2]
    if name not in CHECKS:
        return f"no check for {name}: add one to tests/helpers/command_checks.py"
    missing = [] if name in ("pip", "git") else [word for word in words[1:] if is_missing(word, name == "cp")]
    if missing:
        return f"there is no {missing[0]}"
    return CHECKS[name](tuple(words[1:]))


def is_missing(word: str, copied: bool) -> bool:
    """Whether a word names a file of the project that does not exist; only a recipe that is copied must exist."""
    if not re.fullmatch(r"[\w-][\w./-]*\.\w+", word):
        return False
    top = Path(word).parts[0]
    ours = (ROOT / top).exists() and (top not in ENTERED or copied)
    return ours and not (ROOT / word).exists()


@functools.cache
def python(words: tuple[str, ...]) -> str:
    """The script's own parser reads the arguments, and the parameters that it sets exist."""
    if words[:2] == ("-m", "venv") or any(part in words for part in EXAMPLE_PARTS):
        return ""
    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", parse_only(argparse.ArgumentParser)):
        done = command(*words)
    if "--help" in words:
        return done.stderr
    if "_ParsedError" not in done.stderr:
        return done.stderr.strip() or "it reads no arguments"
    names = [word.partition("=")[0] for flag, word in itertools.pairwise(words) if flag == "--set"]
    unknown = [name for name in names if name not in Params.model_fields]
    return f"there is no parameter {unknown[0]}" if unknown else ""


def parse_only(parser: type[argparse.ArgumentParser]) -> Callable[..., object]:
    """A parser that goes no further than the arguments; those of a sub-command belong to the first call."""
    parse, depth = parser.parse_known_args, 0

    def parse_known_args(self: argparse.ArgumentParser, *args: object, **options: object) -> object:
        nonlocal depth
        depth += 1
        self.allow_abbrev = False  # a page has whole names
        try:
            found, others = parse(self, *args, **options)
        finally:
            depth -= 1
        if depth:
            return found, others
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        raise _ParsedError

    return parse_known_args


@functools.cache
def make(words: tuple[str, ...]) -> str:
    """The goal is in the Makefile."""
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stderr


def docker(words: tuple[str, ...]) -> str:
    """What a container is to run: behind the image's name, or that of a service of the compose file."""
    service = words.index("prepare") if "prepare" in words else len(words)
    start = next((i for i, word in enumerate(words) if IMAGE.fullmatch(word)), service)
    inner = words[start + 1 :]
    return python(inner) if inner[:1] == ("-m",) or "".join(inner[:1]).endswith(".py") else ""


def pip(words: tuple[str, ...]) -> str:
    """Requirement files are there; the rest are names of packages."""
    if words[:1] != ("install",):
        return f"pip {' '.join(words)} is not checked"
    for flag, word in itertools.pairwise(words):
        if flag == "-r" and not (ROOT / word).is_file():
            return f"there is no {word}"
        try:
            if not word.startswith("-") and flag != "-r":
                Requirement(word)
        except InvalidRequirement as error:
            return str(error)
    return ""


def echo(words: tuple[str, ...]) -> str:
    """Parameters that are written into a params.json are valid."""
    try:
        if words and words[0].startswith("{"):
            check_params(json.loads(words[0]), "the page")
    except (ValueError, UserError, ValidationError) as error:
        return str(error)
    return ""


def tensorboard(words: tuple[str, ...]) -> str:
    """One folder; tests/helpers/documented_programs/tensorboard asks it for a page."""
    return "" if words[::2] == ("--logdir",) and len(words) == 2 else f"tensorboard {' '.join(words)} is not checked"


def nothing(words: tuple[str, ...]) -> str:
    """Nothing but that the files are there."""
    return ""


CHECKS: dict[str, Callable[[tuple[str, ...]], str]] = {
    "python": python,
    "python3": python,
    "make": make,
    "docker": docker,
    "pip": pip,
    "echo": echo,
    "tensorboard": tensorboard,
    # The shell's own, what the machine of a contributor has, and a cluster's; git only tags a release.
    **dict.fromkeys(("cd", "cp", "export", "ls", "mkdir", "."), nothing),
    **dict.fromkeys(("git", "pre-commit", "hadolint", "check-jsonschema", "kubernetes-validate"), nothing),
    **dict.fromkeys(("sbatch", "kubectl", "shellcheck"), nothing),
}
