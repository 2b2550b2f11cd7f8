"""The search space: choices and ranges of parameters, given by `--set`."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from model.configuration.loading import parse_value
from model.configuration.params import Params
from model.configuration.reference import schema_text
from runtime.errors import UserError


class Choices(NamedTuple):
    """Values to choose from; a single value applies to all trials."""

    key: str
    values: list[Any]

    def at(self, share: float) -> Any:
        """The value at the given fraction (0 <= share < 1) of the list."""
        return self.values[int(share * len(self.values))]

    def checked(self) -> list[Any]:
        """The values to check: all."""
        return self.values


class Range(NamedTuple):
    """Numbers from `low` to `high`, uniform, or with `log` uniform in their logarithm."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool

    def at(self, share: float) -> float:
        """The number at the given fraction (0 <= share < 1) of the range, with four digits: it names a folder."""
        low, high = (
            (self.low, self.high + 1) if self.whole else (self.low, self.high)
        )  # every integer is equally likely
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return self.shorten(math.floor(value) if self.whole else value)

    def shorten(self, value: float) -> float:
        """The value within the range, rounded to four digits unless it is an integer."""
        return min(max(value if self.whole else float(f"{value:.4g}"), self.low), self.high)

    def checked(self) -> list[float]:
        """The values to check: both ends."""
        return [self.low, self.high]


Dimension = Choices | Range


def parse_space(sets: Sequence[str]) -> list[Dimension]:
    """The dimensions given by texts such as `margin=0.2,0.5,soft` and `learning_rate=log:1e-5:1e-3`.

    Raises:
        UserError: for a text that cannot be read, or a parameter given twice. `check_trials` checks the values.
    """
    space: list[Dimension] = []
    for text in sets:
        key, _, values = text.partition("=")
        if not key or not values:
            raise UserError(f"--set {text!r} is invalid; use KEY=a,b,c or KEY=low:high or KEY=log:low:high")
        if any(each.key == key for each in space):
            raise UserError(f"--set {text!r}: {key} is given twice; give all its values in one --set")
        space.append(_range(key, values) or Choices(key, _choices(text, key, values)))
    return space


def _range(key: str, text: str) -> Range | None:
    """The range in a text; None if the text is not a range."""
    log, ends = text.startswith("log:"), text.removeprefix("log:").split(":")
    numbers = [number for end in ends if (number := _number(end)) is not None]
    if len(numbers) != 2 or len(ends) != 2:
        if log:
            raise UserError(f"--set {key}={text}: invalid range; use log:low:high, such as log:1e-5:1e-3")
        return None
    low, high = numbers
    if low >= high or (log and low <= 0):
        raise UserError(f"--set {key}={text}: the low end must be below the high end" + (" and above 0" * log))
    return Range(key, low, high, log, whole=isinstance(low, int) and isinstance(high, int) and _takes_integers(key))


def _number(text: str) -> float | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if type(value) in (int, float) and math.isfinite(value) else None


def _takes_integers(key: str) -> bool:
    """Whether a parameter takes integers, but no other numbers."""
    schema = Params.model_json_schema()["properties"].get(key)
    kind = schema_text(schema) if schema else ""
    return "integer" in kind and "number" not in kind


def _choices(text: str, key: str, values: str) -> list[Any]:
    found = [parse_value(key, part) for part in split_commas(values)]
    # 1 and 1.0 are one value, 1 and true are two.
    words = [json.dumps(json.loads(json.dumps(value), parse_int=float)) for value in found]
    if "" in found or len(set(words)) < len(words):
        raise UserError(f"--set {text!r}: a value is {'empty' if '' in found else 'given twice'}; give each value once")
    return found


def split_commas(text: str) -> list[str]:
    """Splits at commas, except inside brackets and quotes."""
    parts, depth = [""], 0
    for token in re.findall(r'"(?:\\.|[^"\\])*"|.', text, re.DOTALL):
        depth += (token in "[{") - (token in "]}") if len(token) == 1 else 0
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts
