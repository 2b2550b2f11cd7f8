"""`visualize.py data` and `batches`: the images are those of training, and the rankings those of the batch."""

import re
import shutil

import numpy as np
import pytest
from helpers.tiny import make_run
from PIL import Image

from dataset.loading.pipeline import training_batches
from dataset.loading.training_set import load_training_set
from model.run.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the finished run."""
    return RunFolder(shutil.copytree(trained, tmp_path_factory.mktemp("visualized") / "run"))


def test_data_shows_what_training_gets(run, monkeypatch, show):
    pages = []
    monkeypatch.setattr("visualization.data.command.write_cards", lambda page, out: pages.append((page, out)))
    words = ["--model_dir", run.folder, "--step", "2", "--batches", "2"]
    assert show("data", *words, "--set", 'augmentation=["horizontal_flip"]')[0] == 0
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


def test_data_of_a_file_of_parameters(run, tmp_path, show):
    out = tmp_path / "data.png"
    triples = ["--set", "sampling=triplets", "--set", "triplet_strategy=basic", "--set", "batch_p=12"]
    assert show("data", "--params", run.params_json, "--augmented_only", "--out", out, *triples)[0] == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 8 * 128  # at most eight columns beside each other


def test_hard_triples_are_those_that_the_run_kept(dataset, tmp_path, show):
    hard = {"sampling": "triplets", "triplet_mining": "hard", "triplet_strategy": "basic"}
    folder = make_run(tmp_path / "run", dataset, **hard)
    assert "choose a --step of the newest epochs" in show("data", "--model_dir", folder)[2]
    assert show("data", "--model_dir", folder, "--set", "triplet_mining=random")[0] == 0


def test_batches_are_ranked_within_themselves(run, monkeypatch, show):
    pages = []
    for name in ("batches", "rankings"):
        monkeypatch.setattr(f"visualization.{name}.command.write_cards", lambda page, out: pages.append(page))
    source = ["--model_dir", run.folder, "--device", "cpu"]
    assert show("batches", *source, "--checkpoint", "ckpt-2", "--top", "2")[0] == 0
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
    assert show("batches", *source, "--eval_set", "query_gallery", "--queries", "3")[0] == 0
    assert len(pages[1].sections[0].rows) == 3
    assert show("rankings", *source, "--eval_set", "query_gallery", "--queries", "4")[0] == 0
    assert "6 against 24" in pages[2].facts["images"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("data", "give --model_dir RUN or --params FILE"),
        ("data --params RUN/params.json", "--out is missing"),
        ("data --model_dir RUN --batches 0", "--batches: 0: it must be a whole number of at least 1"),
        ("data --model_dir RUN --batches 9999", "more than a page can hold"),
        ("data --model_dir RUN --out data.gif", "must end in .html or .png"),
        ("batches --model_dir RUN --step 1 --eval_set test", "give one of them"),
        ("batches --model_dir RUN --checkpoint ckpt-9", "there is no checkpoint 'ckpt-9'"),
        ("batches --model_dir RUN --eval_set val_eval", "it has query_gallery, test"),
        ("rankings --model_dir RUN --eval_set val_eval", "it has query_gallery, test"),
        ("rankings --model_dir RUN/no", "there is no such folder"),
    ],
)
def test_mistakes_are_answered_in_one_line(run, words, part, show):
    code, _, errors = show(*words.replace("RUN", str(run.folder)).split())
    assert code == 2
    assert part in errors
    assert errors.count("\n") == 1
