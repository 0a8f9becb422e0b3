"""
Which secrets the tests use, read from their own text, and the forms in which one can turn up in a log.

How it works: nobody keeps a list.  A literal in a test is a secret where it stands
where secrets stand:

- a name says so (`PASSWORD = "..."`, `secret="..."`, a key of a dictionary, a column of a parametrized test, a
  comparison), or the parameter of any function of the tests or of smtpbridge to which it is passed;
- it follows `--password` in a command line, or is written to a file that is called so;
- it stands behind the second NUL of AUTH PLAIN (RFC 4616), in the clear or in base64, or is a `secret_hash` of a
  configuration.

What is made while a test runs, as the password of the demo is, is told to `MADE`.
What must not be known here: who might say one of them.
"""

import ast
import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, quote_plus

ROOT = Path(__file__).resolve().parents[1]
SHORTEST = 8

# Which parameters, by their position, are secrets: by the name of the function.
Signatures: TypeAlias = Mapping[str, set[int]]

_NAME = re.compile(r"(?i)(?:secret|password|passwd|passphrase|api_?key)s?$")
_FILE = re.compile(r"(?i)secret|password|\.key\b")
_OPTION = re.compile(r"--(?:auth-)?(?:password|secret)")
_PLAIN = re.compile(r"[^\0-\x1f]*\0[^\0-\x1f]+\0([^\0-\x1f%][^\0-\x1f]*)")
_ENCODED_PLAIN = re.compile(r"AUTH PLAIN ([A-Za-z0-9+/]{8,}={0,2})")
_HASH = re.compile(r'secret_hash = "((?:sha256:|hmac-sha256:|\$scrypt\$)[^"{]+)"')
# Those of other people's code that the tests call.
_ELSEWHERE: Signatures = {"login": {1}, "Secret": {0}}

# The secrets that exist only since a test runs.
MADE: set[bytes] = set()


@dataclass(frozen=True, slots=True)
class Literal:
    """A secret and where it stands."""

    octets: bytes
    file: str
    line: int

    def is_recognisable(self) -> bool:
        """Tell whether it is found in a log only where it was let out: it is not short, and not a word."""
        return len(self.octets) >= SHORTEST and not self.octets.isalpha()


def of_the_tests() -> list[Literal]:
    """Return all that stand in the modules of the tests."""
    trees = {path: ast.parse(path.read_bytes()) for path in sorted((ROOT / "tests").rglob("*.py"))}
    package = [ast.parse(path.read_bytes()) for path in (ROOT / "smtpbridge").rglob("*.py")]
    everywhere = signatures([*trees.values(), *package])
    return [one for path, tree in trees.items() for one in found_in(tree, str(path.relative_to(ROOT)), everywhere)]


def forms(secret: bytes) -> set[bytes]:
    """Return what shows that a log holds `secret`: it may be escaped, and be a part of something in base64."""
    text = secret.decode("utf-8", "backslashreplace")
    written = {text, repr(text)[1:-1], repr(secret)[2:-1], json.dumps(text)[1:-1], quote(secret), quote_plus(secret)}
    inside = {_base64_inside(secret, before) for before in range(3)}
    urlsafe = {one.translate(bytes.maketrans(b"+/", b"-_")) for one in inside}
    return {secret, secret.hex().encode(), *(one.encode() for one in written), *inside, *urlsafe}


