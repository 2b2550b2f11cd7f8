"""Earlier names of modules."""

import importlib
import sys

import pytest

import dataset
import model
from runtime.moved import MOVED


@pytest.mark.parametrize(("before", "now"), MOVED.items())
def test_an_earlier_name_gives_the_same_module(before, now, monkeypatch):
    for name in MOVED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{before} is now {now}"):
        assert importlib.import_module(before) is importlib.import_module(now)


def test_other_names_are_not_found():
    for package in (dataset, model):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package.__name__}.no_such_module")
