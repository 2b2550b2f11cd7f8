"""Types of parameters that several fields have, and what checks their values."""

import difflib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from runtime import plugins


class Fields(BaseModel):
    """Parameters that are checked: unknown keys and wrong types are errors.

    A method `check_...` of a class of fields has the rules on how they fit others. `Params`, which has all fields,
    calls it when each value is right by itself. A rule stands beside the field that would have no effect, or be wrong.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def check_name(package: str, name: str, first: tuple[str, ...] = ()) -> str:
    """The name of a module of `package`; a ValueError for another, with the choices, those of `first` first."""
    names = plugins.choices(package, first)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"unknown name {name!r}{hint} The choices are {', '.join(names)}")
    return name


@dataclass(frozen=True)
class NamesOf:
    """Says in a field's type which package its strings name modules of; schema and reference list them."""

    package: str
    first: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The choices, those of `first` first."""
        return plugins.choices(self.package, self.first)

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Callable[[Any], dict]) -> dict[str, Any]:
        schema = handler(core_schema)
        return schema | {"enum": self.names()} if schema.get("type") == "string" else schema


def one_of(package: str, first: tuple[str, ...] = ()) -> type:
    """A string that names a module of `package`."""
    return Annotated[str, AfterValidator(lambda name: check_name(package, name, first)), NamesOf(package, first)]


def ascending(values: list) -> list:
    """Numbers that rise from each to the next."""
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{values} must rise from each to the next")
    return values


def _range(limits: list[float]) -> list[float]:
    if limits[0] > limits[1]:
        raise ValueError(f"{limits} must be [low, high]")
    return limits


def low_high(kind: type) -> type:
    """`[low, high]` of numbers of one kind."""
    return Annotated[list[kind], Field(min_length=2, max_length=2), AfterValidator(_range)]


Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Size = Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)]
Above0 = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Blend = Annotated[float, Field(ge=0, le=1)]
