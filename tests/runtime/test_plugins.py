"""Parts of a package, found by their file names."""

import sys
from collections.abc import Iterator

import pytest

from runtime.errors import UserError
from runtime.plugins import choices, load


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[str]:
    """A package of two parts and a private module. Importing one of them fails, which only `load` may notice."""
    folder = tmp_path / "parts_of_a_test"
    (folder / "round").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "round" / "__init__.py").write_text("corners = 0")
    (folder / "square.py").write_text("corners = 4")
    (folder / "broken.py").write_text("raise RuntimeError('imported')")
    (folder / "_private.py").write_text("raise RuntimeError('imported')")
    (folder / "notes.txt").write_text("no module")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.split(".")[0] == folder.name]:
        del sys.modules[name]


def test_choices_are_found_without_importing_them(package):
    assert choices(package) == ["broken", "round", "square"]
    assert package not in sys.modules
    with pytest.raises(RuntimeError, match="imported"):
        load(package, "broken")


def test_a_part_is_a_file_or_a_folder(package):
    assert choices(package, ("square", "unknown")) == ["square", "broken", "round"]  # some may come first
    assert load(package, "square").corners == 4
    assert load(package, "round").corners == 0


@pytest.mark.parametrize("name", ["triangle", "_private", "notes", "", "round.corners"])
def test_the_error_for_an_unknown_name_lists_the_choices(package, name):
    with pytest.raises(UserError, match=f"^unknown {package} '{name}'; the choices are broken, round, square$"):
        load(package, name)
