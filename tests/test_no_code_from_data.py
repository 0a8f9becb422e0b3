"""
Nothing that comes in is ever run: no shell, no process, no pickle, no `eval`.

Every module is read with `ast`.  The rule is a function from a module's text to
the breaches in it, so that it is itself tested against texts that break it.  Two
modules start a process: they are named here with their reasons.  One belongs to the console
command, the other to daemons of several workers; a daemon of one process imports neither.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "smtpbridge"

# Each makes code, objects of any kind, or a process out of data.
LIBRARIES = {
    "pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "copyreg",
    "yaml", "ruamel",
    "subprocess", "pty", "pexpect", "multiprocessing", "runpy", "code", "codeop", "imp", "ctypes",
    "twisted.persisted", "twisted.spread", "twisted.conch", "twisted.internet.utils",
    "twisted.python.shortcut", "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process",
}  # fmt: skip
BUILT_IN = {"eval", "exec", "compile", "__import__", "execfile"}
IMPORTS_BY_NAME = {"import_module", "namedAny", "namedObject", "namedModule"}
# Of `os`, by the beginning of their names.
PROCESSES = ("system", "popen", "exec", "spawn", "fork", "posix_spawn", "startfile")
OF_REACTORS = {"spawnProcess"}

# Module -> why it may.
MAY = {
    "commands/daemon.py": "`smtpbridge demo` starts the daemon: this Python, words of its own, no shell",
    "workers/process.py": "the parent of several workers starts them: this Python, words of its own, no shell",
}


def is_forbidden(name: str) -> bool:
    """Tell whether nobody may import that dotted name."""
    module, _, last = name.rpartition(".")
    return (
        any(name == library or name.startswith(library + ".") for library in LIBRARIES)
        or last in IMPORTS_BY_NAME
        or (module == "os" and last.startswith(PROCESSES))
    )


def breaches(text: str) -> Iterator[str]:
    """Yield what in a module turns data into code or into a process."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                wanted = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                wanted = [f"{module}.{alias.name}" for alias in names]
            case ast.Call(func=ast.Name(id=called)) if called in BUILT_IN | IMPORTS_BY_NAME:
                yield f"{node.lineno}: calls {called}()"
                continue
            # re.compile and the like are methods and nobody's built-in.
            case ast.Attribute(attr=called) if called in IMPORTS_BY_NAME | OF_REACTORS:
                yield f"{node.lineno}: uses {called}"
                continue
            case ast.Attribute(value=ast.Name(id="os"), attr=called) if called.startswith(PROCESSES):
                yield f"{node.lineno}: uses os.{called}"
                continue
            case ast.keyword(arg="shell"):
                yield f"{node.value.lineno}: asks for a shell"
                continue
            case _:
                continue
        for name in wanted:
            if is_forbidden(name):
                yield f"{node.lineno}: imports {name}"


def modules() -> dict[str, str]:
    """Return the text of every module by its path below the package."""
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_no_module_makes_code_or_a_process_out_of_data() -> None:
    found = {name: list(breaches(text)) for name, text in modules().items()}

    assert {name: lines for name, lines in found.items() if lines and name not in MAY} == {}
    assert {name for name in MAY if not found[name]} == set(), "an exception that nobody needs any more"


def test_the_daemon_does_not_import_what_starts_a_process() -> None:
    names = sorted(f"smtpbridge.{name.removesuffix('.py').replace('/', '.')}" for name in MAY)
    script = "import sys, smtpbridge.tap\nprint([name for name in sys.argv[1:] if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal, json",
        "def later():\n    import subprocess",
        "from twisted.internet.utils import getProcessOutput",
        "from concurrent.futures import ProcessPoolExecutor",
        "import os\nos.system('true')",
        "from os import popen",
        "import os\nrun = os.execv",
        "import os\nos.posix_spawn('/bin/true', [], {})",
        "eval('1')",
        "exec(text)",
        "code = compile(text, '', 'exec')",
        "__import__(name)",
        "import importlib\nimportlib.import_module(name)",
        "from twisted.python.reflect import namedAny",
        "reactor.spawnProcess(self, 'true')",
        "run('true', shell=True)",
    ],
)
def test_a_breach_is_seen(text: str) -> None:
    assert list(breaches(text)) != []


@pytest.mark.parametrize(
    "text", ["import re\nre.compile('x')", "import os\nos.open('x', 0)", "from concurrent.futures import Future"]
)
def test_what_is_harmless_is_not_called_a_breach(text: str) -> None:
    assert list(breaches(text)) == []
