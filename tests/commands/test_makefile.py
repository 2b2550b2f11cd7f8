"""The commands that make runs, and the folders that it is given."""

import shlex
import subprocess

import pytest
from helpers.commands import ROOT


@pytest.mark.parametrize(
    ("goal", "variable", "paths"),
    [
        ("models", "OMNIGLOT", {"my data/images_background.zip", "my data/images_evaluation.zip"}),
        ("demo", "DEMO", {"my data", "my data/params.json", "my data/evaluate.log"}),
    ],
)
def test_a_folder_may_have_a_space_in_its_name(goal, variable, paths):
    line = ["make", "--dry-run", goal, f"{variable}=my data"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    words = shlex.split(done.stdout, comments=True)
    assert paths <= set(words)
    assert "my" not in words


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [("demo", 'visualize.py rankings --model_dir "runs/demo"'), ("lint", "tests/phrases.py"), ("lint", "codespell")],
)
def test_what_make_runs(goal, wanted):
    done = subprocess.run(["make", "--dry-run", goal], cwd=ROOT, capture_output=True, text=True, check=True)
    assert wanted in done.stdout
