"""The recipes of re-identification and image ranking: each trains on images in the official layout, once prepared."""

import functools
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.commands import ROOT, command, setting
from helpers.reid_trees import make_cars196, make_market1501, make_mars, make_sop

from model.configuration.loading import load_params
from runtime.json_files import read_json_lines

REID = {
    "market1501_trinet": "market1501",
    "market1501_strong": "market1501",
    "market1501_mobilenetv2_basic": "market1501",
    "market1501_mobilenetv2_hard": "market1501",
    "market1501_mobilenetv2_semihard": "market1501",
    "mars_trinet": "mars",
}
RANKING = {
    "cars196_cgd_s": "cars196_crops",
    "cars196_cgd_sg": "cars196_crops",
    "cars196_cgd_smg": "cars196_crops",
    "cars196_reference": "cars196",
    "sop_cgd": "sop",
}
RECIPES = REID | RANKING
QUICK = "market1501_mobilenetv2_hard"  # one of them for the fast tests
TREES = {
    "market1501": make_market1501,
    "mars": make_mars,
    "cars196": functools.partial(make_cars196, train=4, test=4, images=4),
    "sop": make_sop,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a prepared data set by its name."""
    folder = tmp_path_factory.mktemp("recipes")

    @functools.cache
    def prepare(name: str) -> Path:
        kind, _, crop = name.partition("_")
        words = ["--root", TREES[kind](folder / f"{name} raw"), "--out", folder / name, *(["--crop"] if crop else [])]
        done = command("-m", f"dataset.prepare.{kind}", *words)
        assert done.returncode == 0, done.stderr
        return folder / name

    return prepare


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A folder for a run, which is not kept: it has the weights of a ResNet, and Adam's."""
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def train_small(run: Path, recipe: str, dataset: Path) -> str:
    """One step on small images and a small batch, without weights to download; the rest is the recipe's."""
    shutil.copy(ROOT / "experiments" / recipe / "params.json", run)
    small = {"image_size": [64, 32], "pre_crop_size": [72, 36]} if recipe in REID else {"image_size": 48}
    if "cgd" in recipe:
        small["pre_crop_size"] = 54
    words = setting(dataset=str(dataset), warm_start_from=None, batch_p=3, only_one_step=True, **small)
    done = command("train.py", "--model_dir", run, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in RECIPES]
)
def test_a_recipe_trains(recipe, prepared, run):
    assert "done: 1 steps" in train_small(run, recipe, prepared(RECIPES[recipe]))
    (line,) = read_json_lines(run / "metrics.jsonl")
    assert all(math.isfinite(value) for value in line.values())
    params = load_params(run / "params.json")
    assert line["learning_rate"] == pytest.approx(params.learning_rate / max(params.warmup_steps, 1))
    if recipe != "market1501_mobilenetv2_semihard":  # there chance decides whether there is a pair
        assert line["valid_terms"] == (4 if recipe == "market1501_mobilenetv2_basic" else 12)
    descriptors = "cgd" in recipe
    assert ("classification_loss" in line) == (descriptors or recipe == "market1501_strong")
    assert ("center_loss" in line) == (recipe == "market1501_strong")
    if descriptors:  # of length 1, together of length 1
        assert line["embedding_norm"] == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["market1501_strong", "mars_trinet"])
def test_a_recipe_is_evaluated(recipe, prepared, run):
    train_small(run, recipe, prepared(RECIPES[recipe]))
    done = command("evaluate.py", "--model_dir", run, "--once")
    assert done.returncode == 0, done.stderr
    assert read_json_lines(run / "results.jsonl")[-1]["set"] == "query_gallery"
    assert "query_gallery" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_says_of_itself(recipe):
    folder = ROOT / "experiments" / recipe
    params, text = load_params(folder / "params.json"), (folder / "README.md").read_text(encoding="utf-8")
    name = RECIPES[recipe]
    assert (params.dataset, params.warm_start_from) == (name, "imagenet")
    if recipe in REID:
        assert (params.image_shape, params.best_metric) == ((256, 128), "query_gallery/map")
    else:
        assert (params.image_shape, params.pad_to_square) == ((224, 224), True)
        assert (params.best_metric, params.learning_rate) == ("test/recall@1", 1e-4)
        assert (params.triplet_strategy, params.margin) == ("batch_hard", "soft")
    kind, _, crop = name.partition("_")
    for line in (
        f"python -m dataset.prepare.{kind} --root ",
        f"--out data/{name}{' --crop' if crop else ''}\n",
        f"python train.py --model_dir experiments/{recipe}\n",
        f"python evaluate.py --model_dir experiments/{recipe}\n",
        "**This recipe has not been run at full size yet**",
    ):
        assert line in text
    for link in re.findall(r"\]\((\.\./[^)#]+)", text):
        assert (folder / link).is_file(), link


@pytest.mark.parametrize("recipe", ["cars196_cgd_s", "cars196_cgd_smg"])
def test_the_combinations_differ_in_their_descriptors_only(recipe):
    given, other = (load_params(ROOT / "experiments" / each / "params.json") for each in ("cars196_cgd_sg", recipe))
    assert given.model_dump() | {"descriptors": recipe.rpartition("_")[2].upper()} == other.model_dump()


@pytest.mark.parametrize(
    ("recipe", "images", "passes"),
    [("cars196_cgd_sg", 8054, 100), ("cars196_reference", 8054, 200), ("sop_cgd", 59551, 50)],
)
def test_the_length_is_what_the_page_says(recipe, images, passes):
    params = load_params(ROOT / "experiments" / recipe / "params.json")
    batch = params.batch_p * params.batch_k
    assert params.train_iterations * batch / images == pytest.approx(passes, rel=0.01)
    assert params.save_checkpoints_steps * 10 <= params.train_iterations
    ends = [step / params.train_iterations for step in params.decay_steps]
    assert ends == ([] if recipe == "cars196_reference" else pytest.approx([0.6, 0.8], rel=0.01))
    text = (ROOT / "experiments" / recipe / "README.md").read_text(encoding="utf-8")
    assert f"{params.train_iterations:,}".replace(",", " ") in text


def test_the_strong_recipe_counts_in_the_epochs_of_its_paper():
    params = load_params(ROOT / "experiments" / "market1501_strong" / "params.json")
    steps = [params.warmup_steps, *params.decay_steps, params.train_iterations]
    assert [step / 185 for step in steps] == [10, 40, 70, 120]
