"""
Who may import whom, and who may touch the world (CONTRIBUTING.md keeps the overview).

Every module is read with `ast`, never imported, except by the last test.  Each
rule is a function from a module's name and text to the breaches in it, so that
the rules themselves are tested against texts that break them.

A new room or top-level module is entered in `MAY_IMPORT` first: one that is
not there breaks the rules by existing.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "smtpbridge"

# What anybody may import: the root of all errors, a value that does not print itself, and how values are made.
LEAVES = {"errors", "secret", "values"}
ANYTHING = {"*"}

# Room or top-level module -> the rooms or modules of ours that it may import beside itself and the leaves.
MAY_IMPORT: dict[str, set[str]] = {
    # The version, which stands in the package's own __init__.
    "": set(),
    "errors": set(),
    "secret": set(),
    "values": set(),
    "mail": set(),
    "smtp": set(),
    "dialect": {"mail"},
    "relay": {"smtp", "dialect", "mail", "store"},
    "sandbox": {"smtp", "mail"},
    "store": {"mail"},
    "events": {"dialect", "mail", "store", "signature"},
    # What settings read and the inbox asks for.
    "signature": set(),
    # Who may look at a page is guessed as who may send is.
    "ops": {"store", "relay.guesses"},
    "config": {"settings", "toml_table", "dialect.policy", "mail", "machine"},
    # Single tables of the configuration, for commands.
    "excerpts": {"config", "machine", "settings"},
    # The real files and environment behind what the readers of a configuration ask.
    "machine": {"settings"},
    "settings": {
        "toml_table",
        "signature",
        "dialect.policy",
        "dialect.bounce_class",
        "dialect.event_options",
        "dialect.sparkpost_event",
        "dialect.token",
        "mail",
    },
    "toml_table": set(),
    # What `tap` and the console command share: from a configuration to objects.
    "assembly": {"correlating", "doors", "relay", "dialect", "settings", "store"},
    # From [events] to objects of the relay.
    "correlating": {"relay", "dialect", "settings", "store"},
    # The same for events, which a daemon without [events] does not load.
    "webhooks": {"event_assembly", "readings", "ops", "settings"},
    "event_assembly": {"correlating", "doors", "events", "relay", "dialect", "settings", "store"},
    # The same for a relay that runs, when the configuration has changed.
    "renewal": {"assembly", "doors", "relay", "settings"},
    # From a listener's part of the configuration to objects.
    "doors": {"relay", "settings", "smtp"},
    # From the relay's objects to the figures that operators look at, by subject.
    "readings": {"relay", "events", "ops", "dialect", "store"},
    "figures": {"readings", "relay", "ops"},
    # What starts and ends the parts of the daemon, in order.
    "daemon": {"relay", "ops", "reloading"},
    # From the relay's sessions to who follows them at the control socket.
    "following": {"relay", "ops"},
    # From [log] to the log of a process.
    "logbook": {"ops", "settings"},
    # From the relay's objects to whether it is well.
    "vitals": {"relay", "ops", "store"},
    # From the relay's objects to what the status page shows of them.
    "sights": {"relay", "ops", "store", "vitals"},
    # From a configuration to the admin endpoint.
    "frontpage": {"ops", "settings"},
    # Several processes: the parent's side, and the program of a worker, which builds a relay as `tap` does.
    "workers": {
        "relay",
        "ops",
        "settings",
        "assembly",
        "doors",
        "config",
        "figures",
        "following",
        "logbook",
        "readings",
        "vitals",
        "sights",
        "reloading.reloads",
        "renewal",
    },
    # The configuration that is in force, and how it becomes another one.
    "reloading": {"config", "machine", "settings", "ops"},
    "tap": ANYTHING,
    "cli": ANYTHING,
    # What `cli` does, by subject; it belongs to `cli`.
    "commands": ANYTHING,
}
# Nobody imports these: the plugin names `tap`, the command that is installed `cli`, the parent its workers' program.
ROOTS = {"tap", "cli", "workers.__main__"}
# Who fetches the global reactor: the programs, and the one place where a console command gets to run it.
FETCHES = {"tap", "workers.__main__", "commands.running"}

PURE = (
    "mail",
    "smtp",
    "dialect",
    "relay.leases",
    "relay.guesses",
    "relay.rates",
    "relay.transcript",
    "relay.wanted",
    "workers.ledger",
    "workers.turns",
    "workers.words",
)
# A pure room computes.  What is missing here may be added if it reads no clock, file or chance and opens nothing.
# fmt: off
PURE_LIBRARIES = {
    "abc", "base64", "binascii", "bisect", "codecs", "collections", "contextlib", "copy", "css_inline", "dataclasses",
    "datetime",
    "difflib", "enum", "functools", "hashlib", "heapq", "hmac", "html", "idna", "ipaddress", "itertools", "json",
    "math", "operator", "publicsuffixlist", "quopri", "re", "string", "struct", "textwrap", "types", "typing",
    "unicodedata", "urllib.parse", "zlib",
}
# fmt: on
CLOCKS = {"now", "utcnow", "today"}

# These read and write files; what else has to do with files gets octets or an open file from them.
FILES = ("tap", "cli", "commands", "config", "excerpts", "machine", "store", "relay.spool", "sandbox.folder", "logbook")
# A path is a value of the configuration; what is in the file is for `config` to read.
PATHS = ("settings",)
READS_AND_WRITES = {"read_bytes", "read_text", "write_bytes", "write_text", "iterdir"}
FILE_LIBRARIES = {"pathlib", "tempfile", "shutil", "glob", "fileinput", "mailbox", "twisted.python.filepath"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}

Rule: TypeAlias = Callable[[str, str], list[str]]


def modules() -> dict[str, str]:
    """Return the text of every module by its dotted name below the package; `mail` is mail/__init__.py."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def lies_in(name: str, rooms: Collection[str]) -> bool:
    """Tell whether a dotted name is one of `rooms` or lies below one."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def imports(text: str) -> Iterator[tuple[int, str]]:
    """
    Yield (line, dotted name) for every import in a module, also inside functions.

    `from a import b` yields `a.b`, which may be a module or a name in one: `lies_in` makes no difference.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def wrong_neighbours(name: str, text: str) -> list[str]:
    """Find imports of a room of ours that this one must not know."""
    home = name.split(".")[0]
    if home not in MAY_IMPORT:
        return [f"{name}: not in MAY_IMPORT"]
    allowed = MAY_IMPORT[home] | LEAVES | {home}
    breaches = []
    for line, target in imports(text):
        if target.startswith("."):
            breaches.append(f"{name}:{line}: relative import {target}")
            continue
        package, _, inner = target.partition(".")
        if package != "smtpbridge" or inner == "__version__":
            continue
        is_root = lies_in(inner, ROOTS) and not lies_in(inner, {home})
        if is_root or not (allowed >= ANYTHING or lies_in(inner, allowed)):
            breaches.append(f"{name}:{line}: imports {target}")
    return breaches


