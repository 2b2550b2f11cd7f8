"""The recipes of image ranking: each trains on images in the official layout, prepared by its command."""

import math
import re
import shutil
from pathlib import Path

import pytest
from helpers.cars196_tree import make_cars196
from helpers.commands import ROOT, command
from helpers.reid_trees import make_sop
from helpers.train_several import setting

from dataset.prepare import cars196, sop
from model.configuration.loading import load_params
from runtime.json_files import read_json_lines

RECIPES = {
    "cars196_cgd_s": "cars196_crops",
    "cars196_cgd_sg": "cars196_crops",
    "cars196_cgd_smg": "cars196_crops",
    "cars196_reference": "cars196",
    "sop_cgd": "sop",
}
# Small images and batches, and no weights to download; the rest is the recipe's.
SMALL = {"image_size": 48, "warm_start_from": None, "batch_p": 3, "only_one_step": True}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The prepared data sets, by name."""
    folder = tmp_path_factory.mktemp("ranking")
    cars, products = make_cars196(folder / "cars", train=4, test=4, images=4), make_sop(folder / "products")
    made = {name: folder / name for name in set(RECIPES.values())}
    assert cars196.main(["--root", str(cars), "--out", str(made["cars196"])]) == 0
    assert cars196.main(["--root", str(cars), "--out", str(made["cars196_crops"]), "--crop"]) == 0
    assert sop.main(["--root", str(products), "--out", str(made["sop"])]) == 0
    return made


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains(recipe: str, prepared: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(ROOT / "experiments" / recipe / "params.json", run)
    small = SMALL | ({"pre_crop_size": 54} if recipe != "cars196_reference" else {})
    done = command("train.py", "--model_dir", run, *setting(dataset=str(prepared[RECIPES[recipe]]), **small))
    assert done.returncode == 0, done.stderr
    assert "done: 1 steps" in done.stdout
    (line,) = read_json_lines(run / "metrics.jsonl")
    shutil.rmtree(run)  # it has the weights of a ResNet, and Adam's
    assert all(math.isfinite(value) for value in line.values())
    assert line["learning_rate"] == pytest.approx(1e-4)
    assert line["valid_terms"] == 12
    classified = recipe != "cars196_reference"
    assert ("classification_loss" in line) == classified
    if classified:  # descriptors of length 1, together of length 1
        assert line["embedding_norm"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_says_of_itself(recipe: str) -> None:
    folder = ROOT / "experiments" / recipe
    params, text = load_params(folder / "params.json"), (folder / "README.md").read_text(encoding="utf-8")
    name = RECIPES[recipe]
    assert (params.dataset, params.image_shape, params.pad_to_square) == (name, (224, 224), True)
    assert (params.warm_start_from, params.best_metric) == ("imagenet", "test/recall@1")
    assert (params.triplet_strategy, params.margin, params.learning_rate) == ("batch_hard", "soft", 1e-4)
    module = name.removesuffix("_crops")
    crop = " --crop" if name.endswith("_crops") else ""
    for line in (
        f"python -m dataset.prepare.{module} --root ",
        f"--out data/{name}{crop}\n",
        f"python train.py --model_dir experiments/{recipe}\n",
        f"python evaluate.py --model_dir experiments/{recipe}\n",
        "**This recipe has not been run at full size yet**",
    ):
        assert line in text
    for link in re.findall(r"\]\((\.\./[^)#]+)", text):
        assert (folder / link).is_file(), link


@pytest.mark.parametrize("recipe", ["cars196_cgd_s", "cars196_cgd_smg"])
def test_the_combinations_differ_in_their_descriptors_only(recipe: str) -> None:
    given, other = (load_params(ROOT / "experiments" / each / "params.json") for each in ("cars196_cgd_sg", recipe))
    assert given.model_dump() | {"descriptors": recipe.rpartition("_")[2].upper()} == other.model_dump()


@pytest.mark.parametrize(
    ("recipe", "images", "passes"),
    [("cars196_cgd_sg", 8054, 100), ("cars196_reference", 8054, 200), ("sop_cgd", 59551, 50)],
)
def test_the_length_is_what_the_page_says(recipe: str, images: int, passes: int) -> None:
    params = load_params(ROOT / "experiments" / recipe / "params.json")
    batch = params.batch_p * params.batch_k
    assert params.train_iterations * batch / images == pytest.approx(passes, rel=0.01)
    assert params.save_checkpoints_steps * 10 <= params.train_iterations
    ends = [step / params.train_iterations for step in params.decay_steps]
    assert ends == ([] if recipe == "cars196_reference" else pytest.approx([0.6, 0.8], rel=0.01))
    text = (ROOT / "experiments" / recipe / "README.md").read_text(encoding="utf-8")
    assert f"{params.train_iterations:,}".replace(",", " ") in text
