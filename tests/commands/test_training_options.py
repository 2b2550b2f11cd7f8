"""Trainings with each of the options: every strategy on every sampling, several devices, the alarm."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, setting, train_several
from helpers.tiny import make_dataset, make_run
from helpers.training_results import assert_two_devices_train_alike, checkpoint_values, train_smoothly
from PIL import Image

from model.run.triples_file import load_triples
from model.training.detailed_log import read_detailed_log
from runtime import plugins
from runtime.json_files import read_json_lines

STRATEGIES = plugins.choices("model.losses.strategies")
SAMPLINGS = ("pk", "uniform", "triplets")
FITTING = [(s, k) for s in STRATEGIES for k in SAMPLINGS if s != "basic" or k == "triplets"]
# The fast tests have every strategy and every sampling, but not all of one with all of the other.
QUICK = {(s, "triplets" if s == "basic" else SAMPLINGS[i % 3]) for i, s in enumerate(STRATEGIES)}
TERMS = {
    "memory_size": 20,
    "classification_weight": 0.5,
    "classification_temperature": 0.5,
    "center_loss_weight": 0.1,
}


def looked_at(request: pytest.FixtureRequest, *names: str) -> set[tuple]:
    """Values of these parameters in the selected tests that use the fixture: no other runs need be trained."""
    tests = [t for t in request.session.items if t.path == request.path and request.fixturename in t.fixturenames]
    return {tuple(test.callspec.params[name] for name in names) for test in tests}


# Strategies and samplings


@pytest.fixture(scope="module")
def fitting(request, tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> dict[tuple[str, str], Path]:
    """Two steps with every strategy on every sampling."""
    folder = tmp_path_factory.mktemp("fitting")
    options = {"train_iterations": 2, "save_summary_steps": 1, "detailed_log": True, "save_picture_steps": 1}
    runs = {
        (strategy, sampling): make_run(
            folder / f"{strategy} {sampling}", dataset, triplet_strategy=strategy, sampling=sampling, **options
        )
        for strategy, sampling in sorted(looked_at(request, "strategy", "sampling"))
    }
    done = train_several(*runs.values())
    failed = {pair: result.stderr for pair, result in zip(runs, done, strict=True) if result.returncode}
    assert not failed
    return runs


@pytest.mark.parametrize(
    ("strategy", "sampling"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in FITTING],
)
def test_every_strategy_trains_on_every_sampling(fitting, strategy, sampling):
    run = fitting[strategy, sampling]
    lines = read_json_lines(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    log = read_detailed_log(run / "detailed")
    assert log.emb.shape == (2, 6 if sampling == "triplets" else 8, 8)
    identities = np.array([Path(path).parent.name for path in log.paths])[log.images]
    if sampling == "pk":
        assert (identities[:, ::2] == identities[:, 1::2]).all()
    if sampling == "triplets":
        assert (identities[:, ::3] == identities[:, 1::3]).all()
        assert (identities[:, ::3] != identities[:, 2::3]).all()
    if sampling != "uniform":  # there chance decides whether there is a triplet
        assert lines[0]["loss"] > 0
        before, after = (checkpoint_values(run, step) for step in (0, 2))
        assert any(not np.array_equal(before[name], after[name]) for name in before if name.startswith("backbone/"))
    if strategy == "basic":
        assert [line["valid_terms"] for line in lines] == [2, 2]
        others = np.delete(log.anchor_losses, [0, 3], axis=1)
        assert not others.any()


# Two devices


PAIRS = {
    "terms": TERMS | {"triplet_strategy": "batch_all"},
    "batch_hard": {"triplet_strategy": "batch_hard"},
    "tf_batch_semi_hard": {"triplet_strategy": "tf_batch_semi_hard"},
    "6 images": {"sampling": "triplets", "triplet_strategy": "basic"},
    "12 images, hard": {
        "sampling": "triplets",
        "triplet_strategy": "basic",
        "triplet_mining": "hard",
        "batch_k": 3,
        "train_iterations": 10,  # 8 of them are an epoch
    },
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "terms" else pytest.mark.slow) for name in PAIRS]
)
def test_two_devices_equal_one(dataset, tmp_path, name):
    # A margin of 1 leaves some triplets inactive, so that the replicas' counts differ.
    options = {"margin": 1.0, "learning_rate": 0.1, "detailed_log": True, "save_summary_steps": 1}
    one, two = make_run(tmp_path / "one", dataset, **options | PAIRS[name]), tmp_path / "two"
    assert train_smoothly(one).returncode == 0
    last = PAIRS[name].get("train_iterations", 4)
    # Each device has a copy of memory and centres, which a second start must restore on both.
    ends = [2, last] if name == "terms" else [last]
    assert_two_devices_train_alike(one, two, *ends, atol=2e-5 if name in STRATEGIES else 1e-4)
    assert 0 < read_json_lines(one / "metrics.jsonl")[-1]["active_fraction"] < 1 or "images" in name
    logs = [read_detailed_log(run / "detailed") for run in (one, two)]
    np.testing.assert_array_equal(logs[0].images, logs[1].images)
    np.testing.assert_allclose(logs[0].anchor_losses, logs[1].anchor_losses, atol=1e-3)
    if name == "terms":
        values = checkpoint_values(two, last)
        assert values["memory/_added/.ATTRIBUTES/VARIABLE_VALUE"] == last * 8
        assert any("_centers" in key and np.abs(value).max() > 0 for key, value in values.items())
    if PAIRS[name].get("triplet_mining") == "hard":
        for epoch in (0, 1):
            np.testing.assert_array_equal(*(load_triples(run / "triples", epoch) for run in (one, two)))


# Other runs, trained in one process


def noise(folder: Path) -> Path:
    """A data set of which nothing can be learned."""
    data, random = make_dataset(folder), np.random.default_rng(3)
    for file in sorted((data / "images").rglob("*.jpg")):
        Image.fromarray(random.integers(0, 256, (24, 24, 3)).astype(np.uint8)).save(file)
    return data


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, dataset: Path, trained: Path) -> dict:
    """The results of several trainings; some of one folder, one after the other."""
    folder = tmp_path_factory.mktemp("others")
    steep = {"learning_rate": 10, "train_iterations": 120, "save_summary_steps": 20}
    infinite = {"sampling": "triplets", "triplet_strategy": "basic", "triplet_mining": "hard"}
    infinite |= {"learning_rate": 1e30, "batch_p": 6, "batch_k": 15}  # an epoch is one step
    rich = make_run(folder / "rich", dataset, **TERMS)
    plain = Path(shutil.copytree(trained, folder / "plain"))
    dropped = setting(memory_size=0, classification_weight=0, center_loss_weight=0)
    runs = {
        "steep": make_run(folder / "steep", noise(folder / "noise"), **steep),
        "infinite": make_run(folder / "infinite", dataset, **infinite),
        "with memory": [plain, *setting(train_iterations=6, memory_size=8)],
        "rich": rich,
        "another memory": [rich, *setting(train_iterations=6, memory_size=5)],
        "dropped": [rich, *setting(train_iterations=6), *dropped],
        "taken up again": [rich, *setting(train_iterations=8)],
    }
    return dict(zip(runs, train_several(*runs.values()), strict=True)) | {"folder": folder}


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory, dataset: Path, trained: Path) -> dict:
    """The same for the slow tests."""
    folder = tmp_path_factory.mktemp("further")
    healthy = {"train_iterations": 120, "save_summary_steps": 20}
    plain = Path(shutil.copytree(trained, folder / "plain"))
    runs = {
        "healthy": make_run(folder / "healthy", dataset, **healthy),
        "with classification": [plain, *setting(train_iterations=6, classification_weight=0.1)],
        "with centres": [plain, *setting(train_iterations=6, center_loss_weight=0.1)],
    }
    return dict(zip(runs, train_several(*runs.values()), strict=True)) | {"folder": folder}


@pytest.mark.slow
def test_memory_and_classification_compiled_by_xla(others, dataset, tmp_path):
    run = make_run(tmp_path / "xla", dataset, jit_compile=True, triplet_strategy="batch_all", **TERMS)
    (done,) = train_several(run)
    assert done.returncode == 0, done.stderr
    lines = read_json_lines(run / "metrics.jsonl")
    plain = read_json_lines(others["folder"] / "rich" / "metrics.jsonl")
    assert lines[0]["classification_loss"] == pytest.approx(plain[0]["classification_loss"], rel=1e-4)
    assert lines[-1]["valid_terms"] > lines[0]["valid_terms"]  # the memory has been filled


@pytest.mark.parametrize(
    ("runs", "what"),
    [
        ("others", "with memory"),
        ("others", "another memory"),
        pytest.param("further", "with classification", marks=pytest.mark.slow),
        pytest.param("further", "with centres", marks=pytest.mark.slow),
    ],
)
def test_parts_that_the_checkpoint_has_not_are_refused(request, runs, what):
    result = request.getfixturevalue(runs)[what]
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert result.stderr.startswith("error: ")
    assert "a checkpoint of another architecture" in result.stderr
    assert "parameters of network and loss" in result.stderr


def test_parts_can_be_dropped_but_not_taken_up_again(others):
    assert others["dropped"].returncode == 0, others["dropped"].stderr
    assert "changed since the last start: memory_size 20 -> 0" in others["dropped"].stdout
    assert [line["step"] for line in read_json_lines(others["folder"] / "rich" / "metrics.jsonl")] == [1, 2, 4, 6]
    assert others["taken up again"].returncode == 2
    assert "a checkpoint of another architecture" in others["taken up again"].stderr


def test_embeddings_that_cannot_be_mined_stop_the_run(others):
    result, run = others["infinite"], others["folder"] / "infinite"
    assert (result.returncode, result.stderr.count("\n")) == (3, 1), result.stderr
    assert "no triples can be mined at step 1: embeddings, or distances between them, are not finite" in result.stderr
    assert f"the last good checkpoint is {run}/checkpoints/ckpt-0" in result.stderr
    assert not (run / "checkpoints" / "ckpt-1.index").exists()


def alarms(run: Path) -> list[str]:
    return [line for line in (run / "train.log").read_text().splitlines() if " warning: " in line or " note: " in line]


def test_a_training_that_diverges_is_warned_of(others):
    assert others["steep"].returncode == 0
    (warning,) = alarms(others["folder"] / "steep")
    assert "warning: diverged: embeddings grew beyond all use for 100 steps, at step" in warning
    assert "remedies: lower learning_rate" in warning
    assert warning.split(" ", 2)[2] in others["steep"].stdout


@pytest.mark.slow
def test_a_healthy_training_is_not_warned_of(further):
    assert further["healthy"].returncode == 0
    assert alarms(further["folder"] / "healthy") == []


@pytest.mark.slow
def test_the_alarm_as_it_is_by_default(tmp_path):
    options = {"learning_rate": 10, "use_batch_norm": False, "train_iterations": 200}
    run = make_run(tmp_path / "run", noise(tmp_path / "noise"), **options)
    assert command("train.py", "--model_dir", run).returncode == 0
    (warning,) = alarms(run)
    assert "warning: collapsed: " in warning or "warning: diverged: " in warning
    assert "remedies: lower learning_rate" in warning
