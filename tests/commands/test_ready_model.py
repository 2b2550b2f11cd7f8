"""The model that comes with the project, used as in the README."""

import json
import re
import zipfile

import numpy as np
from helpers.commands import ROOT, environment, process
from PIL import Image, ImageDraw

from model import load
from model.exporting.card import render_card
from model.exporting.formats import keras
from model.run.model_json import read_model_json

MODEL = ROOT / "experiments" / "omniglot" / "model"


def draw(letter, path):
    image = Image.new("L", (105, 105), "white")
    ImageDraw.Draw(image).text((30, 20), letter, fill="black", font_size=60)
    path.parent.mkdir(exist_ok=True)
    image.save(path)


def test_the_readme_embeds_a_folder_in_five_lines(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 5
    for letter in "AKX":
        draw(letter, tmp_path / "drawings" / f"{letter}.png")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    done = process("-c", code, cwd=tmp_path, env=environment() | {"PYTHONPATH": str(ROOT)})
    assert done.stderr == ""
    assert re.fullmatch(r"\[(\[[^\]]*\]\s*){3}\] 7\.\d+ \(fpr 0\.001, tpr 0\.\d+ on test\)\n", done.stdout)


def test_it_is_small_and_its_card_has_the_numbers_of_its_results():
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 2_000_000
    described = json.loads((MODEL / "model.json").read_text())
    card = (MODEL / "model_card.md").read_text()
    assert card == render_card(read_model_json(MODEL), keras.usage(MODEL / keras.FILE))
    (line,) = described["results"]
    assert all(f"| `{name}` | {value:.4g} |" in card for name, value in line["metrics"].items())
    recall = f"Recall@1 {100 * line['metrics']['recall@1']:.1f}"
    for page in (ROOT / "README.md", ROOT / "experiments" / "omniglot" / "README.md"):
        assert recall in page.read_text(encoding="utf-8")


def test_it_finds_characters_that_it_has_never_seen(shared_data, tmp_path):
    """Nearest neighbours with NumPy, among 30 characters of the evaluation set: easier than among all 659."""
    with zipfile.ZipFile(shared_data / "omniglot" / "images_evaluation.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        characters = sorted({name.rpartition("/")[0] for name in names})[::22][:30]
        chosen = [name for name in names if name.rpartition("/")[0] in characters]
        archive.extractall(tmp_path, chosen)
    vectors = load(MODEL).embed([tmp_path / name for name in chosen])
    labels = np.array([name.rpartition("/")[0] for name in chosen])
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert len(labels) == 600
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.97
