"""What bounds the files of a long training: rarer histograms and pictures, limits of event files and detailed log."""

import pytest
from helpers.commands import command
from helpers.tiny import make_run
from helpers.training_results import events

from model.run import events as event_files
from model.training import record
from model.training.detailed_log import read_detailed_log


@pytest.fixture(scope="module")
def limits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "_HISTOGRAMS", 2)
        patch.setattr(record, "PICTURES", 2)
        patch.setattr(event_files, "_LARGE", 20_000)
        yield


@pytest.fixture(scope="module")
def bounded(limits, dataset, tmp_path_factory):
    """A run of 8 steps, each logged and saved, which small limits bound."""
    options = {"train_iterations": 8, "save_summary_steps": 1, "save_picture_steps": 1, "save_checkpoints_steps": 1}
    options |= {"detailed_log": True, "detailed_log_gb": 1.2e-5, "embedding_size": 64}
    run = make_run(tmp_path_factory.mktemp("bounded") / "run", dataset, **options)
    done = command("train.py", "--model_dir", run)
    assert done.returncode == 0, done.stderr
    return run, done.stdout


def test_histograms_and_pictures_become_rarer_and_curves_stay_whole(bounded):
    found = events(bounded[0] / "train")
    assert [step for step, _ in found["loss/loss"]] == list(range(1, 9))
    for tag in ("distances/all", "mining/hardest_triplets"):
        assert [step for step, _ in found[tag]] == [1, 2, 4, 8], tag


def test_another_event_file_begins(bounded):
    sizes = [file.stat().st_size for file in sorted((bounded[0] / "train").iterdir())]
    assert len(sizes) > 2
    assert max(sizes) < 70_000


def test_the_detailed_log_keeps_its_newest_files(bounded):
    run, output = bounded
    files = sorted((run / "detailed").glob("*.npz"))
    assert sum(file.stat().st_size for file in files) <= 12_000
    steps = read_detailed_log(run / "detailed").steps.tolist()
    assert steps == list(range(9 - len(files), 9))
    assert 1 < len(files) < 8
    assert f"note: {run}/detailed keeps the newest 1.2e-05 GB (detailed_log_gb) of about 1.72e-05 GB" in output
