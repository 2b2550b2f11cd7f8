"""Runs `python WORDS` as a page shows it, in seconds: a training is a few steps of a tiny network on small batches."""

import itertools
import json
import os
import sys
from pathlib import Path

# Parameters of every training; the data, the augmentation, the head and the loss stay the page's.
SHORT = {
    "model_type": "basic",
    "num_channels": [12, 12],
    "embedding_size": 12,
    "image_size": 32,
    "batch_p": 3,
    "batch_k": 2,
    "train_iterations": 4,
    "save_checkpoints_steps": 2,
    "save_summary_steps": 2,
    "eval_interval_secs": 0.2,
}
# Of one that sets them: what belongs to pretrained networks and to long trainings.
SHORT_IF_SET = {
    "warm_start_from": None,
    "batch_norm": "train",
    "frozen_stages": 0,
    "freeze_backbone_steps": 0,
    "backbone_learning_rate": None,
    "last_stride": 2,
    "whitening": "none",
    "warmup_steps": 0,
    "decay_start_step": 0,
    "decay_steps": [2],
    "pre_crop_size": 36,
}
OF_SEARCHES = ("image_size", "batch_p", "batch_k", "train_iterations", "save_checkpoints_steps", "warmup_steps")
TRIALS = 2
RENDERED = ["--train_snippets", "18", "--val_snippets", "4", "--episodes", "20"]


def shortened(words: list[str]) -> list[str]:
    """The words that are run in place of these."""
    if words[:1] == ["train.py"]:
        options = dict(itertools.pairwise(words))
        file = Path(options.get("--params") or Path(options["--model_dir"]) / "params.json")
        given = {**json.loads(file.read_text()), **dict.fromkeys(names_set(words))}
        return with_values(words, SHORT | {name: value for name, value in SHORT_IF_SET.items() if name in given})
    if words[:1] == ["search_hyperparams.py"]:
        if "--trials" in words:
            words[words.index("--trials") + 1] = str(TRIALS)
        every = SHORT | SHORT_IF_SET
        return with_values(words, {name: every[name] for name in OF_SEARCHES})
    if words[:2] == ["-m", "dataset.prepare.synthetic_vid"]:
        return [*words, *RENDERED]
    return [*words[:2], "--without-pip", *words[2:]] if words[:2] == ["-m", "venv"] else words


def names_set(words: list[str]) -> list[str]:
    """The parameter behind each --set; "" for another word."""
    return [word.partition("=")[0] if words[i - 1] == "--set" else "" for i, word in enumerate(words)]


def with_values(words: list[str], values: dict[str, object]) -> list[str]:
    """The words with these parameters set, whatever they set before."""
    gone = {i for i, name in enumerate(names_set(words)) if name in values}
    kept = [word for i, word in enumerate(words) if i not in gone and i + 1 not in gone]
    return kept + [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]


if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, *shortened(sys.argv[1:])])