def impurities(name: str, text: str) -> list[str]:
    """Find what a pure module must not use: any library that is not known to only compute, and the clock."""
    if not lies_in(name, PURE):
        return []
    breaches = [
        f"{name}:{line}: imports {target}"
        for line, target in imports(text)
        if not lies_in(target, PURE_LIBRARIES | {"smtpbridge"})
    ]
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id="open" | "input" | "print" | "__import__" as called)):
                breaches.append(f"{name}:{node.lineno}: calls {called}()")
            case ast.Call(func=ast.Attribute(attr=called)) if called in CLOCKS:
                breaches.append(f"{name}:{node.lineno}: calls {called}()")
    return breaches


def reaches_for_files(name: str, text: str) -> list[str]:
    """Find files and the environment where only octets and plain arguments belong."""
    if lies_in(name, FILES):
        return []
    breaches = [
        f"{name}:{line}: imports {target}"
        for line, target in imports(text)
        if (lies_in(target, FILE_LIBRARIES) and not (lies_in(name, PATHS) and lies_in(target, {"pathlib"})))
        or target.removeprefix("os.") in ENVIRONMENT
        or target in ("os.open", "io.open")
    ]
    for node in ast.walk(ast.parse(text)):
        match node:
            case (
                ast.Call(func=ast.Name(id="open"))
                | ast.Call(func=ast.Attribute(value=ast.Name(id="os" | "io"), attr="open" | "fdopen"))
            ):
                breaches.append(f"{name}:{node.lineno}: opens a file")
            case ast.Call(func=ast.Attribute(attr=called)) if called in READS_AND_WRITES:
                breaches.append(f"{name}:{node.lineno}: calls {called}()")
            case ast.Attribute(value=ast.Name(id="os"), attr=variable) if variable in ENVIRONMENT:
                breaches.append(f"{name}:{node.lineno}: reads the environment")
    return breaches


def fixed_reactors(name: str, text: str) -> list[str]:
    """Find imports of the global reactor: it comes in by the constructor, from a function of those in `FETCHES`."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {node.lineno for function in functions for node in ast.walk(function) if isinstance(node, ast.stmt)}
    return [
        f"{name}:{line}: imports the reactor"
        for line, target in imports(text)
        if target.startswith("twisted.internet.reactor") and not (lies_in(name, FETCHES) and line in inside)
    ]


def work_in_init(name: str, text: str) -> list[str]:
    """Find anything but a docstring in a package's __init__; the top one also holds the version."""
    tree = ast.parse(text)
    rest = tree.body[1:] if ast.get_docstring(tree) else [*tree.body, ast.Pass(lineno=1)]
    if not name:
        rest = [node for node in rest if not ast.unparse(node).startswith("__version__ = ")]
    return [f"{name or 'smtpbridge'}/__init__.py:{node.lineno}: only a docstring belongs here" for node in rest]


