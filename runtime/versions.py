"""The versions of installed packages."""

from collections.abc import Iterable
from importlib import metadata


def find_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed, by name, in the order given."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
