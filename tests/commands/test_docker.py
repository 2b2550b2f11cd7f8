"""The container files, without Docker: what they name is there, and nothing else goes into an image.

Their steps are performed by tests/helpers/dockerfile_steps.py, which takes a download of TensorFlow.
"""

import importlib
import json
import re
from pathlib import Path

import pytest
from helpers.commands import ROOT
from helpers.dockerfile_steps import KEYWORDS, context_files, is_ignored, pairs, read_steps

KINDS = ("cpu", "gpu")
COMPOSE = ROOT / "docker" / "compose.yaml"


@pytest.mark.parametrize("kind", KINDS)
def test_a_dockerfile(kind: str) -> None:
    steps = read_steps(ROOT / "docker" / f"Dockerfile.{kind}")
    assert {step.keyword for step in steps} <= set(KEYWORDS)
    assert steps[0] == ("FROM", "python:3.11-slim")
    order = [f"{step.keyword} {step.text}" for step in steps]
    (packages,) = [i for i, line in enumerate(order) if "pip install" in line]
    assert "--no-cache-dir" in order[packages]
    assert order[packages].endswith(f"-r requirements_{kind}.txt")
    before = [line for line in order[:packages] if line.startswith(("COPY", "ARG"))]
    assert before == [f"COPY requirements_{kind}.txt ./"]  # neither code nor the user's number makes this layer anew
    last = {step.keyword: step.text for step in steps}
    values = {key: value for step in steps if step.keyword == "ARG" for key, value in pairs(step.text).items()}
    assert last["USER"] == "${UID}:${GID}"
    assert int(values["UID"]) > 0
    assert "0" not in values.values()
    entry, default = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert entry == ["python"]
    assert (ROOT / default[0]).is_file()


def test_the_two_dockerfiles_differ_in_packages_and_driver_only() -> None:
    cpu, gpu = (read_steps(ROOT / "docker" / f"Dockerfile.{kind}") for kind in KINDS)
    assert len(cpu) == len(gpu)
    for one, other in zip(cpu, gpu, strict=True):
        if one.keyword == "ENV":
            more = {key: value for key, value in pairs(other.text).items() if key.startswith("NVIDIA_")}
            assert more == {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
            assert pairs(other.text) == pairs(one.text) | more
        else:
            assert other.text == one.text.replace("_cpu", "_gpu").replace("(CPU)", "(GPU)")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_copied_is_in_the_context(kind: str) -> None:
    files = context_files(ROOT)
    copied = set()
    for step in read_steps(ROOT / "docker" / f"Dockerfile.{kind}"):
        for source in step.text.split()[:-1] if step.keyword == "COPY" else ():
            inside = {file for file in files if file == source or file.startswith(f"{source}/")}
            assert inside, source
            copied |= inside
    assert {"train.py", "model/training/loop.py", "dataset/prepare/cars196.py", f"requirements_{kind}.txt"} <= copied
    commands = {file.name for file in ROOT.glob("*.py")}
    assert commands <= copied
    assert {f"experiments/{f.parent.name}/params.json" for f in ROOT.glob("experiments/*/params.json")} <= copied


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("train.py", False),
        ("model/network/heads/cgd.py", False),
        ("experiments/cars196_cgd_sg/params.json", False),
        ("experiments/cars196_cgd_sg/README.md", False),
        ("experiments/cars196_cgd_sg/checkpoints/ckpt-1.index", True),
        ("experiments/cars196_cgd_sg/best/ckpt-1.index", True),
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
def test_what_a_build_sees(path: str, ignored: bool) -> None:
    assert is_ignored(path, ROOT / ".dockerignore") == ignored


def commands_of(compose: str) -> dict[str, list[str]]:
    """Service -> its command."""
    services = re.findall(r"^  (\w+):\n((?:    .*\n|\n)*)", compose[compose.index("\nservices:") :], re.M)
    found = {name: re.search(r"^    command: (\[.*\])$", body, re.M) for name, body in services}
    return {name: json.loads(match[1]) for name, match in found.items() if match}


def test_the_services_commands_are_understood() -> None:
    commands = commands_of(COMPOSE.read_text(encoding="utf-8"))
    assert set(commands) == {"train", "evaluate", "tensorboard", "prepare"}
    for name in ("train", "evaluate"):
        script, *words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in commands[name]]
        assert script == f"{name}.py"
        args = importlib.import_module(name).parse(words)  # argparse ends the program at an unknown flag
        assert args.model_dir == "runs/my_run"
    assert {"--logdir", "--host", "--port"} <= set(commands["tensorboard"])
    dash_m, module, *words = commands["prepare"]
    assert dash_m == "-m"
    assert callable(importlib.import_module(module).main)
    assert words[-2:] == ["--out", "data/synthetic_vid"]


def test_compose_files_name_what_is_there() -> None:
    files = {"cpu": COMPOSE, "gpu": COMPOSE.with_suffix(".gpu.yaml")}
    texts = {kind: file.read_text(encoding="utf-8") for kind, file in files.items()}
    for kind, text in texts.items():
        assert re.findall(r"dockerfile: (\S+)", text) == [f"docker/Dockerfile.{kind}"]
        assert re.findall(r"image: (triplet\S+)", text) == [f"triplet-embeddings:{kind}"]
        assert "\t" not in text
    services = [set(re.findall(r"^  (\w+):$", text[text.index("\nservices:") :], re.M)) for text in texts.values()]
    assert services[0] == services[1]
    gpus = re.findall(r"device_ids: \[\"\$\{(\w+):-(\d)\}\"\]", texts["gpu"])
    assert gpus == [("TRAIN_GPU", "0"), ("EVALUATE_GPU", "1")]
    arguments = re.findall(r"^ +(UID|GID): \$\{(\w+):-1000\}$", texts["cpu"], re.M)
    assert arguments == [("UID", "USER_ID"), ("GID", "GROUP_ID")]


def test_compose_files_as_yaml() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is no requirement of the project")
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    writable = {
        name: {each["target"]: not each.get("read_only") for each in service["volumes"]}
        for name, service in services.items()
    }
    data, runs = "/workspace/data", "/workspace/runs"
    assert writable == {
        "train": {data: False, runs: True},
        "evaluate": {data: False, runs: True},
        "tensorboard": {runs: False},
        "prepare": {data: True},
    }
    assert len({service["image"] for service in services.values()}) == 1
    gpus = yaml.safe_load((COMPOSE.parent / "compose.gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert {name for name, service in gpus.items() if "deploy" in service} == {"train", "evaluate"}


def test_the_page_names_every_variable() -> None:
    page = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    for name in ("compose.yaml", "compose.gpu.yaml"):
        for variable in re.findall(r"\$\{(\w+)", Path(COMPOSE.parent / name).read_text(encoding="utf-8")):
            assert f"`{variable}`" in page, variable
