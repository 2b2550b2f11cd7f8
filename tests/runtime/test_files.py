"""Folders that are replaced as a whole."""

from pathlib import Path

import pytest

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


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "b"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def fails(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"), replace_folder(path) as folder:
        (folder / "new").write_text("new")
    assert contents(tmp_path) == {"b/old": "old"}
