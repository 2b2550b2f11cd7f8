"""Replacing folders as a whole."""

import signal
from pathlib import Path

import pytest
from helpers.commands import start

from runtime.errors import UserError
from runtime.files import replace_folder


def contents(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def fail_after_writing(file):
    file.write_text("text")
    raise KeyError(file)


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "b"
    for text in ("first", "second"):
        with replace_folder(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / text).write_text(text)
            assert not (path / "sub" / text).exists()
        assert contents(tmp_path) == {f"a/b/sub/{text}": text}
    with pytest.raises(KeyError), replace_folder(path) as folder:
        fail_after_writing(folder / "third")
    assert contents(tmp_path) == {"a/b/sub/second": "second"}
    assert [entry.name for entry in path.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_the_old_folder_is_restored_when_the_new_one_cannot_replace_it(tmp_path, monkeypatch, error):
    path = tmp_path / "b"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def fails(self, target):
        if self.name.endswith(".tmp"):
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    expected = UserError if error.args else KeyboardInterrupt
    with pytest.raises(expected) as raised, replace_folder(path) as folder:
        (folder / "new").write_text("new")
    assert not error.args or str(raised.value) == f"cannot write {path}: No space left on device"
    assert contents(tmp_path) == {"b/old": "old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("step", ["writing", "between the renames"])
def test_leftovers_of_a_killed_process_are_cleaned_up(tmp_path, step):
    path = tmp_path / "b"
    path.mkdir()
    (path / "old").write_text("old")
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from runtime.files import replace_folder\n"
        "rename = Path.rename\n"
        "def die(*names):\n"
        "    rename(*names)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        f"with replace_folder(Path({str(path)!r})) as folder:\n"
        "    (folder / 'new').write_text('new')\n"
        f"    if {step == 'writing'}:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    Path.rename = die\n"
    )
    with start("-c", code) as killed:
        assert killed.wait(60) == -signal.SIGTERM
    assert path.exists() == (step == "writing")
    assert len(contents(tmp_path)) == 3  # the old one, the new one, and the lock
    with pytest.raises(KeyError), replace_folder(path) as folder:
        fail_after_writing(folder / "third")
    assert contents(tmp_path) == {"b/old": "old"}


def test_only_one_process_writes_a_folder(tmp_path):
    path = tmp_path / "b"
    with replace_folder(path) as folder:
        (folder / "first").write_text("first")
        with pytest.raises(UserError, match="another process is writing it"), replace_folder(path):
            pass
    assert contents(tmp_path) == {"b/first": "first"}
