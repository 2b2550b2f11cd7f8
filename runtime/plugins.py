"""Interchangeable parts, chosen by name: each module of a package is one choice.

A new backbone, head, strategy, distance, augmentation, metric, protocol or kind of evaluation set is one new file. Its
file name is the name in params.json or of the option. A folder appended to a package's `__path__` adds its files as
parts.
"""

import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from runtime.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def choices(package: str, first: tuple[str, ...] = ()) -> list[str]:
    """The names of a package's parts, found without importing it (package: "model.network.heads").

    Names in `first` come first, in that order; the others follow in alphabetical order.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else []
    names = {module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")}
    return [*(name for name in first if name in names), *sorted(names.difference(first))]


def load(package: str, name: str) -> ModuleType:
    """Imports the module `name` of `package`.

    Raises:
        UserError: when there is no such module; lists the choices.
    """
    names = choices(package)
    if name not in names:
        raise UserError(f"unknown {package} {name!r}; the choices are {', '.join(names)}")
    return importlib.import_module(f"{package}.{name}")
