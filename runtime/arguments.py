"""Command-line arguments: one-line errors, and checked numbers."""

import argparse
import contextlib
import math
from collections.abc import Callable
from typing import NoReturn

from runtime.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser that reports invalid input as a `UserError` of one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, ends: bool = True
) -> Callable[[str], float]:
    """An argparse `type`: a finite number from `low` to `high`; both are included if `ends`, else excluded."""

    def convert(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if math.isfinite(value) and (low <= value <= high if ends else low < value < high):
                return value
        what = "a whole number" if kind is int else "a number"
        bounds = (
            f"between {low} and {high}" if high < math.inf else f"{'of at least' if ends else 'greater than'} {low}"
        )
        raise argparse.ArgumentTypeError(f"{text}: it must be {what} {bounds}")

    return convert


def numbers(form: str, *kinds: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    """An argparse `type`: comma-separated numbers, one for each of `kinds`. The error message shows `form`."""

    def convert(text: str) -> tuple[float, ...]:
        parts = text.split(",")
        if len(parts) != len(kinds):
            raise argparse.ArgumentTypeError(f"{text}: it must be {form}")
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))

    return convert
