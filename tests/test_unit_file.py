"""
The systemd unit: how much its sandbox closes, and that the daemon runs in it.

No systemd runs where tests run, so the daemon is started under what its lines
come to, as far as any user may ask the kernel for it: the filter of system calls,
as `systemd-analyze` spells it out and with EPERM for all the rest, by libseccomp
(which systemd brings along); no socket but TCP, UDP and local ones, and no `bind` and
`listen` at all; and Landlock for "no writing but in two folders".  `CONFINED` puts these
on itself and becomes the program.  The listening socket goes in as systemd hands
it over: descriptor 3, $LISTEN_FDS, $LISTEN_PID, $LISTEN_FDNAMES.

What is closed is asked as well, by a program that tries it: a confinement that
stops nothing would let every other test here pass.
"""

import ctypes
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from smtplib import SMTP

import pytest

from smtpbridge.relay.service import DRAIN_SECONDS
from smtpbridge.workers.parent import STOP_SECONDS
from tests.integration.rig import (
    PATIENCE,
    BridgeProgram,
    Papers,
    daemon_command,
    make_papers,
    sandbox,
    starttls_lines,
    write_config,
)

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "etc/smtpbridge.service"
SOCKET = ROOT / "etc/smtpbridge.socket"
INSTRUCTIONS = ROOT / "docs/service.md"
SENDER = "shop@mail.example.com"
MESSAGE = f"From: {SENDER}\r\nTo: r@example.org\r\nSubject: one\r\n\r\n"

# What PR_SET_MDWE and Landlock are to the kernel (prctl(2), landlock(7)); the numbers are the same on every machine.
_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN = 65, 1
_LANDLOCK_CREATE = 444

# Reads what to do as JSON from its argument, confines itself, becomes the command.
CONFINED = r"""
import ctypes, json, os, socket, sys

wanted = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)

def call(done):
    if done < 0:
        sys.exit(f"cannot confine: {os.strerror(ctypes.get_errno())}")
    return done

class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

class Below(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("access", ctypes.c_uint64), ("folder", ctypes.c_int32)]

def seal_files(folders):
    # Writing, removing and making of any kind, as the first version of Landlock knows it.
    writing = ctypes.c_uint64(sum(1 << bit for bit in (1, *range(4, 13))))
    rules = call(libc.syscall(444, ctypes.byref(writing), ctypes.c_size_t(8), 0))
    for folder in folders:
        below = Below(writing.value, os.open(folder, os.O_PATH))
        call(libc.syscall(445, rules, 1, ctypes.byref(below), 0))
    call(libc.syscall(446, rules, 0))

def filter_calls(names, families):
    library = ctypes.CDLL(wanted["libseccomp"])
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(0x00050001))  # everything else: EPERM
    allow = ctypes.c_uint32(0x7FFF0000)
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # a name of another kind of machine
        for family in families if name == "socket" else [None]:
            equal = [] if family is None else [Comparison(0, 4, family, 0)]
            array = (Comparison * max(1, len(equal)))(*equal)
            call(library.seccomp_rule_add_array(filters, allow, number, len(equal), array))
    call(library.seccomp_load(filters))

if wanted["passed"]:
    opened = socket.create_server(("127.0.0.1", 0))
    os.dup2(opened.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES=wanted["passed"], LISTEN_PID=str(os.getpid()))
os.environ["TMPDIR"] = wanted["folders"][-1]
call(libc.prctl(38, 1, 0, 0, 0))
seal_files(wanted["folders"])
filter_calls(wanted["calls"], wanted["families"])
os.execv(wanted["command"][0], wanted["command"])
"""


def lines_of(unit: Path) -> list[tuple[str, str]]:
    """Return the assignments of a unit file in their order."""
    pairs = [line.partition("=") for line in unit.read_text(encoding="utf-8").splitlines() if re.match(r"\w+=", line)]
    return [(name, value) for name, _, value in pairs]


def last(unit: Path, name: str) -> str:
    """Return what counts of the assignments to that name."""
    return [value for key, value in lines_of(unit) if key == name][-1]


def words_of(path: Path) -> list[str]:
    """Return the lines of a file that are no comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def systemd(name: str, *arguments: str | Path) -> str:
    """Run a program that comes with systemd; skip where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (package systemd)")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call_groups() -> dict[str, list[str]]:
    """Return systemd's groups of system calls: the names in each, other groups included as they are."""
    groups: dict[str, list[str]] = {}
    for line in systemd("systemd-analyze", "--no-pager", "syscall-filter").splitlines():
        if line.startswith("@"):
            groups[line.strip()] = names = []
        elif line.startswith(" ") and not line.strip().startswith("#"):
            names.append(line.strip())
    return groups


def spelled_out(words: Sequence[str], groups: dict[str, list[str]]) -> set[str]:
    """Return the system calls that these names and groups come to."""
    calls: set[str] = set()
    for word in words:
        calls |= spelled_out(groups[word], groups) if word.startswith("@") else {word}
    return calls


def allowed_calls() -> set[str]:
    """Return the system calls that the unit lets through."""
    groups = call_groups()
    # @default is always let through, and systemd itself has to start the program (systemd.exec(5)).
    calls = spelled_out(["@default", "execve"], groups)
    for name, value in lines_of(UNIT):
        if name == "SystemCallFilter":
            words = spelled_out(value.removeprefix("~").split(), groups)
            calls = calls - words if value.startswith("~") else calls | words
    return calls


def landlock() -> bool:
    """Tell whether the kernel can keep a process from writing."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1) > 0)


def confined(command: Sequence[str], folders: Sequence[Path], passed: str = "") -> list[str]:
    """
    Return the command line that runs `command` as the unit would; it writes only below `folders`.

    With `passed` it is given a socket of that name, which listens on 127.0.0.1.
    """
    library = find_library("seccomp")
    if library is None:
        pytest.skip("libseccomp is not installed (package libseccomp2)")
    if not landlock():
        pytest.skip("the kernel has no Landlock")
    families = [getattr(socket, name).value for name in last(UNIT, "RestrictAddressFamilies").split()]
    wanted = {
        "command": list(command),
        "passed": passed,
        "folders": [str(folder) for folder in folders],
        "libseccomp": library,
        # SocketBindDeny=any, and more: a passed socket listens already.
        "calls": sorted(allowed_calls() - {"bind", "listen"}),
        "families": families,
    }
    return [sys.executable, "-c", CONFINED, json.dumps(wanted)]


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return make_papers(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """The state folder and the one for temporary files: all that may be written to."""
    both = [tmp_path / "state", tmp_path / "temporary"]
    for folder in both:
        folder.mkdir()
    return both


def trusting(papers: Papers) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(papers.authority))


@contextmanager
def confined_bridge(
    tmp_path: Path, papers: Papers, folders: Sequence[Path], port: int, **environment: str
) -> Iterator[BridgeProgram]:
    """Run the daemon as the unit does, on a socket that it is given; `port` is the provider's."""
    name = last(SOCKET, "FileDescriptorName")
    config = write_config(
        tmp_path,
        papers,
        port,
        endpoint=f"systemd:domain=INET:name={name}",
        listener=f'allow = ["127.0.0.0/8"]\n{starttls_lines(papers)}',
    )
    text = config.read_text()
    config.write_text(text.replace(f'[store]\npath = "{tmp_path}"', f'[store]\npath = "{folders[0]}"'))
    # `env` becomes the program, so that the process stays the same.
    command = ["env", *(f"{key}={value}" for key, value in environment.items())]
    command += confined(daemon_command(config), folders, passed=name)
    running = BridgeProgram(command, tmp_path / "bridge.log")
    try:
        yield running
    finally:
        running.stop()


def test_systemd_calls_what_the_unit_leaves_open_little() -> None:
    said = systemd("systemd-analyze", "--no-pager", "--offline=true", "security", str(UNIT))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)

    assert found is not None
    assert float(found[1]) <= 1.5


def test_the_daemon_relays_stores_and_ends_in_the_units_sandbox_with_a_passed_socket(
    tmp_path: Path, papers: Papers, folders: list[Path]
) -> None:
    # Over spool_bytes, so through a temporary file; the second recipient of it is stored for later.
    large = MESSAGE + "a line of the body\r\n" * 50_000
    with sandbox(tmp_path, papers) as upstream, confined_bridge(tmp_path, papers, folders, upstream.port) as relay:
        with SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as sender:
            sender.starttls(context=trusting(papers))
            sender.sendmail(SENDER, ["r@example.org"], MESSAGE + "hello\r\n")
            sender.sendmail(SENDER, ["r@example.org", "later@example.org"], large)
        relay.signal(signal.SIGTERM)

        assert relay.ended() == 0, relay.output()
        assert [message.rcpt_to for message in upstream.new_messages()] == [("r@example.org",)] * 2

    assert "Traceback" not in relay.output()
    assert "listening at systemd:" in relay.output()
    assert any(folders[0].iterdir()), "the store"


def test_in_the_units_sandbox_the_daemon_tells_systemd_that_it_is_up_and_that_it_stops(
    tmp_path: Path, papers: Papers, folders: list[Path]
) -> None:
    address = f"smtpbridge-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address}")
        manager.settimeout(PATIENCE)
        with confined_bridge(tmp_path, papers, folders, 1, NOTIFY_SOCKET=f"@{address}") as relay:
            assert b"READY=1" in manager.recv(4096)
            relay.signal(signal.SIGTERM)
            while b"STOPPING=1" not in manager.recv(4096):
                pass
            assert relay.ended() == 0, relay.output()


def test_systemd_reloads_by_a_command_that_waits_and_asks_with_the_file_of_the_daemon() -> None:
    start, command = last(UNIT, "ExecStart").split(), last(UNIT, "ExecReload").split()

    assert command[1:] == ["reload", *start[-2:]]
    assert Path(command[0]).parent == Path(start[0]).parent


