"""Types of parameters, with the checks of their values."""

import difflib
import itertools
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from runtime import plugins


class Fields(BaseModel):
    """Checked parameters: unknown keys and wrong types are errors.

    Rules between fields are in the validators of their class, or of `Params` where they span several classes.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class OneOf:
    """The type of a string that must name a module of `package`. The schema lists the modules."""

    package: str
    first: tuple[str, ...] = ()

    def check(self, name: str) -> str:
        """Returns the name; raises a ValueError with the choices (`first` ones first) if there is no such module."""
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
    """Returns the numbers; raises a ValueError unless they ascend strictly."""
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError(f"{values} must be in ascending order, each number once")
    return values


def _range(limits: list[float]) -> list[float]:
    if limits[0] > limits[1]:
        raise ValueError(f"{limits} must be [low, high]")
    return limits


Number = TypeVar("Number")
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
LowHigh = Annotated[Pair[Number], AfterValidator(_range)]

# The upper limits are far above useful values: beyond them, libraries abort or hang instead of giving an error.
Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Side = Annotated[int, Field(ge=1, le=8192)]
Size = Side | Pair[Side]
Rate = Annotated[float, Field(gt=0, le=1e30)]
Weight = Annotated[float, Field(ge=0, le=1e30)]
Aspect = Annotated[float, Field(ge=0.001, le=1000)]
Share = Annotated[float, Field(gt=0, le=1)]
Blend = Annotated[float, Field(ge=0, le=1)]
