"""
What is shipped: the wheel, the editable install, the image, the service, the Makefile.

Whether `twistd` sees the plugin depends on where the files end up, so it is
asked in processes that have only an install of this test's own in their path:
`python -S` leaves out what the running environment would add.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import BytesHeaderParser
from fnmatch import fnmatch
from pathlib import Path

import pytest

import smtpbridge
from smtpbridge.settings.upstream import password_credential

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = sysconfig.get_path("purelib")
PLUGIN = "twisted/plugins/smtpbridge_plugin.py"


def run(*command: str | Path, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end with an environment of its own."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "HOME": str(cwd), "PYTHONPATH": path}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def build(target: str, folder: Path) -> Path:
    """Build the kind of wheel that hatchling calls `target` and return its file."""
    done = run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel, without what it needs, into a folder of its own."""
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target")
    done = run(sys.executable, "-m", "pip", "install", *options, folder, wheel, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed") / "site")


def plugins(setup: str, path: str, cwd: Path) -> list[list[str]]:
    """Return [name, module] of each service named smtpbridge that a Python with that path offers to twistd."""
    script = f"""
import json
{setup}
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
found = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "smtpbridge"]
print(json.dumps([[maker.name, maker.module] for maker in found]))
"""
    done = run(sys.executable, "-S", "-c", script, cwd=cwd, path=path)
    assert done.returncode == 0, done.stderr
    names: list[list[str]] = json.loads(done.stdout)
    return names


def test_the_wheel_holds_the_package_and_the_plugin_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = [path for path in (ROOT / "smtpbridge").rglob("*") if path.is_file() and path.suffix != ".pyc"]

    wanted = {str(path.relative_to(ROOT)) for path in ours} | {PLUGIN}
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_tells_its_version_and_needs_only_what_runs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesHeaderParser().parsebytes(archive.read(name))
    needs = [str(need) for need in metadata.get_all("Requires-Dist", [])]
    always = {re.split(r"[^\w-]", need)[0] for need in needs if "extra ==" not in need}

    assert metadata["Version"] == smtpbridge.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert always == {"twisted", "pyopenssl", "service-identity", "treq", "publicsuffixlist", "click", "idna"}


def test_twistd_sees_the_plugin_of_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    assert [found[:2] for found in plugins("", f"{installed}:{LIBRARIES}", tmp_path)] == [
        ["smtpbridge", "smtpbridge.tap"]
    ]


def test_twistd_sees_no_plugin_where_nothing_is_installed(tmp_path: Path) -> None:
    assert plugins("", LIBRARIES, tmp_path) == []


def test_twistd_sees_the_plugin_of_an_editable_install(tmp_path: Path) -> None:
    site = install(build("wheel:editable", tmp_path), tmp_path / "site")

    found = plugins(f"import site; site.addsitedir({str(site)!r})", LIBRARIES, tmp_path)

    # What was found is the source tree's: this install holds nothing but the way there.
    assert not (site / "smtpbridge").exists()
    assert found == [["smtpbridge", "smtpbridge.tap"]]


def test_importing_the_plugin_imports_neither_the_package_nor_the_reactor(installed: Path, tmp_path: Path) -> None:
    script = (
        "import sys, twisted.plugins.smtpbridge_plugin as plugin\n"
        "print(plugin.__file__, 'smtpbridge' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    )

    done = run(sys.executable, "-S", "-c", script, cwd=tmp_path, path=f"{installed}:{LIBRARIES}")

    assert done.stdout.split() == [str(installed / PLUGIN), "False", "False"], done.stderr


def test_nothing_of_ours_makes_a_package_of_twisteds_folders() -> None:
    # With an __init__.py there, Python would take this folder for Twisted itself.
    assert [path.name for path in (ROOT / "twisted").rglob("*.py")] == ["smtpbridge_plugin.py"]


def dockerfile() -> list[list[str]]:
    """Return the instructions of the Dockerfile as words, comments gone and continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line.split() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def test_the_image_runs_the_daemon_as_a_user_of_its_own_and_ends_on_sigterm() -> None:
    final = dockerfile()[[words[0] for words in dockerfile()].index("FROM", 1) :]
    last = {words[0]: words[1:] for words in final}
    entry = json.loads(" ".join(last["ENTRYPOINT"]))

    assert last["USER"] not in ([], ["root"], ["0"])
    assert last["STOPSIGNAL"] == ["SIGTERM"]
    assert last["EXPOSE"] == ["2525"]
    assert last["VOLUME"] == ["/var/lib/smtpbridge"]
    assert entry == ["twistd", "-n", "--pidfile=", "smtpbridge", "--config", "/etc/smtpbridge/smtpbridge.toml"]


def test_what_the_image_copies_is_there_and_not_left_out() -> None:
    copied = [words[1:-1] for words in dockerfile() if words[0] == "COPY" and not words[1].startswith("--from")]
    sources = [source for words in copied for source in words]
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    kept = [rule[1:] for rule in rules if rule.startswith("!")]

    assert "smtpbridge" in sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not any(fnmatch(source.rstrip("/"), rule) for rule in kept)] == []


def test_the_image_has_a_python_that_the_package_allows() -> None:
    versions = [tuple(map(int, re.findall(r"\d+", words[1])[:2])) for words in dockerfile() if words[0] == "FROM"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = tuple(map(int, re.findall(r"\d+", project["requires-python"])))

    assert len(set(versions)) == 1
    assert versions[0] >= lowest


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_service(tmp_path: Path) -> None:
    text = (ROOT / "etc/smtpbridge.service").read_text(encoding="utf-8")
    # The programs are where the unit's first lines put them; here only whether they are programs is asked.
    unit = tmp_path / "smtpbridge.service"
    unit.write_text(re.sub(r"/opt/smtpbridge/bin/\w+", "/bin/true", text), encoding="utf-8")

    done = run("systemd-analyze", "verify", "--man=no", unit, cwd=tmp_path)
    ours = [line for line in done.stderr.splitlines() if "smtpbridge" in line]

    assert (done.returncode, ours) == (0, [])


def test_the_service_has_a_user_a_state_folder_and_a_restart() -> None:
    lines = set((ROOT / "etc/smtpbridge.service").read_text(encoding="utf-8").splitlines())

    assert {"User=smtpbridge", "StateDirectory=smtpbridge", "Restart=on-failure", "NoNewPrivileges=yes"} <= lines
    assert {"ProtectSystem=strict", "CapabilityBoundingSet=", "PrivateDevices=yes"} <= lines
    # pyOpenSSL cannot make a callback under it: the daemon would start, and every TLS connection would fail.
    assert not any(line.startswith("MemoryDenyWriteExecute") for line in lines)


def test_the_service_and_the_example_file_name_the_credential_that_the_daemon_looks_for() -> None:
    credential = f"LoadCredential={password_credential('main')}:/etc/smtpbridge/infobip.key"

    assert f"#{credential}\n" in (ROOT / "etc/smtpbridge.service").read_text(encoding="utf-8")
    assert credential in (ROOT / "etc/smtpbridge.toml").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_bench_runs_the_benchmarks_and_names_those_of_the_whole(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    assert "-m pytest bench --benchmark-only" in run("make", "--dry-run", "bench", cwd=tmp_path).stdout
    (line,) = [line for line in run("make", cwd=ROOT).stdout.splitlines() if line.startswith("make bench ")]
    modules = re.findall(r"-m bench\.(\w+)", line)
    assert modules
    assert all((ROOT / "bench" / f"{module}.py").is_file() for module in modules)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_names_its_targets_when_asked_for_none() -> None:
    done = run("make", cwd=ROOT)
    targets = [line.split()[1] for line in done.stdout.splitlines()]

    assert targets == ["help", "run", "test", "lint", "types", "format", "bench", "clean"], done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("target", "installs", "does"),
    [("run", "--editable .", "smtpbridge demo"), ("test", "--editable '.[dev]'", "-m pytest")],
)
def test_make_sets_up_what_a_fresh_machine_lacks(target: str, installs: str, does: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    steps = run("make", "--dry-run", target, cwd=tmp_path).stdout
    order = [steps.find(step) for step in ("-m venv .venv", f"install {installs}\n", does)]

    assert -1 not in order, steps
    assert order == sorted(order)
