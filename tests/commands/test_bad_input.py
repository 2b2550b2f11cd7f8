"""A user's mistakes: one clear line, exit code 2, no traceback, and before anything is started."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.commands import command, process
from helpers.tiny import make_run

from dataset.formats.prepared import open_prepared
from runtime.errors import UserError


def refused(*words: object) -> str:
    done = command(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def first_image(dataset: Path) -> Path:
    return dataset / (dataset / "train.csv").read_text().splitlines()[1].partition(",")[2]


def test_missing_params_json(tmp_path):
    for words in (["train.py"], ["evaluate.py"], ["embed.py", "--dataset", "x.csv", "--filename", "x.h5"]):
        assert "params.json: no such file" in refused(*words, "--model_dir", tmp_path)


def test_malformed_json(tmp_path):
    (tmp_path / "params.json").write_text('{"margin": 0.5\n "seed": 1}')
    assert "malformed JSON: Expecting ',' delimiter: line 2" in refused("train.py", "--model_dir", tmp_path)


@pytest.mark.parametrize(
    ("params", "words", "message"),
    [
        ({"learning_rte": 0.1}, [], "unknown parameter 'learning_rte'; did you mean 'learning_rate'"),
        ({}, ["--set", "bach_p=3"], "did you mean 'batch_p'"),
        ({"model_type": "resnet_50"}, [], "unknown name 'resnet_50'.*inception_resnet_v2"),
        ({"model_type": "mobilenet_v2"}, [], "mobilenet_v2 with image_size 16"),
        ({"batch_p": 7}, [], "batch_p is 7, but the training set has only 6 identities"),
        ({}, ["--set", "dataset=nothing"], "python -m dataset.prepare"),
        ({"warm_start_from": "weights.h5"}, [], "warm_start_from 'weights.h5': it must be"),
        ({}, ["--device", "tpu"], "auto, cpu, gpu or gpu:N"),
        ({}, ["--device", "gpu:1"], "TensorFlow sees 0 GPUs"),
        # What only the evaluator would find:
        ({}, ["--set", "best_metric=val_eval/nope"], "that set has"),
        ({}, ["--set", 'eval_sets=["nope"]'], "no set 'nope'"),
        # Options that do not fit each other:
        ({"triplet_strategy": "basic"}, [], "it needs sampling 'triplets', not 'pk'"),
        ({"triplet_mining": "hard", "sampling": "uniform"}, [], "'hard' needs sampling 'triplets', not 'uniform'"),
        ({"triplet_strategy": "basic", "sampling": "triplets", "memory_size": 4}, [], "memory_size has no effect"),
        ({"sampling": "unifrom"}, [], "unknown name 'unifrom'; did you mean 'uniform'. The choices are"),
        ({"label_smoothing": 1}, [], "label_smoothing is 1; it must be number >= 0, < 1"),
    ],
)
def test_parameters_and_options(dataset, tmp_path, params, words, message):
    run = make_run(tmp_path / "run", dataset, **params)
    assert re.search(message, refused("train.py", "--model_dir", run, *words))
    assert not list(run.glob("checkpoints/*"))


def test_csv_with_a_missing_file(own_dataset, tmp_path):
    image = first_image(own_dataset)
    image.unlink()
    run = make_run(tmp_path / "run", own_dataset)
    assert f"{image}: no such file" in refused("train.py", "--model_dir", run)
    assert not list(run.glob("checkpoints/*"))


@pytest.mark.parametrize("text", ["", "identity,path\n"])
def test_empty_csv(own_dataset, tmp_path, text):
    (own_dataset / "train.csv").write_text(text)
    run = make_run(tmp_path / "run", own_dataset)
    assert "train.csv: no images in it" in refused("train.py", "--model_dir", run)


def test_truncated_image_is_named_before_training(own_dataset, tmp_path):
    image = first_image(own_dataset)
    image.write_bytes(image.read_bytes()[:300])
    run = make_run(tmp_path / "run", own_dataset)
    assert str(image) in refused("train.py", "--model_dir", run)
    kept = command("train.py", "--model_dir", run, "--set", "corrupt_images=skip")
    assert kept.returncode == 0, kept.stderr
    assert "1 broken images left out" in kept.stdout


def test_jpeg_without_a_usable_header_is_named_before_training(own_dataset, tmp_path):
    image = first_image(own_dataset)
    data = image.read_bytes()
    image.write_bytes(data[:4] + b"\0" * (len(data) - 6) + data[-2:])  # whole at both ends
    run = make_run(tmp_path / "run", own_dataset)
    assert str(image) in refused("train.py", "--model_dir", run)


def test_corrupt_image_that_only_decoding_finds(own_dataset, tmp_path):
    """A file that was not looked at before: named as soon as a batch needs it, and what was done until then is kept."""
    for image in (own_dataset / "images" / "id 0").glob("*.jpg"):
        image.write_bytes(image.read_bytes()[:300])
    run = make_run(tmp_path / "run", own_dataset, check_images="off", batch_p=2, seed=1, train_iterations=50)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]  # before it may stand what the JPEG library prints
    assert last.startswith(f"error: {own_dataset}/images/id 0/")
    assert "corrupt image data" in last
    assert "Traceback" not in done.stderr
    kept = "corrupt_images=skip"
    full = command("train.py", "--model_dir", run, "--set", "check_images=headers", "--set", kept)
    assert full.returncode == 0, full.stderr
    assert "5 broken images left out" in full.stdout


@pytest.mark.parametrize(
    "changes",
    [
        ["embedding_size=9"],
        pytest.param(["num_channels=[8, 8, 8]"], marks=pytest.mark.slow),
        pytest.param(["model_type=mobilenet_v2", "image_size=32"], marks=pytest.mark.slow),
    ],
)
def test_checkpoint_of_another_architecture(trained, tmp_path, changes):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    record = (run / "params.resolved.json").read_bytes()
    longer = ["--set", "train_iterations=9"]
    words = [word for change in changes for word in ("--set", change)]
    assert "a checkpoint of another architecture" in refused("train.py", "--model_dir", run, *longer, *words)
    assert (run / "params.resolved.json").read_bytes() == record
    message = refused("evaluate.py", "--model_dir", run, "--once", *words)
    assert "a checkpoint of another architecture" in message


def test_unwritable_run_folder(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset)
    (run / "checkpoints").write_text("a file where a folder must be")
    assert "cannot write into the run folder" in refused("train.py", "--model_dir", run)
    nothing = refused("train.py", "--model_dir", "/proc/run", "--params", run / "params.json")
    assert "cannot write into the run folder /proc/run" in nothing


def test_what_only_the_evaluator_would_find_is_found_before_training(own_dataset, tmp_path):
    run = make_run(tmp_path / "run", own_dataset)
    (own_dataset / "query.csv").write_text("identity,path\na,gone.jpg\n")
    assert "gone.jpg: no such file" in refused("train.py", "--model_dir", run)
    assert not list(run.glob("checkpoints/*"))


def test_a_short_trial_of_a_long_schedule_is_allowed_and_noted(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset, warmup_steps=4)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 0, done.stderr
    assert "note: warmup_steps is 4, but training ends at step 4" in done.stdout


def test_data_sets_are_found_from_any_folder(tmp_path, monkeypatch, dataset):
    monkeypatch.setattr("runtime.plugins.ROOT", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small").symlink_to(dataset)
    assert open_prepared("small").name == "tiny"
    with pytest.raises(UserError, match="did you mean 'small'"):
        open_prepared("smal")


def test_evaluating_and_embedding_what_is_not_there(dataset, tmp_path, trained):
    run = make_run(tmp_path / "run", dataset)
    assert "no checkpoint to evaluate yet" in refused("evaluate.py", "--model_dir", run, "--once")
    words = ["embed.py", "--dataset", dataset / "test.csv", "--filename", tmp_path / "o.h5", "--model_dir"]
    assert "there is no checkpoint in it yet" in refused(*words, run)
    assert "no.csv: no such file" in refused(*words, trained, "--dataset", tmp_path / "no.csv")


def test_no_evaluation_set(own_dataset, tmp_path, trained):
    for file in ("episodes/val_eval.csv", "query.csv", "gallery.csv", "test.csv"):
        (own_dataset / file).unlink()
    value = json.dumps(str(own_dataset))
    run = shutil.copytree(trained, tmp_path / "run")  # evaluate.py makes a folder in it
    message = refused("evaluate.py", "--model_dir", run, "--set", f"dataset={value}", "--once")
    assert "there is no evaluation set in it" in message


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_a_missing_data_set_is_answered_before_tensorflow(script, run):
    check = (
        "import sys\n"
        f"import {script}\n"
        "try:\n"
        f"    {script}.main(['--model_dir', {str(run.folder)!r}, '--set', 'dataset=nope'])\n"
        "except Exception as error:\n"
        '    sys.exit(f\'{error}; imported {sys.modules.keys() & {"tensorflow", "keras"}}\')\n'
    )
    done = process("-c", check)
    assert "there is no nope/dataset.json" in done.stderr
    assert done.stderr.endswith("imported set()\n")


def test_half_an_evaluation_set_is_answered_before_images_are_looked_at(own_dataset, tmp_path):
    (own_dataset / "gallery.csv").unlink()
    first_image(own_dataset).write_bytes(b"")
    message = refused("train.py", "--model_dir", make_run(tmp_path / "run", own_dataset))
    assert "there is a query.csv but no gallery.csv" in message
