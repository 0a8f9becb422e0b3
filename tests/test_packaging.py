"""
What is shipped: the wheel, the editable install, the image, the service, the Makefile.

Whether `twistd` sees the plugin depends on where the files end up, so it is
asked in processes that have only an install of this test's own in their path:
`python -S` leaves out what the running environment would add.
"""

import ast
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
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import smtpbridge
from smtpbridge.settings.upstream import password_credential

ROOT = Path(__file__).resolve().parents[1]
# What is needed to run, and no more.  A new one is a decision: code of others, in the process that holds the keys.
NEEDS = (
    "twisted", "pyopenssl", "service-identity", "treq", "publicsuffixlist", "click", "prometheus-client",
    "cryptography", "idna", "zope-interface",
)  # fmt: skip
# What has no upper bound of ours, and whose release bounds it.
BOUNDED_BY_OTHERS = {"cryptography": "pyopenssl"}
# What of etc/ an operator copies into place; pip puts it into share/smtpbridge.
SHARED = (
    "smtpbridge.toml",
    *(f"smtpbridge.{kind}" for kind in ("service", "socket", "sysusers", "tmpfiles")),
    "fail2ban",
)
# The targets of make that keep the locks.
LOOK_AFTER = ("lock", "pip-audit", "sbom")
IMAGE_LOCK, BUILD_LOCK = ROOT / "etc/requirements/image.txt", ROOT / "etc/requirements/build.txt"
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


