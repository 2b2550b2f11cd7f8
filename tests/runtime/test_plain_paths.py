"""Names that TensorFlow takes literally: paths with patterns, newlines, or bytes that are no UTF-8."""

import os
import tempfile
from pathlib import Path

import pytest

from runtime.errors import UserError
from runtime.plain_paths import plain_path

HOSTILE = ["run[1]", "a*b?", "back\\slash", "new\nline", os.fsdecode(b"bad\xff"), "c" * 200 + "{$}"]


def test_a_plain_path_is_itself_without_links(tmp_path):
    folder = tmp_path / "run 1, ünï"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    with plain_path(tmp_path / "link" / "ckpt-1") as plain:
        assert plain == f"{folder}/ckpt-1"


@pytest.mark.parametrize("name", HOSTILE)
def test_files_are_read_and_written_through_a_plain_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with plain_path(folder / "ckpt-1") as plain:
        assert not set(plain) & set("*?[]\\\n")
        assert plain.encode()  # UTF-8
        Path(f"{plain}.index").write_text("written")
        assert os.listdir(folder) == ["ckpt-1.index"]  # noqa: PTH208 - names only
    assert not Path(plain).parent.exists()
    (folder / "[x]-1.index").write_text("read")  # the name of the file itself
    with plain_path(folder / "[x]-1") as plain:
        assert Path(f"{plain}.index").read_text() == "read"
    assert (folder / "ckpt-1.index").read_text() == "written"


def test_no_link_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "missing"))
    with pytest.raises(UserError, match="rename the folder, or set TMPDIR"), plain_path(tmp_path / "[1]" / "ckpt-1"):
        pass
