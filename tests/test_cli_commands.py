"""What every command and option says of itself, and what shells are told of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from smtpbridge.cli import main
from tests.overheard import EVERYTHING

ROOT = Path(__file__).resolve().parents[1]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = [pytest.param(path, command, id=" ".join(path)) for path, command in commands(main)]


@pytest.mark.parametrize(("path", "command"), ALL)
def test_every_option_says_what_it_does_and_every_command_has_help(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert command.help
    assert command.get_short_help_str()
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.opts for one in options if not one.help] == []
    # A command below another has the examples of that one.
    assert "smtpbridge " in command.help or len(path) > 1


def test_the_scripts_for_shells_are_printed() -> None:
    for shell in ("bash", "zsh", "fish"):
        result = CliRunner().invoke(main, ["completion", shell])

        assert result.exit_code == 0
        assert "_SMTPBRIDGE_COMPLETE" in result.stdout
    assert CliRunner().invoke(main, ["completion", "cmd"]).exit_code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["smtpbridge", "tr"], ["trace", "translate"]),
        (["smtpbridge", "queue", "h"], ["hold"]),
        (["smtpbridge", "check", "--conn"], ["--connect"]),
        (["smtpbridge", "completion", "f"], ["fish"]),
    ],
)
def test_bash_completes_commands_options_and_choices(words: list[str], offered: list[str], tmp_path: Path) -> None:
    program = tmp_path / "smtpbridge"
    # As pip would install it: the name by which it is called tells it that completion is asked for.
    program.write_text(f"#!{sys.executable}\nfrom smtpbridge.cli import main\nmain()\n")
    program.chmod(0o755)
    quoted = " ".join(f'"{word}"' for word in words)
    script = (
        f"source <(smtpbridge completion bash) && COMP_WORDS=({quoted}) && COMP_CWORD={len(words) - 1} && "
        '_smtpbridge_completion smtpbridge && printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    EVERYTHING.said(done.stdout + done.stderr)
    assert (done.stdout.split(), done.stderr) == (offered, "")
