"""`visualize.py data` and `batches`: the images are those of training, and the rankings those of the batch."""

import re
import shutil

import numpy as np
import pytest
from helpers.commands import command
from helpers.tiny import make_run
from PIL import Image

from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import load_training_set
from model.run.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the finished run."""
    return RunFolder(shutil.copytree(trained, tmp_path_factory.mktemp("visualized") / "run"))


def test_data_shows_what_training_gets(run, monkeypatch):
    pages = []
    monkeypatch.setattr("visualization.data.command.write_cards", lambda page, out: pages.append((page, out)))
    words = ["--model_dir", run.folder, "--step", "2", "--batches", "2"]
    assert command("visualize.py", "data", *words, "--set", 'augmentation=["horizontal_flip"]').returncode == 0
    (page, out) = pages[0]
    assert out == run.folder / "pictures" / "data.html"
    params = run.load_trained_params(['augmentation=["horizontal_flip"]'])
    data = load_training_set(params)
    files = data.images.manifest.files()
    batches = training_batches(files, data.images.orientations, data.sampler, params, 2, 4)
    assert len(page.sections) == 2
    flipped = 0
    for section, (images, _, indices) in zip(page.sections, batches, strict=True):
        for row in range(2):  # K
            fed, originals = section.rows[2 * row], section.rows[2 * row + 1]
            for column in range(4):  # P
                place = 2 * column + row
                path = data.images.manifest.paths[indices[place]]
                assert fed[column].full.startswith(path)
                assert fed[column].lines[0] == data.images.manifest.identities[indices[place]]
                factor = 200 // 16
                shown, original = (
                    np.asarray(card.picture)[::factor, ::factor] for card in (fed[column], originals[column])
                )
                assert np.array_equal(shown, images[place])
                assert np.array_equal(shown, original) or np.array_equal(shown, original[:, ::-1])
                flipped += not np.array_equal(shown, original)
    assert 0 < flipped < 16


def test_data_of_a_file_of_parameters(run, tmp_path):
    out = tmp_path / "data.png"
    triples = ["--set", "sampling=triplets", "--set", "triplet_strategy=basic", "--set", "batch_p=12"]
    assert (
        command(
            "visualize.py", "data", "--params", run.params_json, "--augmented_only", "--out", out, *triples
        ).returncode
        == 0
    )
    with Image.open(out) as picture:
        assert picture.size[0] > 8 * 128  # at most eight columns beside each other


def test_hard_triples_are_those_that_the_run_kept(dataset, tmp_path):
    hard = {"sampling": "triplets", "triplet_mining": "hard", "triplet_strategy": "basic"}
    folder = make_run(tmp_path / "run", dataset, **hard)
    assert "choose a --step of the newest epochs" in command("visualize.py", "data", "--model_dir", folder).stderr
    assert command("visualize.py", "data", "--model_dir", folder, "--set", "triplet_mining=random").returncode == 0


def test_batches_are_ranked_within_themselves(run, monkeypatch):
    pages = []
    for name in ("batches", "rankings"):
        monkeypatch.setattr(f"visualization.{name}.command.write_cards", lambda page, out: pages.append(page))
    source = ["--model_dir", run.folder, "--device", "cpu"]
    assert command("visualize.py", "batches", *source, "--checkpoint", "ckpt-2", "--top", "2").returncode == 0
    (section,) = pages[0].sections
    sampler = load_training_set(run.load_trained_params()).sampler
    assert len(section.rows) == len(set(sampler.batch(2)))  # the checkpoint's step; each image is a query
    for query, *ranked in section.rows:
        assert query.lines[0].startswith("query")
        marks = [mark for card in ranked for mark in card.lines[3:]]
        assert sorted(marks) == ["hardest negative", "hardest positive"]
        ranks = [int(re.match(r"(\d+)\.", card.lines[0])[1]) for card in ranked]
        assert ranks == sorted(ranks)
        hardest = next(card for card in ranked if "hardest positive" in card.lines)
        assert hardest.lines[1] == query.lines[1]
    assert command("visualize.py", "batches", *source, "--eval_set", "query_gallery", "--queries", "3").returncode == 0
    assert len(pages[1].sections[0].rows) == 3
    assert command("visualize.py", "rankings", *source, "--eval_set", "query_gallery", "--queries", "4").returncode == 0
    assert "6 against 24" in pages[2].facts["images"]
