"""
Write the data classes of a module out: for the compiler, which leaves what `dataclass` makes to the interpreter.

A class decorated with `dataclass` or `value` gets the methods that the decorator would have made, as source:
`__init__`, `__eq__`, `__hash__` and `__repr__`.  mypyc then makes a native class of it, whose objects are made by
machine code.  `__match_args__` and `__dataclass_fields__` are there as well, so `match` and `dataclasses.replace` work.
What is frozen is so for mypy alone, as with `value`.

A class that says by `implementer` what it provides says so behind its body: to the compiler a class with any other
decorator is none that it can make native.

What must not be known here: which modules are compiled, and the compiler.
"""

import ast
from dataclasses import dataclass

_DECORATORS = {"dataclass", "value"}
_PROVIDES = "implementer"
_IMPORTS = (
    "from typing import Any as _Any, ClassVar as _ClassVar\n"
    "from dataclasses import Field as _Field\n"
    "from smtpbridge.values import fields_of as _fields_of"
)


@dataclass(frozen=True)
class _Attribute:
    name: str
    type: str
    default: str | None
    factory: str | None
    init: bool
    compare: bool
    shown: bool

    @property
    def parameter(self) -> str:
        if self.factory is not None:
            return f"{self.name}: '{self.type} | None' = None"
        return f"{self.name}: {self.type}" + ("" if self.default is None else f" = {self.default}")

    @property
    def setting(self) -> str:
        if not self.init:
            return f"self.{self.name} = {self.default or f'({self.factory})()'}"
        if self.factory is not None:
            return f"self.{self.name} = ({self.factory})() if {self.name} is None else {self.name}"
        return f"self.{self.name} = {self.name}"


def write_out(source: str) -> str:
    """Return the module with its data classes written out."""
    tree = ast.parse(source)
    tree.body = [one for statement in tree.body for one in _undecorated(statement)]
    found = [_write_class(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    if any(found):
        has_docstring = bool(tree.body) and isinstance(tree.body[0], ast.Expr)
        tree.body[has_docstring:has_docstring] = ast.parse(_IMPORTS).body
    return ast.unparse(tree) + "\n"


def _undecorated(node: ast.stmt) -> list[ast.stmt]:
    """Return a class without the decorator `implementer`, and the call behind it that does the same."""
    if not isinstance(node, ast.ClassDef):
        return [node]
    calls = [one for one in node.decorator_list if _name(one) == _PROVIDES]
    node.decorator_list = [one for one in node.decorator_list if one not in calls]
    return [node, *(ast.parse(f"{ast.unparse(one)}({node.name})").body[0] for one in calls)]


def _write_class(node: ast.ClassDef) -> bool:
    decorator = next((one for one in node.decorator_list if _name(one) in _DECORATORS), None)
    if decorator is None:
        return False
    node.decorator_list.remove(decorator)
    said = {one.arg: ast.literal_eval(one.value) for one in getattr(decorator, "keywords", ())}
    attributes = []
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation):
            attributes.append(_attribute(statement))
            statement.value = None
    own = {statement.name for statement in node.body if isinstance(statement, ast.FunctionDef)}
    hashed = said.get("frozen") or said.get("unsafe_hash") or _name(decorator) == "value"
    node.body += ast.parse("\n".join(_methods(node.name, attributes, own, hashed=bool(hashed)))).body
    return True


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.id if isinstance(called, ast.Name) else ""


def _attribute(statement: ast.AnnAssign) -> _Attribute:
    assert isinstance(statement.target, ast.Name)
    said: dict[str, ast.expr] = {}
    default = statement.value
    if isinstance(default, ast.Call) and _name(default) == "field":
        said = {one.arg or "": one.value for one in default.keywords}
        default = said.get("default")
    return _Attribute(
        name=statement.target.id,
        type=ast.unparse(statement.annotation),
        default=None if default is None else ast.unparse(default),
        factory=ast.unparse(said["default_factory"]) if "default_factory" in said else None,
        **{
            ours: bool(ast.literal_eval(said[name])) if name in said else True
            for ours, name in (("init", "init"), ("compare", "compare"), ("shown", "repr"))
        },
    )


def _methods(name: str, attributes: list[_Attribute], own: set[str], *, hashed: bool) -> list[str]:
    given = [one for one in attributes if one.init]
    settings = [one.setting for one in attributes] + (["self.__post_init__()"] if "__post_init__" in own else [])
    compared = [one.name for one in attributes if one.compare]
    names = ", ".join(repr(one.name) for one in given)
    comma = "," if len(given) == 1 else ""
    lines = [
        f"__match_args__: _ClassVar[tuple[str, ...]] = ({names}{comma})",
        f"__dataclass_fields__: _ClassVar[dict[str, '_Field[_Any]']] = _fields_of(({names}{comma}))",
        f"def __init__({', '.join(['self', *(one.parameter for one in given)])}) -> None:",
        *(f"    {line}" for line in settings or ["pass"]),
    ]
    if "__eq__" not in own:
        same = " and ".join(f"self.{one} == other.{one}" for one in compared) or "True"
        lines += [
            "def __eq__(self, other: object) -> bool:",
            f"    return isinstance(other, {name}) and type(self) is type(other) and {same}",
        ]
        if hashed:
            lines += [
                "def __hash__(self) -> int:",
                f"    return hash(({''.join(f'self.{one}, ' for one in compared)}))",
            ]
    if "__repr__" not in own:
        shown = ", ".join(f"{one.name}={{self.{one.name}!r}}" for one in attributes if one.shown)
        lines += ["def __repr__(self) -> str:", f'    return f"{name}({shown})"']
    return lines