def test_systemd_waits_for_signs_of_life_that_the_daemon_gives() -> None:
    assert last(UNIT, "Type") == "notify"
    assert last(UNIT, "NotifyAccess") == "main"
    assert last(UNIT, "WatchdogSec") == "30s"
    assert "AF_UNIX" in last(UNIT, "RestrictAddressFamilies").split(), "or no notice would leave the sandbox"


# One attempt each, in a Python that has nothing else to do; the exit status tells whether it was let through.
ATTEMPTS = {
    "a port of its own": "import socket; socket.create_server(('127.0.0.1', 0))",
    "a socket to the kernel": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "another user": "import os; os.setuid(os.getuid())",
    "another owner of a file": "import os; os.chown({state!r}, -1, -1)",
    "another priority": "import os; os.setpriority(os.PRIO_PROCESS, 0, 19)",
    "a file elsewhere": "open({elsewhere!r}, 'w')",
    "a folder elsewhere": "import os; os.mkdir({elsewhere!r})",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_sandbox_refuses(attempt: str, tmp_path: Path, folders: list[Path]) -> None:
    script = ATTEMPTS[attempt].format(state=str(folders[0]), elsewhere=str(tmp_path / "elsewhere"))
    command = confined([sys.executable, "-c", script], folders)

    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert "PermissionError" in done.stderr, "refused by the sandbox, not for another reason"
    # The same is possible outside of it, or this would prove nothing.
    assert subprocess.run([sys.executable, "-c", script], timeout=PATIENCE, check=False).returncode == 0


def test_the_sandbox_lets_the_two_folders_be_written(folders: list[Path]) -> None:
    script = f"import os, tempfile; os.mkdir({str(folders[0] / 'bodies')!r}); tempfile.TemporaryFile().write(b'x')"

    done = subprocess.run(confined([sys.executable, "-c", script], folders), timeout=PATIENCE, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("group", ["@mount", "@module", "@raw-io", "@reboot", "@swap", "@debug", "@clock", "@setuid"])
def test_no_call_of_a_dangerous_group_is_let_through(group: str) -> None:
    assert spelled_out([group], call_groups()) & allowed_calls() == set()


def test_no_later_line_of_the_unit_takes_back_an_earlier_one() -> None:
    several = ("SystemCallFilter", "Wants")
    names = [name for name, _ in lines_of(UNIT) if name not in several]

    # An assignment of nothing resets a list, so that its place among the lines would decide.
    assert sorted(names) == sorted(set(names))
    assert last(UNIT, "CapabilityBoundingSet") == ""
    assert last(UNIT, "AmbientCapabilities") == ""


def test_the_socket_belongs_to_the_service_and_its_name_is_the_one_in_the_instructions() -> None:
    said = f'endpoint = "systemd:domain=INET:name={last(SOCKET, "FileDescriptorName")}"'

    assert last(SOCKET, "Service") == UNIT.name
    assert ("Wants", SOCKET.name) in lines_of(UNIT)
    assert last(UNIT, "SocketBindDeny") == "any"
    assert said in INSTRUCTIONS.read_text(encoding="utf-8")
    assert said in SOCKET.read_text(encoding="utf-8")


def test_systemd_waits_longer_for_the_end_than_the_daemon_takes_at_most() -> None:
    assert DRAIN_SECONDS < STOP_SECONDS < float(last(UNIT, "TimeoutStopSec").removesuffix("s"))


def test_the_user_of_the_service_is_the_one_that_is_made_and_that_owns_its_folders() -> None:
    [user] = [line.split()[1] for line in words_of(ROOT / "etc/smtpbridge.sysusers")]
    folders = {line.split()[1]: line.split()[2:5] for line in words_of(ROOT / "etc/smtpbridge.tmpfiles")}

    assert (last(UNIT, "User"), last(UNIT, "Group")) == (user, user)
    # Only root changes the configuration, and strangers do not read it; the store is the daemon's alone.
    assert folders == {"/etc/smtpbridge": ["0750", "root", user], "/var/lib/smtpbridge": ["0700", user, user]}
    assert last(UNIT, "StateDirectory") == "smtpbridge"


def test_tls_still_needs_memory_that_is_written_and_run() -> None:
    """
    The one line that the unit leaves out, MemoryDenyWriteExecute.

    When this fails, pyOpenSSL's callbacks have come to do without: put MemoryDenyWriteExecute=yes into the unit.
    """
    script = f"""
import ctypes, sys
if ctypes.CDLL(None).prctl({_SET_MDWE}, {_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0):
    sys.exit(77)
from OpenSSL.SSL import TLS_METHOD, Context
# As Twisted does for every connection upstream.
Context(TLS_METHOD).set_info_callback(lambda *_: None)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode == 77:
        pytest.skip("the kernel cannot deny such memory (Linux 6.3)")

    assert not any(name == "MemoryDenyWriteExecute" for name, _ in lines_of(UNIT))
    assert "MemoryError" in done.stderr