RULES: list[Rule] = [wrong_neighbours, impurities, reaches_for_files, fixed_reactors]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_module_breaks_the_layout(rule: Rule) -> None:
    assert [breach for name, text in modules().items() for breach in rule(name, text)] == []


def test_a_package_init_holds_only_a_docstring() -> None:
    texts = {
        name: text for name, text in modules().items() if (PACKAGE / name.replace(".", "/") / "__init__.py").exists()
    }

    assert {"", "mail", "smtp", "dialect", "relay", "sandbox"} <= texts.keys()
    assert [breach for name, text in texts.items() for breach in work_in_init(name, text)] == []


def test_every_module_opens_with_a_docstring() -> None:
    assert [name for name, text in modules().items() if not ast.get_docstring(ast.parse(text))] == []


def test_importing_every_module_installs_no_reactor() -> None:
    names = [f"smtpbridge.{name}".rstrip(".") for name in modules()]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (wrong_neighbours, "smtp.server", "from smtpbridge.mail.headers import HeaderBlock"),
        (wrong_neighbours, "mail.trace", "import smtpbridge.smtp.replies"),
        (wrong_neighbours, "mail.trace", "from smtpbridge import smtp"),
        (wrong_neighbours, "mail.trace", "from . import headers"),
        (wrong_neighbours, "dialect.translate", "from smtpbridge.config import Config"),
        (wrong_neighbours, "relay.pool", "def later():\n    from smtpbridge.config import Config"),
        (wrong_neighbours, "relay.pool", "from smtpbridge.events import inbox"),
        (wrong_neighbours, "sandbox.server", "from smtpbridge.relay.pool import Pool"),
        (wrong_neighbours, "config", "from smtpbridge.dialect.translate import translate"),
        (wrong_neighbours, "cli", "from smtpbridge.tap import Options"),
        (wrong_neighbours, "tap", "from smtpbridge import cli"),
        (wrong_neighbours, "misc", ""),
        (impurities, "smtp.client", "from twisted.internet import defer"),
        (impurities, "mail.trace", "import time"),
        (impurities, "mail.trace", "from datetime import datetime\nNOW = datetime.now()"),
        (impurities, "dialect.infobip", "import secrets"),
        (impurities, "dialect.infobip", "import attrs"),
        (impurities, "dialect.infobip", "DATA = open('x').read()"),
        (impurities, "relay.leases", "import socket"),
        (reaches_for_files, "relay.pool", "import os\nHOME = os.environ['HOME']"),
        (reaches_for_files, "relay.pool", "from os import getenv"),
        (reaches_for_files, "sandbox.server", "from pathlib import Path"),
        (reaches_for_files, "relay.listener", "import tempfile"),
        (reaches_for_files, "settings.pem", "from pathlib import Path\nTEXT = Path('x').read_text()"),
        (reaches_for_files, "relay.listener", "def f():\n    return open('x')"),
        (reaches_for_files, "relay.listener", "import os\ndef f():\n    return os.open('x', 0)"),
        (fixed_reactors, "relay.pool", "def later():\n    from twisted.internet import reactor"),
        (fixed_reactors, "tap", "try:\n    from twisted.internet import reactor\nexcept ImportError:\n    pass"),
        (fixed_reactors, "tap", "import twisted.internet.reactor as reactor"),
        (work_in_init, "mail", '"""What a message is."""\nfrom smtpbridge.mail.headers import HeaderBlock'),
        (work_in_init, "mail", "LIMIT = 1"),
        (work_in_init, "mail", ""),
    ],
)
def test_a_breach_is_seen(rule: Rule, name: str, text: str) -> None:
    assert rule(name, text) != []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (wrong_neighbours, "dialect.plan", "from smtpbridge.mail.message import Envelope"),
        (wrong_neighbours, "relay.bridge", "from smtpbridge.dialect import translate\nfrom smtpbridge.errors import X"),
        (wrong_neighbours, "config", "from smtpbridge.dialect.policy import Policy"),
        (wrong_neighbours, "cli", "from smtpbridge.config import load\nfrom smtpbridge import __version__"),
        (impurities, "relay.pool", "import time"),
        (
            impurities,
            "mail.addresses",
            "import idna\nfrom urllib.parse import quote\nfrom collections.abc import Mapping",
        ),
        (reaches_for_files, "config", "import os\nfrom pathlib import Path\nHOME = os.environ"),
        (reaches_for_files, "relay.pool", "def f(pool):\n    return pool.open()"),
        (reaches_for_files, "settings.values", "from pathlib import Path"),
        (fixed_reactors, "tap", "def make():\n    from twisted.internet import reactor\n    return reactor"),
        (work_in_init, "", '"""The bridge."""\n__version__ = "1"'),
    ],
)
def test_what_is_allowed_is_not_called_a_breach(rule: Rule, name: str, text: str) -> None:
    assert rule(name, text) == []
