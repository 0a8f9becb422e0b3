"""What the compiler is given: data classes written out behave as those that the program has without it."""

import ast
import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BUILD = Path(__file__).parents[1] / "etc" / "build"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BUILD / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


COMPILED = loaded("compiled")
WRITTEN_OUT = loaded("written_out")
SAMPLE = '''
from dataclasses import dataclass, field

@dataclass(frozen=True, slots=True)
class Pair:
    """Two things."""

    left: int
    right: str = "b"
    rest: list[int] = field(default_factory=list)
    seen: int = field(default=0, compare=False, repr=False)

    def both(self) -> str:
        return f"{self.left}{self.right}"

@dataclass
class Open:
    value: int

    def __post_init__(self) -> None:
        self.value += 1
'''


def made(source: str) -> dict[str, type]:
    space: dict[str, type] = {"__name__": "sample"}  # type: ignore[dict-item]  # what a class takes its module from
    exec(compile(source, "sample", "exec"), space)
    return space


@pytest.fixture
def both() -> tuple[type, type]:
    return made(SAMPLE)["Pair"], made(WRITTEN_OUT.write_out(SAMPLE))["Pair"]


def test_a_class_that_is_written_out_is_made_shown_and_compared_alike(both: tuple[type, type]) -> None:
    for pair in both:
        assert repr(pair(1)) == "Pair(left=1, right='b', rest=[])"
        assert pair(1, "c", [2], 3) == pair(1, right="c", rest=[2], seen=4)
        assert pair(1) != pair(2)
        assert pair(1) != (1, "b", [])
        assert pair(1).both() == "1b"
        with pytest.raises(TypeError):
            pair()


def test_no_two_objects_share_what_a_factory_makes(both: tuple[type, type]) -> None:
    for pair in both:
        pair(1).rest.append(1)
        assert pair(1).rest == []


def test_match_and_replace_know_its_fields(both: tuple[type, type]) -> None:
    for pair in both:
        assert vars(pair)["__match_args__"] == ("left", "right", "rest", "seen")
        assert dataclasses.replace(pair(1), right="c") == pair(1, "c")


def test_a_class_says_what_it_provides_behind_its_body() -> None:
    source = "from zope.interface import Interface, implementer\n"
    source += "class One(Interface): pass\nclass Two(Interface): pass\n"
    source += "@implementer(One, Two)\nclass Both: pass\n"

    space: dict[str, Any] = dict(made(WRITTEN_OUT.write_out(source)))

    assert "@implementer" not in WRITTEN_OUT.write_out(source)
    assert space["One"].providedBy(space["Both"]())
    assert space["Two"].implementedBy(space["Both"])


def test_what_is_frozen_can_be_hashed_and_what_is_not_cannot() -> None:
    sample = SAMPLE.replace("list[int]", "tuple[int, ...]").replace("=list", "=tuple")
    frozen = made(WRITTEN_OUT.write_out(sample))
    assert hash(frozen["Pair"](1)) == hash(frozen["Pair"](1))
    assert frozen["Open"](0).value == 1
    with pytest.raises(TypeError):
        hash(frozen["Open"](1))


@pytest.mark.parametrize("name", COMPILED.MODULES)
def test_of_every_module_that_is_compiled_no_decorator_is_left(name: str) -> None:
    source = (COMPILED.ROOT / name).read_text("utf-8")

    written = WRITTEN_OUT.write_out(source)

    compile(written, name, "exec")
    classes = [node for node in ast.walk(ast.parse(written)) if isinstance(node, ast.ClassDef)]
    kept = [ast.unparse(one) for node in classes for one in node.decorator_list]
    assert not [one for one in kept if one.startswith(("dataclass", "value", "implementer"))]


@pytest.mark.parametrize("name", COMPILED.MODULES)
def test_no_compiled_module_gives_two_kinds_of_exceptions_one_name(name: str) -> None:
    """The compiler takes a name in a function to be of the first kind, and the second would not fit."""
    for function in ast.walk(ast.parse((COMPILED.ROOT / name).read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef):
            caught: dict[str, str] = {}
            for one in ast.walk(function):
                if isinstance(one, ast.ExceptHandler) and one.name and one.type is not None:
                    assert caught.setdefault(one.name, ast.unparse(one.type)) == ast.unparse(one.type)
