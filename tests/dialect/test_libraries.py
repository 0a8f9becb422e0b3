"""
Promises about the headers of real libraries: one logical header means one thing, whoever wrote it.

`corpus/generate/wishes.json` holds the logical headers, `corpus/library-*/NAME.eml` what a library sent for them; a
file's name begins with that of its header, and goes on with how the library was called where there are several ways.
`origin.json` says which library it was and, under `expect`, what is read where the library damaged the header:
`why`, and `refusal` (how the text begins), `warnings`, or `changed` (the paths of the values that came out otherwise).
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.dialect.instructions import Instructions, Json, Mailbox, Reading, Refusal
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sparkpost import read
from smtpbridge.mail.headers import HeaderBlock, end_of_header

_CORPUS = Path(__file__).parent.parent / "corpus"
_WISHES: dict[str, dict[str, Any]] = json.loads((_CORPUS / "generate" / "wishes.json").read_text("utf-8"))
_FILES = sorted(_CORPUS.glob("library-*/*.eml"))
_ORIGINS = {path.parent: json.loads(path.read_text("utf-8")) for path in _CORPUS.glob("library-*/origin.json")}


def wish_of(path: Path) -> str:
    return next(name for name in _WISHES if path.stem.startswith(name))


def wanted(wish: dict[str, Any]) -> Instructions:
    return Instructions(
        campaign=wish["campaign_id"],
        metadata={name: numbered(value) for name, value in wish["metadata"].items()} if "metadata" in wish else None,
        tags=tuple(wish["tags"]) if "tags" in wish else None,
        cc=tuple(map(mailbox, wish.get("cc", ()))),
        bcc=tuple(map(mailbox, wish.get("bcc", ()))),
        archive=tuple(map(mailbox, wish.get("archive", ()))),
        **wish.get("options", {}),
    )


def numbered(value: Any) -> Json:
    return Number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def mailbox(entry: str | dict[str, str]) -> Mailbox:
    if isinstance(entry, dict):
        return Mailbox(entry["email"], entry["name"])
    name, _, address = entry.removesuffix(">").rpartition("<")
    return Mailbox(address, name.strip())


def read_file(path: Path) -> Reading | Refusal:
    content = path.read_bytes()
    return read(HeaderBlock.parse(content[: end_of_header(content)[0]]).values(b"x-msys-api"))


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return every single value under its path, an absent one not at all."""
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, (list, tuple)):
        members = dict(enumerate(value)).items()
    elif isinstance(value, Number):
        return {path: int(value)}
    else:
        return {} if value is None else {path: value}
    return {leaf: found for name, member in members for leaf, found in leaves(member, f"{path}/{name}").items()}


def changes(found: Instructions, wish: Instructions) -> dict[str, Any]:
    """Return what was found where it is not what was wished; None where nothing was found."""
    before, after = leaves(asdict(wish)), leaves(asdict(replace(found, plain=wish.plain)))
    return {path: after.get(path) for path in sorted(before.keys() | after) if before.get(path) != after.get(path)}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_logical_header_means_the_same_whichever_library_wrote_it(path: Path) -> None:
    expected = _ORIGINS[path.parent]["expect"].get(path.stem, {})

    found = read_file(path)

    if "refusal" in expected:
        assert isinstance(found, Refusal)
        assert found.text.startswith(expected["refusal"])
        return
    assert isinstance(found, Reading), found
    assert [remark.kind for remark in found.warnings] == expected.get("warnings", [])
    assert changes(found.instructions, wanted(_WISHES[wish_of(path)])) == expected.get("changed", {})


@pytest.mark.parametrize("folder", sorted(_ORIGINS), ids=lambda folder: folder.name)
def test_every_folder_says_who_wrote_it_and_holds_every_logical_header(folder: Path) -> None:
    origin = _ORIGINS[folder]
    stems = {path.stem for path in folder.glob("*.eml")}

    assert origin["library"]
    assert origin["version"]
    assert origin["call"]
    assert {wish_of(folder / stem) for stem in stems} == _WISHES.keys()
    assert origin["expect"].keys() <= stems
    assert all(expected["why"] for expected in origin["expect"].values())


def test_a_damage_is_told_unless_the_octets_do_not_show_it() -> None:
    silent = {
        f"{folder.name}/{stem}"
        for folder, origin in _ORIGINS.items()
        for stem, expected in origin["expect"].items()
        if not expected.get("warnings") and "refusal" not in expected
    }

    # Only where a space between two encoded words is gone: the words are right, and nothing shows that it was there.
    assert all("python-modern-" in name and "-unescaped" in name for name in silent)


def test_the_libraries_of_the_plan_are_all_there() -> None:
    names = {folder.name.removeprefix("library-").rpartition("-")[0] for folder in _ORIGINS}

    assert names >= {
        "nodemailer", "phpmailer", "symfony-mime", "swiftmailer", "ruby-mail", "perl-mime-lite", "python-legacy",
        "python-modern", "django", "javamail", "jakarta-mail",
    }  # fmt: skip
    nodemailers = {folder.name for folder in _ORIGINS if "nodemailer" in folder.name}
    # Its ways of writing changed with 6.4.12.
    assert nodemailers > {f"library-nodemailer-{version}" for version in ("2.7.2", "6.4.11", "6.4.12")}


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b'{"tags":["be\r\n fore"]}', ("be fore",)),
        (b'{"tags":["one","tw\r\n o"],"metad\r\n\tata":{}}', ("one", "tw o")),
    ],
)
def test_a_compact_value_that_is_broken_within_its_strings_is_read_as_sparkpost_does_with_a_warning(
    value: bytes, tags: tuple[str, ...]
) -> None:
    found = read([value])

    assert isinstance(found, Reading)
    assert found.instructions == Instructions(tags=tags)
    assert [remark.kind for remark in found.warnings] == ["split-strings"]


@pytest.mark.parametrize(
    "value",
    [
        b'\r\n {"tags":["one"],\r\n "campaign_id":"two"}',
        b'{"tags":["one two",\r\n "three"], "campaign_id": "four\r\n five"}',
        b"=?utf-8?q?=7B=22tags=22=3A=5B=22one?=\r\n =?utf-8?q?_two=22=5D=7D?=",
    ],
)
def test_a_fold_where_a_writer_may_fold_is_no_reason_to_warn(value: bytes) -> None:
    found = read([value])

    assert isinstance(found, Reading)
    assert found.warnings == ()
