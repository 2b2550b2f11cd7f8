"""The example in every package's docstring runs, and prints what the docstring says."""

import doctest
import importlib
from pathlib import Path

import pytest
from helpers.commands import ROOT

PACKAGES = sorted(
    ".".join(file.parent.relative_to(ROOT).parts)
    for floor in ("runtime", "dataset", "model", "visualization")
    for file in (ROOT / floor).rglob("__init__.py")
)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_has_an_example_that_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = set(Path.cwd().iterdir())
    package = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder().find(package, name) if test.name == name]
    assert sum(len(test.examples) for test in tests) >= 2, "a package's docstring needs an example"
    failed, _ = doctest.testmod(package, verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
    assert set(Path.cwd().iterdir()) == before
