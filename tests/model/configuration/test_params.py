import inspect
import json
import re

import pytest
from helpers.commands import ROOT, command, process
from pydantic import ValidationError

from model.configuration.loading import check_params, load_params, parse_overrides
from model.configuration.params import Params
from model.configuration.removed import REMOVED, from_record
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import write_json

# Removed parameters, as a run of an earlier version recorded them.
OLDER_RECORD = {
    "flip_probability": 0.5,
    "adam_epsilon": 1e-7,
    "collapse_steps": 100,
    "plateau_least_fraction": 0.001,
    "least_improvement": 0.0,
    "memory_start_step": 0,
    "embedding_norm_weight": 0.0,
    "eval_memory_gb": 1.0,
    "eval_picture_queries": 8,
    "eval_projector_images": 1000,
    "brightness_range": 0.2,
    "contrast_range": 0.2,
    "saturation_range": 0.2,
    "hue_range": 0.05,
}

# Keys of the original systems, with values as their users wrote them.
OLDER_KEYS = {
    "model_type": "inception_resnet_v2",
    "warm_start_from": "imagenet",
    "learning_rate": 5e-5,
    "num_epochs": 10,
    "only_one_step": False,
    "margin": 0.5,
    "triplet_strategy": "batch_hard",
    "squared": False,
    "use_batch_norm": True,
    "bn_momentum": 0.9,
    "num_channels": 32,
    "embedding_size": 128,
    "dataset": "imagenetvid",
    "image_size": [299, 299],
    "image_channels": 3,
    "num_parallel_calls": 4,
    "save_summary_steps": 50,
    "save_checkpoints_steps": 500,
    "eval_interval_secs": 60,
    "eval_run_once": False,
    "eval_timeout_secs": 3600,
    "preprocess": True,
    "prefetch_threads": 4,
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (OLDER_KEYS, {"image_shape": (299, 299), "margin": 0.5, "train_iterations": None}),
        ({"squared": True}, {"metric": "sqeuclidean"}),
        ({"squared": True, "metric": "sqeuclidean"}, {"metric": "sqeuclidean"}),
        ({"train_iterations": 7}, {"metric": "euclidean", "train_iterations": 7}),
        ({"num_epochs": 3}, {"num_epochs": 3, "train_iterations": None}),
        ({"image_size": [256, 128]}, {"pre_crop_shape": (288, 144)}),
        ({"image_size": 28, "pre_crop_size": [32, 30]}, {"pre_crop_shape": (32, 30)}),
    ],
)
def test_what_values_mean(values, expected):
    params = check_params(values, "x")
    assert {name: getattr(params, name) for name in expected} == expected
    assert check_params(json.loads(json.dumps(params.model_dump())), "x") == params  # resolved values are valid, too


@pytest.mark.parametrize("name", [*OLDER_RECORD, "freeze_batch_norm"])
def test_the_error_for_a_removed_parameter_says_what_to_do(name):
    with pytest.raises(UserError, match=re.escape(f"params.json: parameter {name!r} was removed: {REMOVED[name]}")):
        check_params({"seed": 1, name: 1}, "params.json")


def test_older_runs_resume_with_what_they_recorded(tmp_path):
    run = RunFolder(tmp_path)
    write_json(run.params_json, {"margin": 0.5})
    write_json(run.resolved_json, Params(margin=0.5).model_dump(exclude={"color_jitter_ranges"}) | OLDER_RECORD)
    assert run.load_trained_params() == run.load_params()
    assert run.changes(run.load_params()) == []
    assert set(OLDER_RECORD) | {"freeze_batch_norm"} == set(REMOVED)


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ({"hue_range": 0.5, "contrast_range": 0.0}, {"color_jitter_ranges": [0.2, 0.0, 0.2, 0.5]}),
        ({"freeze_batch_norm": True, "seed": 3}, {"batch_norm": "frozen", "seed": 3}),
        ({"freeze_batch_norm": False}, {"batch_norm": "train"}),
        ({"memory_start_step": 7, "warmup_steps": 7}, {"warmup_steps": 7}),
        ({"memory_start_step": 7, "warmup_steps": 0}, None),
        ({"adam_epsilon": 0.1}, None),
    ],
)
def test_what_a_record_means_now(recorded, now):
    if now is None:
        with pytest.raises(UserError, match=f"params.resolved.json: parameter '{next(iter(recorded))}' was removed"):
            from_record(recorded, "params.resolved.json")
    else:
        assert from_record(recorded, "x") == now


