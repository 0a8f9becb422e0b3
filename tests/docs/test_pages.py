"""Every page: it is in the navigation, its links lead somewhere, and what it tells to type exists."""

import html.parser
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from smtpbridge.cli import main as commands
from smtpbridge.config import ConfigError, loads
from tests.docs.pages import DOCS, ROOT, Block, anchors, blocks, links, pages

TEXTS = [*pages(), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]
# Tags and attributes by which a browser fetches something as it shows a page.
FETCHES = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


def navigation() -> list[str]:
    return re.findall(r"(?m)^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"))


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_every_page_is_in_the_navigation(path: Path) -> None:
    page = str(path.relative_to(DOCS))

    assert navigation().count(page) == 1, f"name it below nav: in mkdocs.yml, as in\n      - Its title: {page}"


def test_the_navigation_has_no_page_that_is_not_there() -> None:
    assert [page for page in navigation() if not (DOCS / page).is_file()] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{path.name}: {link}"
        # What is outside of docs/ is not part of the site.
        assert DOCS in target.parents or DOCS not in path.parents, f"{path.name}: {link} leads out of docs/"
        assert not anchor or anchor in anchors(target), f"{path.name}: {link}"


def faults(text: str) -> tuple[str, ...]:
    try:
        loads(text, base=Path("/nonexistent"), environ={})
    except ConfigError as error:
        return error.faults
    return ()


def toml_blocks() -> list[Block]:
    return [block for path in TEXTS for block in blocks(path, "toml")]


@pytest.mark.parametrize("block", toml_blocks(), ids=lambda block: block.page)
def test_every_configuration_on_a_page_has_only_keys_and_values_that_are_known(block: Block) -> None:
    # What a page leaves out because it is about something else, and files that are not on this machine.
    excused = re.compile(
        r".*(?: is missing;| cannot be read \(|is no folder;|nothing says who may relay| needs a \[\[cred)"
    )

    assert [fault for fault in faults(block.text) if not excused.match(fault)] == []


def calls() -> list[tuple[str, str]]:
    """Return each call of the console command in a block of code, with its page."""
    lines = ((block.page, line) for path in TEXTS for block in blocks(path) for line in block.text.splitlines())
    found = (
        (page, re.match(r"(?:[$#] )?(?:sudo )?(?:\S*/)?(smtpbridge [a-z].*)", line.strip())) for page, line in lines
    )
    # Columns of explanation begin behind two blanks.
    return [(page, re.split(r"  +|\s+#|\s[|<>&]", match[1])[0]) for page, match in found if match]


@pytest.mark.parametrize(("page", "line"), calls(), ids=lambda text: text[:40])
def test_every_command_on_a_page_exists_with_its_options(page: str, line: str) -> None:
    command: click.Command = commands
    words = shlex.split(line)[1:]
    context = click.Context(commands, info_name="smtpbridge")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: {line}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    known = {name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}

    assert [word for word in words if word.startswith("-") and word != "-" and word.split("=")[0] not in known] == []


def test_the_commands_on_the_pages_are_found() -> None:
    assert len({line.split()[1] for _, line in calls()}) >= 6


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_file_and_every_target_of_make_that_a_page_names_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    files = re.findall(r"`((?:smtpbridge|tests|etc|docs|bench)/[\w./-]*)", text)
    # What is in capitals stands for a name.
    files = [re.sub(r"[A-Z]{2,}.*", "", name).rstrip(".") for name in files]
    targets = re.findall(r"`make ([a-z-]+)", text)
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [name for name in targets if f"\n{name}:" not in makefile] == []


# The site


class Site(html.parser.HTMLParser):
    """What one page of the site links to, fetches and can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what matters of a tag."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        # `rel=canonical` and the like name places and fetch nothing.
        if tag in FETCHES and given.get("rel", "stylesheet") in ("stylesheet", "icon", "preload", "preconnect"):
            self.fetched.append(given.get(FETCHES[tag], ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("material") is None:
        pytest.skip("MkDocs Material is not installed (make docs installs it)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_is_built_without_a_warning_and_every_link_in_it_leads_somewhere(site: Path) -> None:
    read = {path: Site(path) for path in site.rglob("*.html")}

    assert len(read) > len(pages())
    for path, page in read.items():
        if path.name == "404.html":
            continue  # Its links begin at the root of a web server.
        for link in page.links:
            file, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or target.suffix != ".html" or anchor in read[target].ids, f"{path.name}: {link}"


def test_a_browser_that_shows_the_site_asks_nobody_else(site: Path) -> None:
    fetched = {(path.name, place) for path in site.rglob("*.html") for place in Site(path).fetched}
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))

    assert len(fetched) > 10
    assert [one for one in sorted(fetched) if re.match(r"(?:[a-z]+:)?//", one[1])] == []
    assert re.findall(r"url\([\"']?(?:https?:)?//[^)]*", styles) == []
    assert re.findall(r"@import[^;]*//[^;]*", styles) == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_no_markdown_is_left_on_a_page_of_the_site(site: Path, path: Path) -> None:
    text = (site / path.relative_to(DOCS)).with_suffix(".html").read_text("utf-8")
    article = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", text.partition("<article")[2].partition("</article>")[0])

    # A list or a table that was taken for lines of a paragraph, and signs that became nothing.
    assert re.findall(r"(?m)^(?:<p>)?(?:[-*] |\| |[0-9]\. ).*|\*\*.*|\]\(.*|`.*", article) == []


def test_what_writes_pages_is_not_on_the_site(site: Path) -> None:
    assert [path.name for path in site.rglob("*.py")] == []


# docs/postfix.md


def words_of_postfix() -> list[str]:
    """Return the names in the first column of the table of main.cf that stand there alone."""
    table = (DOCS / "postfix.md").read_text("utf-8").split("## main.cf\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)]


def test_every_setting_that_is_called_one_of_postfix_is_one() -> None:
    postconf = shutil.which("postconf", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if postconf is None:
        pytest.skip("Postfix is not installed (package postfix)")
    done = subprocess.run([postconf, "-dH", *words_of_postfix()], capture_output=True, text=True, check=True)

    assert len(words_of_postfix()) > 40
    assert done.stderr == ""


def test_every_key_that_stands_beside_one_of_postfix_is_one() -> None:
    text = (DOCS / "postfix.md").read_text("utf-8")
    right = "".join(line.split("|")[2] for line in text.splitlines() if line.startswith("| `"))
    ours = set(re.findall(r"(?m)^#### (.*)$", (DOCS / "configuration.md").read_text("utf-8")))
    known = {name for heading in ours for name in re.findall(r"`(\w+)`", heading)}

    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", right)) - known == set()
