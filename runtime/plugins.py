"""Interchangeable parts, chosen by name: one module in a package is one choice.

A new backbone, head, strategy, distance, augmentation, metric, protocol or kind of evaluation set is one new file; its
name in params.json, or of the option, is the file's name. A folder that is appended to a package's `__path__` adds the
parts in it.
"""

import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from runtime.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def choices(package: str, first: tuple[str, ...] = ()) -> list[str]:
    """The names to choose from, found without importing the package or its modules (package: "model.network.heads").

    Those of `first` come in that order, all others behind them by the alphabet.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else []
    names = {module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")}
    return [*(name for name in first if name in names), *sorted(names.difference(first))]


def load(package: str, name: str) -> ModuleType:
    """Imports the module `name` of `package`.

    Raises:
        UserError: when there is none of that name; lists the choices.
    """
    names = choices(package)
    if name not in names:
        raise UserError(f"unknown {package} {name!r}; the choices are {', '.join(names)}")
    return importlib.import_module(f"{package}.{name}")
