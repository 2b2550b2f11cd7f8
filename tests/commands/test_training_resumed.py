"""Trainings with memory, auxiliary terms, hard triples and a detailed log, resumed or not.

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
from model.run.event_tags import training_tag
from model.run.restore import restore_model
from model.run.run_folder import RunFolder
from model.run.triples_file import load_triples, save_triples
from model.training.detailed_log import read_detailed_log
from model.training.hard_triples import hardest_triples
from runtime.json_files import read_json_lines

COMMON = {"deterministic": True, "detailed_log": True, "save_summary_steps": 1, "save_checkpoints_steps": 1000}
TERMS = {"triplet_strategy": "batch_sample", "memory_size": 20, "warmup_steps": 2, "center_loss_weight": 0.1}
TERMS |= {"classification_weight": 0.5, "label_smoothing": 0.1}
STEPS, ENDED = 12, 5  # the run with all terms
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
    made["hard ended"] = Path(shutil.copytree(made["hard part"], folder / "hard ended"))
    done += train_several(made["terms part"], made["hard part"])
    assert [result.returncode for result in done] == [0] * 6, [result.stderr for result in done]
    assert f"resumed from {made['terms part']}/checkpoints/ckpt-{ENDED}" in done[4].stdout
    return made


def mined(run: Path) -> list[str]:
    """The log lines about mining, without date and time."""
    lines = (run / "train.log").read_text().splitlines()
    return [line.split(" ", 2)[2] for line in lines if "hard triples mined" in line]


@pytest.mark.parametrize(("kind", "steps"), [("terms", STEPS), ("hard", HARD_STEPS)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(runs, kind, steps):
    """In weights, memory, centres and the detailed log."""
    one, two = runs[kind], runs[f"{kind} part"]
    assert_same_bits(one, two, steps)
    whole, part = (read_detailed_log(run / "detailed") for run in (one, two))
    for name in ("steps", "losses", "emb", "anchor_losses", "images"):
        assert getattr(whole, name).tobytes() == getattr(part, name).tobytes(), name


def test_the_memory_holds_the_last_batches(runs, dataset):
    """With the embeddings of their own step, which the detailed log has."""
    values = checkpoint_values(runs["terms"], STEPS)
    assert all(part in " ".join(values) for part in ("_centers", "classification/classifier"))
    held = {name.split("/")[1]: value for name, value in values.items() if name.startswith("memory/")}
    assert held["_added"] == (STEPS - TERMS["warmup_steps"]) * 8
    log = read_detailed_log(runs["terms"] / "detailed")
    size = TERMS["memory_size"]
    newest = {row.tobytes() for row in log.emb.reshape(-1, 8)[-size:]}
    assert {row.tobytes() for row in held["_embeddings"]} == newest
    assert len(newest) == size


def test_metrics_of_the_terms_are_written(runs):
    wanted = {"triplet_loss", "classification_loss", "classification_accuracy", "center_loss"}
    wanted |= {f"{name}_p{p}" for name in ("anchor_loss", "hardest_positive", "hardest_negative") for p in (5, 50, 95)}
    wanted |= {"embedding_norm", "embedding_std", "embedding_std_min", "effective_rank", "valid_terms"}
    found = events(runs["terms"] / "train")
    for line in read_json_lines(runs["terms"] / "metrics.jsonl"):
        assert wanted <= set(line)
        assert all(np.isfinite(value) for value in line.values())
        auxiliary = 0.5 * line["classification_loss"] + 0.1 * line["center_loss"]
        assert line["loss"] == pytest.approx(line["triplet_loss"] + auxiliary, rel=1e-5)
    assert all((step, "scalars") in found[training_tag(name)] for name in wanted for step in range(1, STEPS + 1))


def test_tensorboard_has_histograms_and_pictures(runs):
    found = events(runs["terms"] / "train")
    histograms = {name for name, points in found.items() if (1, "histograms") in points}
    distances = {f"distances/{which}" for which in ("all", "positive", "negative")}
    assert histograms == {"loss/anchor_loss", "embedding/embedding_norms"} | distances
    for name in histograms:
        steps = [step for step, kind in found[name] if kind == "histograms"]
        assert steps == list(range(1, STEPS + 1)), name
    assert found["mining/hardest_triplets"] == [(step, "images") for step in (1, 5, 10)]
    assert found["mining/batch"] == [(1, "images")]  # the first step after every start
    hard = events(runs["hard"] / "train")
    assert "mining/hardest_triplets" not in hard  # without save_picture_steps
    for name, points in [*found.items(), *hard.items()]:  # TensorBoard shows only one kind per tag
        assert len({kind for _, kind in points}) == 1, name


# The detailed log


@pytest.mark.parametrize("name", ["terms", "hard"])
def test_the_detailed_log_has_every_step(runs, name):
    run = RunFolder(runs[name])
    log = read_detailed_log(run.detailed_log)
    lines = read_json_lines(run.metrics)
    steps = [line["step"] for line in lines]
    assert log.steps.tolist() == steps == list(range(1, len(steps) + 1))
    np.testing.assert_array_equal(log.losses, np.array([line["loss"] for line in lines], np.float32))
    anchors = 2 if name == "hard" else 8  # the first image of each triple
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
    # It is written with each checkpoint, including those at the start of an epoch of hard triples.
    for name, steps in {"terms": [STEPS], "terms part": [ENDED, STEPS], "hard": [EPOCH, HARD_STEPS]}.items():
        assert sorted(int(file.stem) for file in (runs[name] / "detailed").glob("*.npz")) == steps


# Hard triples


def test_hard_triples_are_the_hardest_of_their_checkpoint(runs):
    run = RunFolder(runs["hard"])
    params = run.load_params()
    data = load_training_set(params)
    model = build_embedder(params)
    for epoch, step in enumerate((0, EPOCH)):
        restore_model(run.checkpoints / f"ckpt-{step}", model)
        embeddings = Embedder(model, params).embed(data.images.manifest.files(), data.images.orientations)
        expected = hardest_triples(embeddings, data.sampler.codes, params.metric)
        np.testing.assert_array_equal(load_triples(run.triples, epoch), expected)


def test_batches_are_the_mined_triples(runs):
    log = read_detailed_log(runs["hard"] / "detailed")
    for epoch, batches in enumerate((log.images[:EPOCH], log.images[EPOCH:])):
        known = {tuple(triple) for triple in load_triples(runs["hard"] / "triples", epoch).tolist()}
        seen = [tuple(triple) for triple in batches.reshape(-1, 3).tolist()]
        assert set(seen) <= known
        assert len(set(seen)) == len(seen) == 2 * len(batches)


def test_an_epoch_is_mined_once(runs):
    for name in ("hard", "hard part"):
        assert mined(runs[name]) == [f"step {step}: 30 hard triples mined from ckpt-{step}" for step in (0, EPOCH)]
        assert {file.name for file in (runs[name] / "triples").iterdir()} == {"epoch-0.npy", "epoch-1.npy"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda triples: (triples / "epoch-1.npy").write_bytes(b"cut short"),
        # From another data set:
        pytest.param(lambda triples: save_triples(triples, 1, load_triples(triples, 1) + 1), marks=pytest.mark.slow),
        pytest.param(lambda triples: (triples / "epoch-1.npy").unlink(), marks=pytest.mark.slow),
    ],
)
def test_unusable_triples_are_mined_again(runs, tmp_path, damage):
    run = Path(shutil.copytree(runs["hard ended"], tmp_path / "run"))
    damage(run / "triples")
    (done,) = train_several(run)
    assert done.returncode == 0, done.stderr
    again = f"step {HARD_ENDED}: 30 hard triples mined from ckpt-{HARD_ENDED}"
    assert mined(run) == [*mined(runs["hard"]), again]
    assert (run / "DONE").read_text() == f"{HARD_STEPS}\n"
    assert load_triples(run / "triples", 1) is not None
