"""
Values of which every message makes several: as cheap as they can be.

A frozen dataclass pays at run time for what the type checker refuses anyway: each of
its fields is set by a call.  A `value` is a dataclass with slots, with equality and a
hash, that mypy alone holds frozen; to make one costs a third.  Where a value is made once
for a connection, or for the process, a frozen dataclass is the right thing.
"""

from dataclasses import Field, dataclass, fields, make_dataclass
from typing import Any, TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """Make a class with annotated fields a value."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


def fields_of(names: tuple[str, ...]) -> dict[str, Field[Any]]:
    """Return what `dataclasses.replace` wants to know of a class that was written out for the compiler."""
    made = make_dataclass("_", [(name, object) for name in names])
    return {one.name: one for one in fields(made)}
