"""How a training ends: the file DONE, and ending early when evaluations stop getting better. Needs no TensorFlow."""

from model.configuration.params import Params
from model.run.run_folder import RunFolder
from runtime.files import replace_file
from runtime.json_files import read_json

# What a training that ended early must be given anew to go on.
_RULES = ("early_stopping_evaluations", "best_metric")


def write_done(run: RunFolder, step: int, reason: str | None = None) -> None:
    """Says that training ended by itself after `step` steps, and why if it did so early."""
    with replace_file(run.done) as file:
        file.write(f"{step}\n" + (f"stopped early: {reason}\n" if reason else ""))


def stopped_early(run: RunFolder, params: Params, latest: int) -> str | None:
    """What a run that ended early says about it, if it is to stay so; None if there is something to train.

    Args:
        run: the run.
        params: those of now. With other rules for ending early, it is not over.
        latest: step of its newest checkpoint.
    """
    if not run.done.exists() or not run.resolved_json.exists():
        return None
    step, _, reason = run.done.read_text(encoding="utf-8").strip().partition("\n")
    before = read_json(run.resolved_json)
    same = all(before.get(name) == getattr(params, name) for name in _RULES)
    if not reason or step != str(latest) or not same:
        return None
    return f"stopped early at step {step}: {reason.removeprefix('stopped early: ')}"
