"""Invalid input: one clear line, exit code 2, no traceback, before any work starts."""

import re
import shutil
from pathlib import Path

import pytest
from helpers.commands import command, process, setting
from helpers.tiny import make_run

IMAGE = "images/id 0/0.jpg"
HEADLESS = b"\xff\xd8\xff\xe0" + bytes(600) + b"\xff\xd9"  # a JPEG with valid first and last bytes only


def refused(*words: object) -> str:
    done = command(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_missing_params_json(tmp_path):
    for words in (["train.py"], ["evaluate.py"], ["embed.py", "--dataset", "x.csv", "--filename", "x.h5"]):
        assert "params.json: no such file" in refused(*words, "--model_dir", tmp_path)


@pytest.mark.parametrize(
    ("params", "words", "message"),
    [
        ({"learning_rte": 0.1}, [], "unknown parameter 'learning_rte'; did you mean 'learning_rate'"),
        ({}, ["--set", "bach_p=3"], "did you mean 'batch_p'"),
        ({"model_type": "mobilenet_v2"}, [], "mobilenet_v2 with image_size 16"),
        ({"batch_p": 7}, [], "batch_p is 7, but the training set has only 6 identities"),
        ({}, ["--set", "dataset=nothing"], "python -m dataset.prepare"),
        ({"warm_start_from": "weights.h5"}, [], "warm_start_from 'weights.h5': it must be"),
        ({}, ["--device", "tpu"], "auto, cpu, gpu or gpu:N"),
        ({}, ["--device", "gpu:1"], "TensorFlow sees 0 GPUs"),
        # These would otherwise be found only by the evaluator:
        ({}, ["--set", "best_metric=val_eval/nope"], "that set has"),
        ({}, ["--set", 'eval_sets=["nope"]'], "no set 'nope'"),
        ({"triplet_mining": "hard", "sampling": "uniform"}, [], "'hard' needs sampling 'triplets', not 'uniform'"),
        ({"label_smoothing": 1}, [], "label_smoothing is 1; it must be a number >= 0, < 1"),
    ],
)
def test_parameters_and_options(dataset, tmp_path, params, words, message):
    run = make_run(tmp_path / "run", dataset, **params)
    assert re.search(message, refused("train.py", "--model_dir", run, *words))
    assert not list(run.glob("checkpoints/*"))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (IMAGE, lambda file: file.unlink(), f"{IMAGE}: no such file"),
        (IMAGE, lambda file: file.write_bytes(file.read_bytes()[:300]), IMAGE),
        (IMAGE, lambda file: file.write_bytes(HEADLESS), IMAGE),
        ("train.csv", lambda file: file.write_text(""), "train.csv: no images in it"),
        # This would otherwise be found only by the evaluator:
        ("query.csv", lambda file: file.write_text("identity,path\na,gone.jpg\n"), "gone.jpg: no such file"),
    ],
)
def test_a_data_set_that_is_broken_is_refused_before_training(own_dataset, tmp_path, file, damage, message):
    damage(own_dataset / file)
    run = make_run(tmp_path / "run", own_dataset)
    assert message in refused("train.py", "--model_dir", run)
    assert not list(run.glob("checkpoints/*"))


def test_an_incomplete_evaluation_set_is_refused_before_images_are_opened(own_dataset, tmp_path):
    (own_dataset / "gallery.csv").unlink()
    (own_dataset / IMAGE).write_bytes(b"")
    message = refused("train.py", "--model_dir", make_run(tmp_path / "run", own_dataset))
    assert "there is a query.csv but no gallery.csv" in message


def test_corrupt_image_that_only_decoding_finds(own_dataset, tmp_path):
    """An unchecked file is named as soon as a batch needs it. The steps before are kept."""
    for image in (own_dataset / "images" / "id 0").glob("*.jpg"):
        image.write_bytes(image.read_bytes()[:300])
    run = make_run(tmp_path / "run", own_dataset, check_images="off", batch_p=2, seed=1, train_iterations=50)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]  # the JPEG library may print lines before it
    assert last.startswith(f"error: {own_dataset}/images/id 0/")
    assert "corrupt image data" in last
    assert "Traceback" not in done.stderr
    full = command("train.py", "--model_dir", run, *setting(check_images="headers", corrupt_images="skip"))
    assert full.returncode == 0, full.stderr
    assert "5 broken images skipped" in full.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding_size": 9},
        pytest.param({"num_channels": [8, 8, 8]}, marks=pytest.mark.slow),
        pytest.param({"model_type": "mobilenet_v2", "image_size": 32}, marks=pytest.mark.slow),
    ],
)
def test_checkpoint_of_another_architecture(trained, tmp_path, changes):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    record = (run / "params.resolved.json").read_bytes()
    words = setting(train_iterations=9, **changes)
    assert "a checkpoint of another architecture" in refused("train.py", "--model_dir", run, *words)
    assert (run / "params.resolved.json").read_bytes() == record
    assert (run / "DONE").read_text() == "4\n"  # or an evaluator would wait for a training that has ended
    assert "a checkpoint of another architecture" in refused("evaluate.py", "--model_dir", run, "--once", *words)


def test_unwritable_run_folder(dataset, tmp_path):
    run = make_run(tmp_path / "run", dataset)
    (run / "checkpoints").write_text("a file where a folder must be")
    assert "cannot write into the run folder" in refused("train.py", "--model_dir", run)
    nothing = refused("train.py", "--model_dir", "/proc/run", "--params", run / "params.json")
    assert "cannot write into the run folder /proc/run" in nothing


def test_evaluating_and_embedding_missing_files(dataset, tmp_path, trained):
    run = make_run(tmp_path / "run", dataset)
    assert "no checkpoint to evaluate yet" in refused("evaluate.py", "--model_dir", run, "--once")
    words = ["embed.py", "--dataset", dataset / "test.csv", "--filename", tmp_path / "o.h5", "--model_dir"]
    assert "there is no checkpoint in it yet" in refused(*words, run)
    assert "no.csv: no such file" in refused(*words, trained, "--dataset", tmp_path / "no.csv")


def test_no_evaluation_set(own_dataset, tmp_path, trained):
    for file in ("episodes/val_eval.csv", "query.csv", "gallery.csv", "test.csv"):
        (own_dataset / file).unlink()
    run = shutil.copytree(trained, tmp_path / "run")  # evaluate.py makes a folder in it
    words = ["--model_dir", run, *setting(dataset=str(own_dataset))]
    assert "there is no evaluation set in it" in refused("evaluate.py", *words, "--once")
    for name in ("plateau_evaluations", "early_stopping_evaluations"):
        message = refused("train.py", *words, *setting(train_iterations=9, **{name: 3}))
        assert f"{name} needs an evaluation set, but {own_dataset} has none; set it to null" in message


@pytest.mark.parametrize("old", ["results.jsonl", "best.json"])
def test_results_of_checkpoints_that_are_gone_are_refused(dataset, tmp_path, old):
    run = make_run(tmp_path / "run", dataset)
    (run / old).touch()
    assert "is from checkpoints that no longer exist" in refused("train.py", "--model_dir", run)


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_a_missing_data_set_is_refused_before_tensorflow_is_loaded(script, run):
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


def test_an_exported_model_is_no_run(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    done = command("embed.py", "--model_dir", tmp_path, "--dataset", tmp_path, "--filename", tmp_path / "v.npy")
    assert done.returncode == 2
    assert "an exported model; this command needs a run" in done.stderr
