"""The recipes of person re-identification: each trains on images in the official layout, prepared by its command."""

import math
import shutil
from pathlib import Path

import pytest
from helpers.commands import ROOT, command
from helpers.reid_trees import make_market1501, make_mars
from helpers.train_several import setting

from model.configuration.loading import load_params
from runtime.json_files import read_json_lines

RECIPES = {
    "market1501_trinet": "market1501",
    "market1501_strong": "market1501",
    "market1501_mobilenetv2_basic": "market1501",
    "market1501_mobilenetv2_hard": "market1501",
    "market1501_mobilenetv2_semihard": "market1501",
    "mars_trinet": "mars",
}
# Small images and batches, and no weights to download; the rest is the recipe's.
SMALL = {
    "image_size": [64, 32],
    "pre_crop_size": [72, 36],
    "warm_start_from": None,
    "batch_p": 3,
    "only_one_step": True,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The prepared data sets, by name."""
    folder = tmp_path_factory.mktemp("reid")
    made = {}
    for name, make in (("market1501", make_market1501), ("mars", make_mars)):
        made[name] = folder / name
        done = command("-m", f"dataset.prepare.{name}", "--root", make(folder / f"{name} raw"), "--out", made[name])
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def run(tmp_path: Path):
    """A folder for a run, which is not kept: it has the weights of a ResNet, and Adam's."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


QUICK = "market1501_mobilenetv2_hard"  # one of them for the fast tests


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in RECIPES]
)
def test_a_recipe_trains(recipe, prepared, run):
    run.mkdir()
    shutil.copy(ROOT / "experiments" / recipe / "params.json", run)
    words = setting(dataset=str(prepared[RECIPES[recipe]]), **SMALL)
    done = command("train.py", "--model_dir", run, *words)
    assert done.returncode == 0, done.stderr
    assert "done: 1 steps" in done.stdout
    (line,) = read_json_lines(run / "metrics.jsonl")
    assert all(math.isfinite(value) for value in line.values())
    params = load_params(run / "params.json")
    assert line["learning_rate"] == pytest.approx(params.learning_rate / max(params.warmup_steps, 1))
    strong = {"classification_loss", "classification_accuracy", "center_loss"}
    assert strong & line.keys() == (strong if recipe == "market1501_strong" else set())
    if recipe != "market1501_mobilenetv2_semihard":  # there chance decides whether there is a pair
        assert line["valid_terms"] == (4 if recipe == "market1501_mobilenetv2_basic" else 12)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["market1501_strong", "mars_trinet"])
def test_a_recipe_is_evaluated(recipe, prepared, run):
    run.mkdir()
    shutil.copy(ROOT / "experiments" / recipe / "params.json", run)
    words = setting(dataset=str(prepared[RECIPES[recipe]]), **SMALL)
    assert command("train.py", "--model_dir", run, *words).returncode == 0
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    assert read_json_lines(run / "results.jsonl")[-1]["set"] == "query_gallery"
    assert "query_gallery" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_says_of_itself(recipe):
    folder = ROOT / "experiments" / recipe
    params, text = load_params(folder / "params.json"), (folder / "README.md").read_text(encoding="utf-8")
    name = RECIPES[recipe]
    assert (params.dataset, params.image_shape) == (name, (256, 128))
    assert (params.warm_start_from, params.best_metric) == ("imagenet", "query_gallery/map")
    for line in (
        f"python -m dataset.prepare.{name} --root ",
        f"--out data/{name}\n",
        f"python train.py --model_dir experiments/{recipe}\n",
        f"python evaluate.py --model_dir experiments/{recipe}\n",
        "**This recipe has not been run at full size yet**",
    ):
        assert line in text


def test_the_strong_recipe_counts_in_the_epochs_of_its_paper():
    params = load_params(ROOT / "experiments" / "market1501_strong" / "params.json")
    steps = [params.warmup_steps, *params.decay_steps, params.train_iterations]
    assert [step / 185 for step in steps] == [10, 40, 70, 120]
