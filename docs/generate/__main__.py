"""
Write what follows from the code: `python -m docs.generate`, which is `make reference`.

tests/docs/test_generated.py fails while one of the files is not what would be written.
"""

from collections.abc import Mapping
from pathlib import Path

from docs.generate.accepts import accepts
from docs.generate.commands import commands_markdown
from docs.generate.example import read
from docs.generate.manual import commands_page, keys_page
from docs.generate.page import page
from smtpbridge.cli import main as commands

ROOT = Path(__file__).resolve().parents[2]


def written() -> Mapping[str, str]:
    """Return the text of each file by its path below the root."""
    sections = read((ROOT / "etc/smtpbridge.toml").read_text("utf-8"))
    taken = accepts(sections)
    return {
        "docs/commands.md": commands_markdown(commands),
        "docs/configuration.md": page(sections, taken),
        "etc/man/smtpbridge.1": commands_page(commands),
        "etc/man/smtpbridge.toml.5": keys_page(sections, taken),
    }


def main() -> None:
    """Write them."""
    for path, text in written().items():
        (ROOT / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