def test_defaults_are_valid():
    assert Params() == check_params({}, "x")


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"xyzzy": 0.1}, ["'xyzzy'", "python -m model.configuration.reference"]),
        ({"batch_p": "18"}, ["batch_p", '"18"', "integer >= 2", "identities in a batch"]),
        ({"batch_p": 1}, ["batch_p is 1", ">= 2"]),
        ({"batch_p": 2.5}, ["batch_p is 2.5"]),
        ({"margin": "sof"}, ["margin", '"soft" or "none"', "number >= 0"]),
        ({"margin": True}, ["margin is true"]),
        ({"margin": -1}, ["margin is -1"]),
        ({"learning_rate": float("inf")}, ["learning_rate"]),
        ({"triplet_strategy": "hardest"}, ["hardest", "batch_hard"]),
        ({"augmentation": ["flip"]}, ["augmentation", "horizontal_flip"]),
        ({"image_size": [1, 2, 3]}, ["image_size"]),
        ({"image_size": 64, "pre_crop_size": 32}, ["pre_crop_size", "smaller"]),
        ({"pre_crop_size": 80, "augmentation": []}, ["pre_crop_size", "random_crop"]),
        ({"pad_to_square": True, "image_size": [64, 32]}, ["pad_to_square", "[64, 32]"]),
        ({"eval_sets": []}, ["eval_sets"]),
        ({"train_iterations": 10**30}, ["train_iterations"]),
        ({"squared": True, "metric": "cityblock"}, ["squared", "cityblock"]),
        ({"num_epochs": 3, "train_iterations": 3}, ["num_epochs", "train_iterations"]),
        ({"train_iterations": None}, ["train_iterations"]),
        ({"image_channels": 4}, ["image_channels is 4", "1 or 3"]),
        ({"descriptors": "GS"}, ["descriptors", "head 'direct'", "'cgd'"]),
        ({"head": "cgd", "descriptors": "SX"}, ["descriptors", "S, M and G"]),
        ({"gem_p": 4.0}, ["gem_p", "without GeM"]),
        ({"head": "similarity", "pooling": "gem", "gem_p": 2.0}, ["gem_p", "without GeM"]),
        ({"color_jitter_ranges": [0.1, 0.1, 0.1, 0.6]}, ["hue of 0.6", "at most 0.5"]),
        ({"color_jitter_ranges": [0.1, 0.1, 0.1]}, ["list of 4"]),
        ({"triplet_strategy": "basic", "memory_size": 3}, ["memory_size has no effect with triplet_strategy 'basic'"]),
        ({"batch_all_mean": "nonzero"}, ["batch_all_mean", '"active" or "valid"']),
        ({"margin": float("nan")}, ["margin"]),
        ({"label_smoothing": 0.1}, ["label_smoothing has no effect without classification_weight"]),
        ({"whitening": "end", "head": "bnneck"}, ["head 'bnneck' has none"]),
        ({"whitening": "end", "pooling": "flatten"}, ["would need a huge matrix"]),
        ({"whitening": "start"}, ["'start' needs a trained backbone"]),
        ({"whitening": "end", "early_stopping_evaluations": 3}, ["drop early_stopping_evaluations"]),
        ({"augmentation": ["random_crop", "random_resized_crop"]}, ["an image is cropped once"]),
        ({"augmentation_pool": ["random_crop"], "augmentation_pool_count": [0, 1]}, ["cannot have random_crop"]),
        ({"frozen_stages": 3}, ["frozen_stages", "warm_start_from"]),
        ({"triplet_strategy": [[1, "batch_all"]]}, ["triplet_strategy", "begins at step 0"]),
        ({"triplet_strategy": [[0, "batch_al"]]}, ["triplet_strategy", "did you mean 'batch_all'"]),
        ({"triplet_strategy": [[0]]}, ["[0] must be [step, name]"]),
        ({"triplet_strategy": [[0, "basic"]]}, ["'basic' uses given triples"]),
        ({"triplet_strategy": [[0, "batch_all"], [0, "batch_hard"]]}, ["[0, 0] must be in ascending order"]),
        ({"triplet_strategy": 5}, ["triplet_strategy is 5", '"tf_batch_semi_hard" or list']),
        ({"augmentation_pool": ["grayscale"]}, ["augmentation_pool_count", "only 1"]),
        ({"batch_norm": "frozen"}, ["batch_norm", "needs warm_start_from"]),
        ({"last_stride": 3}, ["last_stride is 3", "1 or 2"]),
        ({"erasing_area": [0.4, 0.02]}, ["erasing_area", "[0.4, 0.02] must be [low, high]"]),
        ({"erasing_area": [0, 0.4]}, ["erasing_area", "numbers > 0, <= 1"]),
        ({"erasing_aspect": [0.3]}, ["erasing_aspect", "list of 2"]),
        ({"learning_rate_schedule": "step"}, ["needs decay_steps"]),
        ({"decay_steps": [10]}, ["decay_steps have no effect", "'constant'"]),
        ({"learning_rate_schedule": "step", "decay_steps": [10, 10]}, ["[10, 10] must be in ascending order"]),
    ],
)
def test_invalid_values_are_named(values, parts):
    with pytest.raises(UserError) as error:
        check_params(values, "params.json")
    message = str(error.value)
    assert message.startswith("params.json: ")
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_overrides():
    values = {"a": 1, "b": "x", "c": "x=y", "d": [1, 2], "e": None}
    assert parse_overrides(["a=1", 'b="x"', "c=x=y", "d=[1, 2]", "e=null"]) == values
    with pytest.raises(UserError, match="key=value"):
        parse_overrides(["margin"])


