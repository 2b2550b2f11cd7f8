"""The notebooks as they are saved; pytest runs them as well (nbmake)."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import ROOT
from PIL import Image

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_all_are_there():
    names = ["annotations", "evaluation_sets", "predictions", "training_sets"]
    assert [notebook.stem for notebook in NOTEBOOKS] == names


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_saved_with_its_pictures(file):
    notebook = json.loads(file.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))  # run once, from the top
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    drawing = [cell for cell in cells if "plt.show()" in "".join(cell["source"]) and "def " not in str(cell["source"])]
    pictures = [picture for output in outputs for picture in pictures_of(output)]
    assert len(pictures) >= max(3, len(drawing))
    for picture in pictures:
        assert min(picture.size) > 150
        darkest, lightest = picture.convert("L").getextrema()
        assert lightest - darkest > 100  # not blank
    assert file.stat().st_size < 1_500_000


def pictures_of(output: dict[str, Any]) -> list[Image.Image]:
    data = output.get("data", {})
    return [Image.open(io.BytesIO(base64.b64decode(data[kind]))) for kind in data if kind.startswith("image/")]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_tells_nothing_of_the_machine(file):
    text = file.read_text(encoding="utf-8")
    for word in (str(ROOT), str(Path.home()) + "/", "/tmp/", "site-packages"):
        assert word not in text