def _base64_inside(secret: bytes, before: int) -> bytes:
    """Return the characters that depend on nothing but `secret` when it follows so many octets (modulo 3)."""
    encoded = base64.b64encode(bytes(before) + secret)
    begin = (before * 8 + 5) // 6
    return encoded[begin : (before + len(secret)) * 8 // 6]


def signatures(trees: Iterable[ast.Module]) -> Signatures:
    """Return which positional arguments are secrets, of functions and data classes; of one name, what all say."""
    found: dict[str, set[int]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.FunctionDef(name=name, args=args) | ast.AsyncFunctionDef(name=name, args=args):
                names = [one.arg for one in args.posonlyargs + args.args if one.arg not in ("self", "cls")]
            case ast.ClassDef(name=name, body=body):
                fields = (one for one in body if isinstance(one, ast.AnnAssign))
                names = [_text_of(one.target) for one in fields if "ClassVar" not in ast.unparse(one.annotation)]
            case _:
                continue
        places = {place for place, one in enumerate(names) if _NAME.search(one)}
        found[name] = places & found.get(name, places)
    return found


def found_in(tree: ast.Module, file: str, everywhere: Signatures) -> Iterator[Literal]:
    """Yield the secrets of one module; a function of its own hides one of that name elsewhere."""
    known = {**everywhere, **_ELSEWHERE, **signatures([tree])}
    named = [pair for node in ast.walk(tree) for pair in _named(node, known)]
    # A constant that is given as a secret is one, whatever it is called.
    constants = {one for name, value in named if _NAME.search(name) for one in _constants(value)}
    for name, value in named:
        if _NAME.search(name) or name in constants:
            yield from (Literal(octets, file, value.lineno) for octets in _literals(value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield from (Literal(octets, file, node.lineno) for octets in _within(_octets(node.value)))


def _named(node: ast.AST, known: Signatures) -> Iterator[tuple[str, ast.expr]]:
    """Yield the values in a piece of syntax, each with the name that it is given; "secret" where a place gives it."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _unpacked(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield from _unpacked(target, value)
        case (
            ast.For(target=target, iter=ast.List() | ast.Tuple() as rows)
            | ast.comprehension(target=target, iter=ast.List() | ast.Tuple() as rows)
        ):
            for row in rows.elts:
                yield from _unpacked(target, row)
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Dict(keys=keys, values=values):
            yield from ((_text_of(key), value) for key, value in zip(keys, values, strict=True) if key is not None)
        case ast.Compare(left=left, comparators=others):
            yield from ((_text_of(left), other) for other in others)
        case ast.arguments():
            yield from _defaults(node)
        case ast.Call():
            yield from _passed(node, known)
        case ast.List(elts=elements):
            yield from _behind_options(elements)
        case ast.JoinedStr(values=[*_, ast.FormattedValue(), ast.Constant(value=str(end))]) if end.startswith("\0"):
            yield "secret", ast.Constant(end[1:], lineno=node.lineno)


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Tuple(elts=targets), ast.Tuple(elts=values):
            yield from ((_text_of(one), other) for one, other in zip(targets, values, strict=False))
        case _:
            yield _text_of(target), value


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    names = [one.arg for one in arguments.posonlyargs + arguments.args]
    yield from zip(reversed(names), reversed(arguments.defaults), strict=False)
    for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if value is not None:
            yield one.arg, value


def _passed(call: ast.Call, known: Signatures) -> Iterator[tuple[str, ast.expr]]:
    function = ast.unparse(call.func)
    name, arguments = function.rpartition(".")[2], call.args
    yield from (("secret", arguments[place]) for place in known.get(name, ()) if place < len(arguments))
    yield from _behind_options(arguments)
    if name in ("write_text", "write_bytes") and _FILE.search(function):
        yield from (("secret", value) for value in arguments)
    match name, arguments:
        case "parametrize", [columns, ast.List(elts=rows), *_]:
            names = [_text_of(one) for one in columns.elts] if isinstance(columns, ast.Tuple) else [_text_of(columns)]
            for row in rows:
                values = row.elts if isinstance(row, ast.Tuple) and len(names) > 1 else [row]
                yield from zip(names, values, strict=False)


def _behind_options(elements: list[ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    for option, value in pairwise(elements):
        if _OPTION.fullmatch(_text_of(option)):
            yield "secret", value


def _literals(value: ast.expr) -> Iterator[bytes]:
    """Yield the texts that a value consists of; an empty one hides nothing."""
    match value:
        case ast.Constant(value=str(text) | bytes(text)):
            if octets := _octets(text).removesuffix(b"\n"):
                yield octets
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            for one in elements:
                yield from _literals(one)
        case ast.Call(func=ast.Attribute(value=inner, attr="encode")) | ast.Starred(value=inner):
            yield from _literals(inner)
        case ast.Call(func=ast.Name(id="Secret"), args=[inner]):
            yield from _literals(inner)


def _constants(value: ast.expr) -> Iterator[str]:
    """Yield the name of a constant of the module that a value consists of."""
    match value:
        case ast.Name(id=name) if name.isupper():
            yield name
        case (
            ast.Call(func=ast.Attribute(value=inner, attr="encode"))
            | ast.Call(func=ast.Name(id="Secret"), args=[inner])
        ):
            yield from _constants(inner)


def _within(octets: bytes) -> Iterator[bytes]:
    """Yield the secrets within a text."""
    text = octets.decode("latin-1")
    if plain := _PLAIN.fullmatch(text):
        yield plain[1].encode("latin-1")
    for encoded in _ENCODED_PLAIN.findall(text):
        if plain := _PLAIN.fullmatch(base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode("latin-1")):
            yield plain[1].encode("latin-1")
    yield from (found.encode() for found in _HASH.findall(text))


def _octets(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _text_of(node: ast.expr) -> str:
    """Return the text of a literal, the last part of a name, and nothing for anything else."""
    match node:
        case ast.Constant(value=str(text)) | ast.Name(id=text) | ast.Attribute(attr=text):
            return text
    return ""
