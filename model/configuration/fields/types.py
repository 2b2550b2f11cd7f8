"""Types of parameters that several fields have, and what checks their values."""

import difflib
import itertools
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from runtime import plugins


class Fields(BaseModel):
    """Parameters that are checked: unknown keys and wrong types are errors.

    How the fields of a class must fit each other is said in its validator, those of several classes in `Params`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class OneOf:
    """Says of a string that it names a module of `package`; checks that, and lists the modules in the schema."""

    package: str
    first: tuple[str, ...] = ()

    def check(self, name: str) -> str:
        """The name itself; a ValueError for one that is no module, with the choices, those of `first` first."""
        names = plugins.choices(self.package, self.first)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"unknown name {name!r}{hint} The choices are {', '.join(names)}")
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": plugins.choices(self.package, self.first)}


def ascending(values: list[int]) -> list[int]:
    """Numbers that rise from each to the next."""
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{values} must rise from each to the next")
    return values


def _range(limits: list[float]) -> list[float]:
    if limits[0] > limits[1]:
        raise ValueError(f"{limits} must be [low, high]")
    return limits


Number = TypeVar("Number")
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
LowHigh = Annotated[Pair[Number], AfterValidator(_range)]

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Size = Positive | Pair[Positive]
Above0 = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Blend = Annotated[float, Field(ge=0, le=1)]
