"""Trainings with memory, auxiliary terms, hard triples and a detailed log: what they write, stopped in between or not.

The runs are trained once for all tests of this file; those of `part` are ended early and then made longer.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import setting, train_several
from helpers.tiny import make_run
from helpers.training_results import assert_same_bits, checkpoint_values, events

from dataset.loading.training_set import load_training_set
from model.embedding.embedder import Embedder
from model.network.build import build_embedder
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.run.triples_file import load_triples, save_triples
from model.training.detailed_log import read_detailed_log
from runtime.json_files import read_json_lines

COMMON = {"deterministic": True, "detailed_log": True, "save_summary_steps": 1, "save_checkpoints_steps": 1000}
TERMS = {
    "triplet_strategy": "batch_sample",
    "memory_size": 20,
    "warmup_steps": 2,
    "classification_weight": 0.5,
    "label_smoothing": 0.1,
    "center_loss_weight": 0.1,
}
STEPS, ENDED = 12, 5  # of the run with all terms
HARD = {"sampling": "triplets", "triplet_strategy": "basic", "triplet_mining": "hard"}
HARD_STEPS, HARD_ENDED, EPOCH = 20, 18, 15  # 30 triples, 2 in a batch: the end is within the second epoch


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("resumed")
    terms = COMMON | TERMS | {"train_iterations": STEPS, "save_picture_steps": 5}
    hard = COMMON | HARD | {"train_iterations": HARD_STEPS, "save_picture_steps": None}
    options = {"terms": terms, "terms part": terms, "hard": hard, "hard part": hard}
    made = {name: make_run(folder / name, dataset, **values) for name, values in options.items()}
    done = train_several(
        made["terms"],
        [made["terms part"], *setting(train_iterations=ENDED)],
        made["hard"],
        [made["hard part"], *setting(train_iterations=HARD_ENDED)],
    )
    made["cut"] = Path(shutil.copytree(made["hard part"], folder / "cut"))
    made["hard ended"] = Path(shutil.copytree(made["hard part"], folder / "hard ended"))
    kept = made["cut"] / "triples" / "epoch-1.npy"
    kept.write_bytes(kept.read_bytes()[:200])
    done += train_several(*(made[name] for name in ("terms part", "hard part", "cut")))
    assert [result.returncode for result in done] == [0] * 7, [result.stderr for result in done]
    assert f"resumed from {made['terms part']}/checkpoints/ckpt-{ENDED}" in done[4].stdout
    return made


@pytest.fixture(scope="module")
def without_triples(tmp_path_factory: pytest.TempPathFactory, runs: dict[str, Path]) -> dict[str, Path]:
    """Runs that find triples of another data set, or none, when they go on."""
    folder = tmp_path_factory.mktemp("without triples")
    made = {name: Path(shutil.copytree(runs["hard ended"], folder / name)) for name in ("foreign", "gone")}
    save_triples(made["foreign"] / "triples", 1, load_triples(made["foreign"] / "triples", 1) + 1)
    (made["gone"] / "triples" / "epoch-1.npy").unlink()
    done = train_several(*made.values())
    assert [result.returncode for result in done] == [0, 0], [result.stderr for result in done]
    return made


def losses(run: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_json_lines(run / "metrics.jsonl")]


def mined(run: Path) -> list[str]:
    """The lines of the log about mining, without the time of day."""
    lines = (run / "train.log").read_text().splitlines()
    return [line.split(" ", 2)[2] for line in lines if "hard triples mined" in line]


def test_resuming_with_memory_and_terms_changes_no_bit(runs):
    assert_same_bits(runs["terms"], runs["terms part"], STEPS)
    names = " ".join(checkpoint_values(runs["terms"], STEPS))
    assert all(part in names for part in ("memory/_embeddings", "memory/_labels", "memory/_added", "_centers"))
    assert "classification/classifier" in names
    assert losses(runs["terms"]) == losses(runs["terms part"])
    assert len(losses(runs["terms"])) == STEPS


def test_the_memory_holds_the_last_batches(runs, dataset):
    """Each as it was embedded when it was trained on: the detailed log has that."""
    values = checkpoint_values(runs["terms"], STEPS)
    held = {name.split("/")[1]: value for name, value in values.items() if name.startswith("memory/")}
    assert held["_added"] == (STEPS - TERMS["warmup_steps"]) * 8
    log = read_detailed_log(runs["terms"] / "detailed")
    size = TERMS["memory_size"]
    newest = {row.tobytes() for row in log.emb.reshape(-1, 8)[-size:]}
    assert {row.tobytes() for row in held["_embeddings"]} == newest
    assert len(newest) == size


def test_figures_of_the_terms_are_written(runs):
    wanted = {"triplet_loss", "classification_loss", "classification_accuracy", "center_loss"}
    wanted |= {f"{name}_p{p}" for name in ("anchor_loss", "hardest_positive", "hardest_negative") for p in (5, 50, 95)}
    wanted |= {"embedding_norm", "embedding_std", "embedding_std_min", "effective_rank", "valid_terms"}
    found = events(runs["terms"] / "train")
    for line in read_json_lines(runs["terms"] / "metrics.jsonl"):
        assert wanted <= set(line)
        assert all(np.isfinite(value) for value in line.values())
        auxiliary = 0.5 * line["classification_loss"] + 0.1 * line["center_loss"]
        assert line["loss"] == pytest.approx(line["triplet_loss"] + auxiliary, rel=1e-5)
        for name in ("anchor_loss", "hardest_positive", "hardest_negative"):
            assert line[f"{name}_p5"] <= line[f"{name}_p50"] <= line[f"{name}_p95"]
        assert line["embedding_std_min"] <= line["embedding_std"]
        assert 1 <= line["effective_rank"] <= 7
    assert all((step, "scalars") in found[name] for name in wanted for step in range(1, STEPS + 1))


def test_tensorboard_has_histograms_and_pictures(runs):
    found = events(runs["terms"] / "train")
    histograms = {name for name, points in found.items() if (1, "histograms") in points}
    assert {"anchor_loss", "distance/all", "distance/positive", "distance/negative"} <= histograms
    assert any("embedding_norm" in name for name in histograms)
    for name in histograms:
        steps = [step for step, kind in found[name] if kind == "histograms"]
        assert steps == list(range(1, STEPS + 1)), name
    assert found["hardest_triplets"] == [(step, "images") for step in (1, 5, 10)]
    assert found["batch"] == [(1, "images")]  # of the first step of every start


def test_no_two_things_have_one_name_in_tensorboard(runs):
    """It shows only one of them."""
    for run in ("terms", "hard"):
        for name, points in events(runs[run] / "train").items():
            assert len({kind for _, kind in points}) == 1, name


def test_without_picture_steps_there_are_no_pictures_of_triplets(runs):
    assert "hardest_triplets" not in events(runs["hard"] / "train")


# The detailed log


@pytest.mark.parametrize("name", ["terms", "terms part", "hard", "hard part"])
def test_the_detailed_log_has_every_step(runs, name):
    run = RunFolder(runs[name])
    log = read_detailed_log(run.detailed_log)
    lines = read_json_lines(run.metrics)
    steps = [line["step"] for line in lines]
    assert log.steps.tolist() == steps == list(range(1, len(steps) + 1))
    np.testing.assert_array_equal(log.losses, np.array([line["loss"] for line in lines], np.float32))
    anchors = 2 if "hard" in name else 8  # of triples, each first image
    triplet = log.anchor_losses.sum(axis=1) / anchors
    np.testing.assert_allclose(triplet, [line["triplet_loss"] for line in lines], rtol=1e-5)
    lengths = np.linalg.norm(log.emb, axis=2).mean(axis=1)
    np.testing.assert_allclose(lengths, [line["embedding_norm"] for line in lines], rtol=1e-5)


def test_the_detailed_log_has_the_sampler_s_images(runs):
    params = RunFolder(runs["terms"]).load_params()
    data = load_training_set(params)
    log = read_detailed_log(runs["terms part"] / "detailed")
    assert log.images.tolist() == [data.sampler.batch(step).tolist() for step in range(STEPS)]
    assert log.paths == data.images.manifest.files()


@pytest.mark.parametrize("kind", ["terms", "hard"])
def test_the_detailed_log_of_a_resumed_run_is_that_of_a_whole_one(runs, kind):
    whole, part = (read_detailed_log(runs[name] / "detailed") for name in (kind, f"{kind} part"))
    for name in ("steps", "losses", "emb", "anchor_losses", "images"):
        assert getattr(whole, name).tobytes() == getattr(part, name).tobytes(), name


def test_the_detailed_log_is_written_with_each_checkpoint(runs):
    """Also with those where an epoch of hard triples begins."""
    last = {"terms": [STEPS], "terms part": [ENDED, STEPS], "hard": [EPOCH, HARD_STEPS]}
    for name, steps in last.items():
        files = sorted((runs[name] / "detailed").glob("*.npz"))
        assert [int(file.stem) for file in files] == steps


# Hard triples


def test_resuming_within_an_epoch_of_hard_triples_changes_no_bit(runs):
    assert_same_bits(runs["hard"], runs["hard part"], HARD_STEPS)
    assert losses(runs["hard"]) == losses(runs["hard part"])
    for name in ("hard", "hard part"):
        assert mined(runs[name]) == [f"step {step}: 30 hard triples mined from ckpt-{step}" for step in (0, EPOCH)]
        files = sorted((runs[name] / "triples").iterdir())
        assert [file.name for file in files] == ["epoch-0.npy", "epoch-1.npy"]


def test_hard_triples_are_the_hardest_of_their_checkpoint(runs):
    run = RunFolder(runs["hard"])
    params = run.load_params()
    data = load_training_set(params)
    codes, model = data.sampler.codes, build_embedder(params)
    for epoch, step in enumerate((0, EPOCH)):
        restore_model(run.checkpoints / f"ckpt-{step}", model)
        e = Embedder(model, params).embed(data.images.manifest.files(), data.images.orientations).astype(float)
        for a, positive, negative in load_triples(run.triples, epoch):
            d = [np.linalg.norm(e[a] - other) for other in e]
            assert codes[positive] == codes[a] != codes[negative]
            assert d[positive] == pytest.approx(max(d[i] for i in range(30) if codes[i] == codes[a]), rel=1e-5)
            assert d[negative] == pytest.approx(min(d[i] for i in range(30) if codes[i] != codes[a]), rel=1e-5)


@pytest.mark.parametrize("name", ["hard", "hard part"])
def test_batches_are_the_mined_triples(runs, name):
    log = read_detailed_log(runs[name] / "detailed")
    for epoch, batches in enumerate((log.images[:EPOCH], log.images[EPOCH:])):
        known = {tuple(triple) for triple in load_triples(runs[name] / "triples", epoch).tolist()}
        seen = [tuple(triple) for triple in batches.reshape(-1, 3).tolist()]
        assert set(seen) <= known
        assert len(set(seen)) == len(seen) == 2 * len(batches)


@pytest.mark.parametrize("name", ["cut", *(pytest.param(name, marks=pytest.mark.slow) for name in ("foreign", "gone"))])
def test_triples_that_are_no_use_are_mined_anew(runs, name, request):
    run = runs["cut"] if name == "cut" else request.getfixturevalue("without_triples")[name]
    again = f"step {HARD_ENDED}: 30 hard triples mined from ckpt-{HARD_ENDED}"
    assert mined(run) == [*mined(runs["hard"]), again]
    assert (run / "DONE").read_text() == f"{HARD_STEPS}\n"
    assert load_triples(run / "triples", 1) is not None