def test_load_params(tmp_path):
    file = tmp_path / "params.json"
    with pytest.raises(UserError, match="no such file"):
        load_params(file)
    file.write_text('{"margin": 0.5}')
    assert load_params(file, ["margin=soft"]).margin == "soft"
    for text, part in (
        ('{"margin": 0.5,}', "line 1"),
        ("[1]", "object"),
        ('{"seed": 1, "seed": 2}', "'seed' is given twice"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=part):
            load_params(file)


def test_total_steps():
    assert check_params({"num_epochs": 3}, "x").total_steps(10) == 30
    assert check_params({"train_iterations": 7}, "x").total_steps(10) == 7
    assert check_params({"train_iterations": 7, "only_one_step": True}, "x").total_steps(10) == 1


def test_params_cannot_be_changed():
    with pytest.raises(ValidationError):
        Params().seed = 3


def test_the_page_in_docs_is_the_output_of_the_command_and_the_schema_is_json_schema():
    page, schema = (command("-m", "model.configuration.reference", *words).stdout for words in ([], ["--schema"]))
    assert page == (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in page for key in Params.model_fields)
    cells = [cell.strip() for line in page.splitlines() if line.startswith("|") for cell in line.split("|")]
    assert max(map(len, cells)) <= 120
    schema = json.loads(schema)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Params.model_fields)


def test_every_parameter_is_used():
    """No parameter is without effect."""
    folders = [ROOT / name for name in ("model", "dataset", "visualization")]
    files = [*ROOT.glob("*.py"), *(file for folder in folders for file in folder.rglob("*.py"))]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files if "configuration" not in file.parts)
    # Properties, and parameters that have another name outside; the rules between parameters do not count.
    members = [member for fields in Params.__mro__ for member in vars(fields).values()]
    properties = [member.fget for member in members if isinstance(member, property)]
    derived = "".join(map(inspect.getsource, [Params.total_steps, Params._terms_fit, *properties]))
    used = {*re.findall(r"(?:params|\bp)\.(\w+)", code), *re.findall(r"self\.(\w+)", derived)}
    assert Params.model_fields.keys() <= used


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "embed.py"])
def test_help_and_bad_parameters_need_no_tensorflow(script, tmp_path):
    (tmp_path / "params.json").write_text('{"margim": 1}')
    extra = ["--dataset", "x.csv", "--filename", "x.h5"] if script == "embed.py" else []
    check = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    heavy = [m for m in ['tensorflow', 'keras', 'sklearn', 'matplotlib'] if m in sys.modules]\n"
        "    sys.exit(f'imported {heavy}' if heavy else end.code)\n"
    )
    for words, code in ((["--help"], 0), (["--model_dir", tmp_path, *extra], 2)):
        done = process("-c", check, script, *words)
        assert done.returncode == code, done.stderr