def test_the_wheel_holds_the_package_the_plugin_the_manual_pages_what_an_operator_copies_and_nothing_else(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = [path for path in (ROOT / "smtpbridge").rglob("*") if path.is_file() and path.suffix != ".pyc"]

    shared = [ROOT / "etc" / name for name in SHARED]
    files = [path for one in shared for path in ([one] if one.is_file() else one.rglob("*.conf"))]

    wanted = {str(path.relative_to(ROOT)) for path in ours} | {PLUGIN}
    wanted |= {"share/man/man1/smtpbridge.1", "share/man/man5/smtpbridge.toml.5"}
    wanted |= {f"share/smtpbridge/{path.relative_to(ROOT / 'etc')}" for path in files}
    assert {re.sub(r"^smtpbridge-[^/]*\.data/data/", "", name) for name in names if ".dist-info/" not in name} == wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_tells_its_version_and_needs_only_what_runs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesHeaderParser().parsebytes(archive.read(name))
    needs = [str(need) for need in metadata.get_all("Requires-Dist", [])]
    always = {re.split(r"[^\w-]", need)[0] for need in needs if "extra ==" not in need}

    assert metadata["Version"] == smtpbridge.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert always == set(NEEDS)


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
    assert [source for source in sources if not any(fnmatch(f"{source}/", f"{rule}/*") for rule in kept)] == []


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
    shutil.copy(ROOT / "etc/smtpbridge.socket", tmp_path)
    unit.write_text(re.sub(r"/opt/smtpbridge/bin/\w+", "/bin/true", text), encoding="utf-8")

    done = run("systemd-analyze", "verify", "--man=no", unit, tmp_path / "smtpbridge.socket", cwd=tmp_path)
    ours = [line for line in done.stderr.splitlines() if "smtpbridge" in line]

    assert (done.returncode, ours) == (0, [])


def test_the_service_has_a_user_a_state_folder_and_a_restart() -> None:
    lines = set((ROOT / "etc/smtpbridge.service").read_text(encoding="utf-8").splitlines())

    assert {"User=smtpbridge", "StateDirectory=smtpbridge", "Restart=on-failure", "NoNewPrivileges=yes"} <= lines
    assert {"ProtectSystem=strict", "CapabilityBoundingSet=", "PrivateDevices=yes"} <= lines


def test_the_service_and_the_example_file_name_the_credential_that_the_daemon_looks_for() -> None:
    credential = f"LoadCredential={password_credential('main')}:/etc/smtpbridge/infobip.key"

    assert f"#{credential}\n" in (ROOT / "etc/smtpbridge.service").read_text(encoding="utf-8")
    assert credential in (ROOT / "etc/smtpbridge.toml").read_text(encoding="utf-8")


# What others wrote


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def needed() -> list[Requirement]:
    """Return what the image needs: to run, and for the extra that it has."""
    table = project()["project"]
    return [Requirement(line) for line in [*table["dependencies"], *table["optional-dependencies"]["css"]]]


def locked(lock: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Return the requirement and the hashes of each package in a lock file, by name."""
    text = re.sub(r"(?m)^ *#.*\n", "", lock.read_text(encoding="utf-8")).replace("\\\n", " ")
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        wanted, *hashes = re.split(r"\s+--hash=", line.strip())
        found[str(canonicalize_name(Requirement(wanted).name))] = (Requirement(wanted), hashes)
    return found


@pytest.mark.parametrize("need", needed(), ids=lambda need: need.name)
def test_a_dependency_is_bounded_on_both_sides(need: Requirement) -> None:
    kinds = {bound.operator for bound in need.specifier}

    assert kinds == ({">="} if need.name in BOUNDED_BY_OTHERS else {">=", "<"})
    assert all(name in NEEDS for name in BOUNDED_BY_OTHERS.values())


def test_every_package_that_is_imported_is_named_as_a_dependency() -> None:
    named = {canonicalize_name(need.name) for need in needed()}
    homes = {**packages_distributions(), "zope.interface": ["zope.interface"]}
    found = set()
    for path in [*(ROOT / "smtpbridge").rglob("*.py"), ROOT / PLUGIN]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    found |= {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(module)):
                    # "zope" is a roof over several packages.
                    found.add("zope.interface" if module.startswith("zope.interface") else module.partition(".")[0])
    strangers = found - sys.stdlib_module_names - {"smtpbridge"}

    assert {"twisted", "OpenSSL"} <= strangers
    assert {name for name in strangers if not {canonicalize_name(home) for home in homes[name]} & named} == set()


@pytest.mark.parametrize("lock", [IMAGE_LOCK, BUILD_LOCK], ids=lambda lock: lock.stem)
def test_every_package_in_a_lock_has_one_version_and_its_hashes(lock: Path) -> None:
    packages = locked(lock)

    assert len(packages) >= 5
    for need, hashes in packages.values():
        assert [bound.operator for bound in need.specifier] == ["=="], need
        assert hashes, need
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), need


@pytest.mark.parametrize("lock", [IMAGE_LOCK, BUILD_LOCK], ids=lambda lock: lock.stem)
def test_a_lock_names_no_place_to_fetch_from(lock: Path) -> None:
    # Where packages come from is the business of whoever builds; the hashes say whether they are the right ones.
    assert re.findall(r"(?m)://|@ |^ *-(?!-hash)", lock.read_text(encoding="utf-8")) == []


def test_the_locks_satisfy_pyproject() -> None:
    image, build = locked(IMAGE_LOCK), locked(BUILD_LOCK)
    system = [Requirement(line) for line in project()["build-system"]["requires"]]

    for needs, packages in ((needed(), image), (system, build)):
        for need in needs:
            (version,) = packages[canonicalize_name(need.name)][0].specifier
            assert need.specifier.contains(version.version), f"{need}: run make lock"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_image_lock_leaves_nothing_out_on_a_machine_that_the_image_is_for(machine: str) -> None:
    version = re.findall(r"python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))[0]
    there = {
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": machine,
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
        "python_version": version, "python_full_version": f"{version}.0",
    }  # fmt: skip

    for need, _ in locked(IMAGE_LOCK).values():
        assert need.marker is None or need.marker.evaluate(there), need


def test_the_image_installs_nothing_that_is_not_in_a_lock() -> None:
    text = " ".join(" ".join(words) for words in dockerfile())
    installs = re.findall(r"pip (?:install|wheel) [^&]*?(?= && |RUN |COPY |FROM |$)", text)

    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes --only-binary :all: -r etc/requirements/" in install or "--no-deps" in install
        assert "--no-deps" not in install or "--no-index" in install or "--no-build-isolation" in install
    assert "pip uninstall --yes pip" in text


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("target", "does"),
    [
        ("lock", ["--generate-hashes", "etc/requirements/image.txt", "etc/requirements/build.txt"]),
        ("pip-audit", ["pip-audit --strict --require-hashes", "did not answer", "exit 1"]),
        ("sbom", ["cyclonedx_py requirements", "etc/requirements/image.txt", ".cdx.json"]),
    ],
)
def test_make_looks_after_what_others_wrote(target: str, does: list[str]) -> None:
    steps = run("make", "--dry-run", target, cwd=ROOT).stdout

    assert [step for step in does if step not in steps] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_bench_runs_the_race_and_make_bench_parts_the_benchmarks(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    assert "-m bench.race " in run("make", "--dry-run", "bench", cwd=tmp_path).stdout
    assert "-m pytest bench --benchmark-only" in run("make", "--dry-run", "bench-parts", cwd=tmp_path).stdout
    assert (ROOT / "bench" / "race" / "__main__.py").is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_names_its_targets_when_asked_for_none() -> None:
    done = run("make", cwd=ROOT)
    targets = [line.split()[1] for line in done.stdout.splitlines()]

    assert targets == [
        "help",
        "run",
        "test",
        "test-compiled",
        "wheel",
        "lint",
        "types",
        "format",
        "reference",
        "docs",
        "bench",
        "bench-parts",
        "fuzz",
        *LOOK_AFTER,
        "clean",
    ], done.stderr


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
