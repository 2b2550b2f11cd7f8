"""Whether a run may start: nothing to do, DONE taken away and put back. No TensorFlow, and no training."""

import pytest
from helpers.evaluations import params_of

from model.run.run_folder import RunFolder, write_done
from model.training.start import nothing_to_do, reopened
from runtime.errors import UserError


def write_checkpoints(run: RunFolder, *steps: int) -> None:
    """What tells that a run has these checkpoints."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    for step in steps:
        (run.checkpoints / f"ckpt-{step}.index").touch()
    lines = [f'all_model_checkpoint_paths: "ckpt-{step}"\n' for step in steps]
    (run.checkpoints / "checkpoint").write_text("".join(lines))


def test_a_run_at_its_last_step_has_nothing_to_do_and_gets_its_done(tmp_path):
    run, params = RunFolder(tmp_path), params_of(train_iterations=4)
    assert nothing_to_do(run, params, 4) == []
    write_checkpoints(run, 2, 4)
    assert nothing_to_do(run, params, 4) == []  # without its record, nothing says what it was trained with
    run.write_resolved(params)
    assert nothing_to_do(run, params, 5) == []
    assert not run.done.exists()
    changed = params_of(train_iterations=4, seed=3)
    assert nothing_to_do(run, changed, 4) == [
        f"nothing to do: {run.checkpoints}/ckpt-4 is at step 4 of 4",
        "not used, as nothing is trained: seed 0 -> 3",
    ]
    assert run.done.read_text() == "4\n"


def test_done_comes_back_only_when_nothing_was_trained(tmp_path):
    run = RunFolder(tmp_path)

    @reopened(run)
    def fail(*checkpoints: int) -> None:
        """A training that fails, after it has written checkpoints."""
        assert not run.done.exists()
        write_checkpoints(run, *checkpoints)
        raise UserError("broken")

    with pytest.raises(UserError, match="broken"):
        fail(2)
    assert not run.done.exists()  # nor was it there before
    write_done(run, 2, "no better")
    said = run.done.read_text()
    with pytest.raises(UserError, match="broken"):
        fail(2)
    assert run.done.read_text() == said
    with pytest.raises(UserError, match="broken"):
        fail(2, 3)
    assert not run.done.exists()


def test_a_whitened_end_is_not_trained_on(tmp_path):
    run = RunFolder(tmp_path)
    run.write_resolved(params_of(whitening="end"))
    with reopened(run):  # it was stopped before its end
        pass
    write_done(run, 2)
    with pytest.raises(UserError, match="ended with a whitening"), reopened(run):
        pass
    assert run.done.exists()
