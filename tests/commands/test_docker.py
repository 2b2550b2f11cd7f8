"""The container files, checked without Docker: all files they name exist, and nothing else goes into an image."""

import importlib
import json
import re
import shlex

import pytest
import yaml
from helpers.commands import ROOT

from runtime.workers import find_workers

KINDS = ("cpu", "gpu")
COMPOSE = {kind: ROOT / "docker" / name for kind, name in zip(KINDS, ("compose.yaml", "compose.gpu.yaml"), strict=True)}
WORKERS = ROOT / "docker" / "compose.workers.yaml"


def read_steps(kind: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each as keyword and arguments, without comments and with lines joined."""
    text = (ROOT / "docker" / f"Dockerfile.{kind}").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.M))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def pairs(text: str) -> dict[str, str]:
    """The values of ENV, LABEL and ARG, given as `A=1 B="two"`."""
    return dict(word.partition("=")[::2] for word in shlex.split(text))


def is_ignored(path: str) -> bool:
    """Whether .dockerignore excludes a file. The last line that matches the path or one of its folders decides."""
    ignored, parts = False, path.split("/")
    prefixes = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        words = re.split(r"(\*\*/|\*\*|\*|\?)", line.removeprefix("!").strip("/"))
        pattern = re.compile("".join(meaning.get(word, re.escape(word)) for word in words))
        if any(map(pattern.fullmatch, prefixes)):
            ignored = not line.startswith("!")
    return ignored


@pytest.mark.parametrize("kind", KINDS)
def test_a_dockerfile(kind):
    steps = read_steps(kind)
    assert steps[0] == ("FROM", "python:3.11-slim")
    (packages,) = [i for i, (_, text) in enumerate(steps) if "pip install --no-cache-dir" in text]
    assert steps[packages][1].endswith(f"-r requirements_{kind}.txt")
    before = [step for step in steps[:packages] if step[0] in ("COPY", "ARG")]
    assert before == [("COPY", f"requirements_{kind}.txt ./")]  # changed code or user ids do not rebuild this layer
    values = {key: int(value) for word, text in steps if word == "ARG" for key, value in pairs(text).items()}
    assert min(values["UID"], values["GID"]) > 0
    last = dict(steps)
    assert last["USER"] == "${UID}:${GID}"
    assert json.loads(last["ENTRYPOINT"]) == ["python"]
    assert (ROOT / json.loads(last["CMD"])[0]).is_file()

    copied = [source for word, text in steps if word == "COPY" for source in text.split()[:-1]]
    assert {file.name for file in ROOT.glob("*.py")} | {"dataset", "model", "runtime", "visualization"} <= {*copied}
    assert "requirements_export.txt" in copied  # export.py asks the user to install it
    for source in copied:
        assert (ROOT / source).exists()
        assert not is_ignored(source) or source == "experiments"  # a part of it is re-included


def test_the_two_dockerfiles_differ_in_packages_and_driver_only():
    for (word, one), (_, other) in zip(*map(read_steps, KINDS), strict=True):
        if word == "ENV":
            driver = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
            assert pairs(other) == pairs(one) | driver
        else:
            assert other == one.replace("_cpu", "_gpu").replace("(CPU)", "(GPU)")


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("train.py", False),
        ("visualization/kit/page.html.jinja", False),
        ("experiments/cars196_cgd_sg/params.json", False),
        ("experiments/cars196_cgd_sg/README.md", False),
        ("experiments/cars196_cgd_sg/checkpoints/ckpt-1.index", True),
        ("experiments/cars196_cgd_sg/train.log", True),
        ("data/cars196/train.csv", True),
        ("runs/my_run/params.json", True),
        (".git/config", True),
        (".venv/bin/python", True),
        ("model/__pycache__/__init__.pyc", True),
        ("model/network/heads/__pycache__/cgd.pyc", True),
        ("tests/commands/test_docker.py", True),
        ("requirements_dev.txt", True),
    ],
)
def test_what_a_build_sees(path, ignored):
    assert is_ignored(path) == ignored


def test_compose_files():
    cpu, gpu = (yaml.safe_load(file.read_text(encoding="utf-8"))["services"] for file in COMPOSE.values())
    assert set(cpu) == set(gpu) == {"train", "evaluate", "tensorboard", "prepare"}
    for kind, services in zip(KINDS, (cpu, gpu), strict=True):
        assert {service["image"] for service in services.values()} == {f"triplet-embeddings:{kind}"}
        assert {service["build"]["dockerfile"] for service in services.values()} == {f"docker/Dockerfile.{kind}"}
    devices = {
        name: service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name, service in gpu.items()
        if "deploy" in service
    }
    assert devices == {"train": ["${TRAIN_GPU:-0}"], "evaluate": ["${EVALUATE_GPU:-1}"]}
    assert cpu["train"]["build"]["args"] == {"UID": "${USER_ID:-1000}", "GID": "${GROUP_ID:-1000}"}
    writable = {
        name: {each["target"]: not each.get("read_only") for each in service["volumes"]}
        for name, service in cpu.items()
    }
    data, runs = "/workspace/data", "/workspace/runs"
    assert writable == {
        "train": {data: False, runs: True},
        "evaluate": {data: False, runs: True},
        "tensorboard": {runs: False},
        "prepare": {data: True},
    }

    for name in ("train", "evaluate"):
        script, *words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in cpu[name]["command"]]
        assert script == f"{name}.py"
        assert importlib.import_module(name).parse(words).model_dir == "runs/my_run"
    dash_m, module, *words = cpu["prepare"]["command"]
    assert dash_m == "-m"
    assert callable(importlib.import_module(module).main)
    assert words == ["--out", "data/synthetic_vid"]


def test_two_workers_on_one_machine():
    services = yaml.safe_load(WORKERS.read_text(encoding="utf-8"))["services"]
    assert set(services) == {"worker0", "worker1"}
    for number, service in enumerate(services.values()):
        assert service.pop("extends") == {"file": "compose.yaml", "service": "train"}
        script, *words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in service.pop("command")]
        args = importlib.import_module(script.removesuffix(".py")).parse(words)
        assert args.model_dir == "runs/my_run"
        workers = find_workers(args.worker, args.workers, {})
        assert workers.number == number
        assert [address.partition(":")[0] for address in workers.addresses] == list(services)
        assert not service  # all else is that of compose.yaml


def test_the_page_names_every_variable():
    page = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")
    for file in (*COMPOSE.values(), WORKERS):
        for variable in re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8")):
            assert f"`{variable}`" in page, variable
