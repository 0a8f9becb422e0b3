"""`smtpbridge audit`, called as a person calls it, over mail that is written here and over the corpus."""

import json
import mailbox
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpbridge.cli import main
from smtpbridge.commands.audit.examine import in_wire_lines
from smtpbridge.commands.audit.mailer import UNKNOWN, mailer_of, shape_of
from smtpbridge.commands.audit.report import MOST_EXAMPLES, MOST_ROWS, OTHERS, Example, Tally
from smtpbridge.commands.audit.sources import Stored, Unreadable, messages
from smtpbridge.commands.audit.usage import Outcome, outcomes
from smtpbridge.commands.translation import wire_lines
from smtpbridge.dialect.policy import CallbackData, CampaignHome, Policy, Priority
from smtpbridge.dialect.sparkpost import read
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from tests.test_cli_translate import config_at

CORPUS = Path(__file__).parent / "corpus"
LIMIT = 1 << 20
# What an mbox is looked through in.
BLOCK = 1 << 20


def message(api: str = "", *, fields: str = "", body: str = "Hello.\n") -> bytes:
    header = f"X-MSYS-API: {api}\n" if api else ""
    return (
        f"Return-Path: <bounce@mail.shop.example>\nFrom: News <news@shop.example>\nTo: ada@rcpt.example\n"
        f"Message-ID: <1@shop.example>\n{fields}{header}\n{body}"
    ).encode()


def called(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, args)])


def audited(*args: str | Path) -> dict[str, Any]:
    result = called("--json", *args)
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["name"]: row["count"] for row in rows}


def put(folder: Path, **files: bytes) -> Path:
    for name, octets in files.items():
        (folder / f"{name}.eml").write_bytes(octets)
    return folder


# What is told of a message


def test_every_message_is_counted_once_by_its_verdict(tmp_path: Path) -> None:
    put(
        tmp_path,
        fine=message('{"campaign_id":"c"}'),
        bare=message(),
        warned=message('{"campaign_id":"c",}'),
        refused=message("{nonsense"),
    )

    totals = audited(tmp_path)["totals"]

    assert {name: totals[name] for name in ("messages", "files", "maps", "warned", "refused", "without_header")} == {
        "messages": 4, "files": 4, "maps": 2, "warned": 1, "refused": 1, "without_header": 1,
    }  # fmt: skip
    assert totals["octets"] == sum(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize(("api", "status"), [('{"campaign_id":"c"}', 0), ('{"tags":[1],}', 0), ("{", 1)])
def test_the_exit_code_says_whether_a_message_would_be_refused(api: str, status: int, tmp_path: Path) -> None:
    assert called(put(tmp_path, one=message(api))).exit_code == status


def test_a_wrong_call_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("nonsense = 1")
    put(tmp_path, one=message())

    assert called().exit_code == 2
    assert called(tmp_path / "absent").exit_code == 2
    assert called("--config", tmp_path / "wrong.toml", tmp_path).exit_code == 2
    assert called("--html", tmp_path / "absent" / "a.html", tmp_path).exit_code == 2


def test_the_keys_of_the_json_are_those_that_are_documented(tmp_path: Path) -> None:
    found = audited(put(tmp_path, one=message("{nonsense"), two=message('{"options":{"dkim_key":"k"}}')))
    page = (Path(__file__).parent.parent / "docs" / "audit.md").read_text("utf-8")
    section = page.split("## JSON\n")[1]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    rows = [row for name, value in found.items() if name != "totals" for row in value]
    examples = [example for row in rows for example in row["examples"]]
    assert examples
    assert {*found, *found["totals"], *(key for row in rows + examples for key in row)} == documented


def test_fields_are_counted_with_what_becomes_of_them(tmp_path: Path) -> None:
    put(
        tmp_path,
        a=message('{"campaign_id":"c","tags":["t"],"options":{"open_tracking":true,"ip_pool":"gold"},"metdata":{}}'),
        b=message('{"campaign_id":"d","options":{"open_tracking":false,"skip_suppression":true}}'),
        c=message('{"options":{"skip_suppression":false,"sandbox":true}}'),
    )

    rows = {row.pop("name"): row for row in audited(tmp_path)["fields"]}

    used = {
        name: {key: row[key] for key in row if row[key] and key not in ("becomes", "examples")}
        for name, row in rows.items()
    }
    assert used == {
        "campaign_id": {"count": 2, "maps": 2},
        "tags": {"count": 1, "maps": 1},
        "options.open_tracking": {"count": 2, "maps": 2},
        "options.ip_pool": {"count": 1, "lost": 1},
        "options.skip_suppression": {"count": 2, "maps": 1, "lost": 1},
        "options.sandbox": {"count": 1, "ignored": 1},
        "metdata": {"count": 1, "ignored": 1},
    }
    assert rows["campaign_id"]["becomes"] == "X-IB-Bulk-Id, X-IB-Callback-Data"
    assert [Path(one["file"]).name for one in rows["options.skip_suppression"]["examples"]] == ["b.eml"]


def test_the_fields_of_json_that_goes_on_in_the_first_column_are_counted(tmp_path: Path) -> None:
    put(tmp_path, one=message('{\n  "campaign_id": "c",\n  "tags": ["t"]\n}'))

    found = audited(tmp_path)

    assert counts(found["warnings"]) == {"broken-lines": 1}
    assert {row["name"] for row in found["fields"]} == {"campaign_id", "tags"}


def test_metadata_that_does_not_fit_maps_in_part(tmp_path: Path) -> None:
    long = json.dumps({"metadata": {f"k{at}": "x" * 90 for at in range(60)}}).replace(", ", ",\n ")

    rows = audited(put(tmp_path, one=message(long)))["fields"]

    assert [(row["name"], row["partly"]) for row in rows] == [("metadata", 1)]


def test_what_the_policy_switches_off_is_lost() -> None:
    reading = read([b'{"campaign_id":"c","metadata":{"a":1},"options":{"transactional":true}}'])
    policy = Policy(campaign=CampaignHome.NONE, callback_data=CallbackData.NONE, transactional_priority=Priority.NONE)

    found = outcomes(reading.instructions, (), policy)  # type: ignore[union-attr]  # it is no refusal

    assert found == {
        "campaign_id": Outcome.LOST,
        "metadata": Outcome.LOST,
        "options.transactional": Outcome.PARTLY,
    }


def test_a_message_that_the_policy_refuses_counts_its_fields_as_refused(tmp_path: Path) -> None:
    config = config_at(tmp_path, "[translation]", 'on_dkim_key = "refuse"')
    mail = tmp_path / "mail"
    mail.mkdir()
    put(mail, one=message('{"campaign_id":"c","options":{"dkim_key":"k1"}}'))

    found = audited("--config", config, mail)

    assert [(row["name"], row["refused"]) for row in found["fields"]] == [("campaign_id", 1), ("options.dkim_key", 1)]
    assert found["refusals"][0]["examples"][0]["text"] == (
        "550 5.6.0 X-MSYS-API 'dkim_key' 'k1' has no counterpart: the provider picks its key"
    )
    assert audited(mail)["totals"]["refused"] == 0


def test_refusals_that_differ_in_what_they_quote_are_one_row_with_the_exact_replies(tmp_path: Path) -> None:
    put(tmp_path, a=message('{"cc":["one"]}'), b=message('{"cc":["two"]}'), c=message('{"metadata":[]}'))

    rows = audited(tmp_path)["refusals"]

    assert [row["count"] for row in rows] == [2, 1]
    assert rows[0]["name"] == "550 5.6.0 X-MSYS-API 'cc' entry ... is not a valid address: no @ in it"
    assert [one["text"] for one in rows[0]["examples"]] == [
        f"550 5.6.0 X-MSYS-API 'cc' entry \"{word}\" is not a valid address: no @ in it" for word in ("one", "two")
    ]
    assert rows[0]["examples"][0]["message_id"] == "<1@shop.example>"


def test_senders_are_compared_by_organisational_domain(tmp_path: Path) -> None:
    fine = message()
    put(
        tmp_path,
        below=fine,
        other=fine.replace(b"@mail.shop.example", b"@mailer.example"),
        null=fine.replace(b"<bounce@mail.shop.example>", b"<>"),
        none=fine.split(b"\n", 1)[1],
    )

    found = audited(tmp_path)

    totals = found["totals"]
    assert [totals[name] for name in ("aligned", "unaligned", "null_senders", "unclear")] == [1, 1, 1, 1]
    assert counts(found["unaligned"]) == {"mailer.example / shop.example": 1}
    assert found["unaligned"][0]["examples"][0]["text"] == "bounce@mailer.example / news@shop.example"


def test_addresses_are_shown_for_unaligned_senders_only(tmp_path: Path) -> None:
    sink = message('{"bcc":["secret@rcpt.example","x@sink.sparkpostmail.com"]}', fields="Subject: Private\n")
    put(tmp_path, a=sink.replace(b"@mail.shop.example", b"@mailer.example"))

    found = audited(tmp_path)
    del found["unaligned"]

    assert counts(found["notes"]) == {"envelope-sender": 1, "sink": 1}
    told = json.dumps(found)
    assert not re.search("secret@|ada@|news@|bounce@|x@sink|Private", told)


def test_recipients_count_copies_and_each_address_once(tmp_path: Path) -> None:
    put(
        tmp_path,
        one=message(),
        five=message(
            '{"cc":["a@x.example","ADA@rcpt.example"],"bcc":["b@x.example"],"archive":["c@x.example"]}',
            fields="Cc: d@x.example\n",
        ),
        none=message().replace(b"To: ada@rcpt.example\n", b""),
    )

    found = audited(tmp_path)

    assert (found["totals"]["recipients"], found["totals"]["most_recipients"]) == (6, 5)
    assert {name: count for name, count in counts(found["recipients"]).items() if count} == {
        "none in the header": 1, "1": 1, "2 to 10": 1,
    }  # fmt: skip


def test_a_message_over_the_limit_is_refused_and_named(tmp_path: Path) -> None:
    config = config_at(tmp_path, "max_message_bytes = 2048")
    mail = tmp_path / "mail"
    mail.mkdir()
    put(mail, large=message(body="x" * 4096), small=message())

    found = audited("--config", config, mail)

    assert (found["totals"]["over_limit"], found["totals"]["largest"]) == (1, (mail / "large.eml").stat().st_size)
    assert counts(found["sizes"])["over the limit"] == 1
    assert found["refusals"][0]["examples"][0]["text"] == "552 5.3.4 Message is larger than this server takes"


def test_marks_in_the_body_are_seen(tmp_path: Path) -> None:
    links = "".join(f'<a href="https://shop.example/{at}">x</a>\n' for at in range(151))
    html = message('{"options":{"click_tracking":true}}', fields="Content-Type: text/html\n", body=links)

    found = audited(put(tmp_path, one=html))

    assert counts(found["warnings"]) == {"too-many-links": 1}
    assert [(row["name"], row["partly"]) for row in found["fields"]] == [("options.click_tracking", 1)]


def test_examples_and_rows_are_bounded() -> None:
    tally = Tally()
    example = Example("f", "file:///f", 0, "")
    for at in range(MOST_ROWS + 50):
        tally.add(f"name {at}", lambda: example)
        tally.add("often", lambda: example)

    rows = tally.rows()
    assert len(rows) <= MOST_ROWS + 1
    assert sum(row.count for row in rows) == 2 * (MOST_ROWS + 50)
    assert OTHERS in {row.name for row in rows}
    assert max(len(row.examples) for row in rows) == MOST_EXAMPLES


# Libraries and shapes


@pytest.mark.parametrize("folder", sorted(CORPUS.glob("library-*")), ids=lambda folder: folder.name)
def test_no_message_of_a_library_is_taken_for_that_of_another(folder: Path) -> None:
    names = {
        "django": "Python", "jakarta": "JavaMail", "javamail": "JavaMail", "nodemailer": "nodemailer",
        "ruby": "Ruby mail", "perl": "MIME::Lite", "phpmailer": "PHPMailer", "python": "Python",
        "swiftmailer": "Swift", "symfony": "Symfony",
    }  # fmt: skip
    wanted = names[folder.name.split("-")[1]]
    found = {mailer_of(header_of(path.read_bytes())) for path in folder.glob("*.eml")} - {UNKNOWN}

    assert all(name.startswith(wanted) for name in found), found
    # The corpus has made-up ids, by which these two would be known, and says nothing else of itself.
    assert found or wanted in ("Swift", "Symfony")


@pytest.mark.parametrize(
    ("fields", "library"),
    [
        (b"X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)", "PHPMailer"),
        (b"User-Agent: Acme Sender v4.2 (build 9)", "Acme Sender"),
        (b"Message-ID: <0f8fad5b-d9cb-469f-a165-70867728950e@shop.example>", "nodemailer"),
        (b"Message-ID: <1234567.7.1795166883546@app1>", "JavaMail"),
        (b"Message-ID: <1234567.7.1795166883546.JavaMail.user@app1>", "JavaMail"),
        (b"Message-ID: <65a1b2c3d4e5f_1a2b3c4-4d5@app1.mail>", "Ruby mail"),
        (b"Message-ID: <0123456789abcdef0123456789abcdef@swift.generated>", "Swift Mailer"),
        (b"Message-ID: <0123456789abcdef0123456789abcdef@shop.example>", "Symfony Mime"),
        (b"Message-ID: <179516688354.417.12345678901234567890@app1>", "Python email, modern (Django 6)"),
        (
            b'Content-Type: multipart/mixed; boundary="===============1234567890123456789=="\r\nMIME-Version: 1.0',
            "Python email, legacy (Django to 5)",
        ),
        (b'Content-Type: multipart/mixed;\r\n boundary="----=_Part_0_1234.5678"', "JavaMail"),
        (b"Message-ID: <anything@shop.example>", UNKNOWN),
        (b"X-Mailer: ", UNKNOWN),
    ],
)
def test_a_library_is_known_by_its_word_or_its_marks(fields: bytes, library: str) -> None:
    assert mailer_of(HeaderBlock.parse(fields + b"\r\n")) == library


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([b" {}"], "plain, one line"),
        ([b' {"a":1,\r\n "b":2}'], "plain, folded"),
        ([b" \r\n {}"], "plain, first line empty"),
        ([b" =?UTF-8?Q?=7B?=\r\n =?UTF-8?Q?=7D?="], "encoded words, Q"),
        ([b" =?utf-8?b?e30=?="], "encoded words, B"),
        ([b" =?utf-8?b?ew==?= =?utf-8?q?=7D?="], "encoded words, Q and B"),
        ([b' {"a": =?utf-8?q?=22b=22?=}'], "encoded words inside plain text"),
        ([b' {"a":"\xc3\xbc"}'], "text outside ASCII as it is"),
        ([b"{}", b"{}"], "several headers"),
    ],
)
def test_the_shape_of_the_header_is_told(values: list[bytes], shape: str) -> None:
    assert shape_of(values) == shape


# Files


def test_the_corpus_is_audited_as_its_cases_say() -> None:
    found = audited(*(path.parent / "in.eml" for path in sorted(CORPUS.glob("*/expected.json"))))

    cases = [(path.parent, json.loads(path.read_text("utf-8"))) for path in sorted(CORPUS.glob("*/expected.json"))]
    # A policy of its own may be what makes a case a refusal.
    refused = {
        folder.name for folder, case in cases
        if case["reply"] != "250" and "policy" not in json.loads((folder / "call.json").read_text("utf-8"))
    }  # fmt: skip
    assert found["totals"]["messages"] == len(cases)
    told = {Path(one["file"]).parent.name for row in found["refusals"] for one in row["examples"]}
    assert told == refused
    assert found["totals"]["refused"] == len(refused)


def test_an_mbox_is_cut_where_messages_begin_and_nowhere_else(tmp_path: Path) -> None:
    first = message(body="one\n\n>From here on\nFrom now on 10:20\n\nFrom the bottom of my heart\n")
    second, third = message('{"campaign_id":"c"}'), message("{nonsense")
    line = b"From bounce@shop.example Fri Nov 20 06:00:00 2026\n"
    path = tmp_path / "sent"
    path.write_bytes(line + first + b"\n" + line + second + b"\n" + line + third)

    found = [one for one in messages([str(path)], LIMIT) if isinstance(one, Stored)]

    assert [(one.number, one.octets) for one in found] == [(1, first), (2, second), (3, third)]
    refusal = audited(path)["refusals"][0]["examples"][0]
    assert (refusal["file"], refusal["number"]) == (str(path), 3)


def test_an_mbox_with_crlf_is_cut_likewise(tmp_path: Path) -> None:
    one = message().replace(b"\n", b"\r\n")
    path = tmp_path / "sent.mbox"
    path.write_bytes((b"From a@b.example Fri Nov 20 06:00:00 2026\r\n" + one + b"\r\n") * 3)

    assert [found.octets for found in messages([str(path)], LIMIT) if isinstance(found, Stored)] == [one] * 3


@settings(max_examples=40, deadline=None)
@given(st.integers(-12, 12), st.sampled_from([b"\n", b"\r\n"]))
def test_where_blocks_end_makes_no_difference(shift: int, end: bytes) -> None:
    line, small = b"From a@b.example Fri Nov 20 06:00:00 2026" + end, message().replace(b"\n", end)
    # The line of the second message begins within a few octets of the end of a block.
    large = small + b"x" * (BLOCK + shift - len(line) - len(small) - 2 * len(end)) + end
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mail"
        path.write_bytes(b"".join(line + content + end for content in (large, small, small)))

        found = [one.octets for one in messages([str(path)], 4 * BLOCK) if isinstance(one, Stored)]

    assert found == [large, small, small]


def test_what_the_standard_library_writes_is_found(tmp_path: Path) -> None:
    maildir = mailbox.Maildir(tmp_path / "Maildir")
    box = mailbox.mbox(tmp_path / "Sent")
    for at in range(3):
        octets = message('{"campaign_id":"c"}', body=f"{at}\nFrom here\n")
        maildir.add(octets)
        box.add(octets)
    (tmp_path / "Maildir" / "tmp" / "half").write_bytes(message())
    box.close()

    found = audited(tmp_path)

    assert (found["totals"]["messages"], found["totals"]["files"], found["totals"]["passed_over"]) == (6, 4, 1)
    assert counts(found["fields"]) == {"campaign_id": 6}


def test_other_files_in_a_folder_are_passed_over_and_a_named_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(message())

    assert audited(tmp_path)["totals"]["passed_over"] == 1
    assert audited(tmp_path / "notes.txt")["totals"]["messages"] == 1


def test_what_cannot_be_read_is_counted_and_named_and_the_rest_is_audited(tmp_path: Path) -> None:
    put(tmp_path, fine=message(), empty=b"")
    (tmp_path / "lost.eml").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe.eml")

    found = audited(tmp_path)

    assert counts(found["unreadable"]) == {"No such file or directory": 1, "empty": 1}
    assert (found["totals"]["messages"], found["totals"]["unreadable"], found["totals"]["passed_over"]) == (1, 2, 1)
    assert [*messages([str(tmp_path / "pipe.eml")], LIMIT)] == [
        Unreadable(str(tmp_path / "pipe.eml"), "not a regular file")
    ]


def test_of_a_large_message_only_the_beginning_is_read(tmp_path: Path) -> None:
    (tmp_path / "large.eml").write_bytes(message(body="x" * (4 << 20)))

    (found,) = messages([str(tmp_path)], LIMIT)

    assert isinstance(found, Stored)
    assert found.size > 4 << 20
    assert len(found.octets) < LIMIT


# What is printed


class Links(HTMLParser):
    """Collect what a page refers to, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        names = ("src", "href", "srcset", "action", "data", "poster", "background")
        self.references += [value or "" for name, value in attrs if name in names]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page_of(folder: Path, *paths: Path) -> str:
    target = folder / "audit.html"
    called("--html", target, *paths)
    return target.read_text("utf-8")


def test_the_page_refers_to_nothing_but_the_files_of_the_examples(tmp_path: Path) -> None:
    page = page_of(tmp_path, CORPUS)

    found = Links(page)
    assert found.references
    assert all(one.startswith("file:///") for one in found.references)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in page
    assert "@import" not in page


def test_hostile_names_and_values_are_text_on_the_page(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    bad = '"><script>alert(1)</script>'
    octets = message(
        f'{{"{bad.replace(chr(34), "")}":1,"cc":["<b>x</b>"]}}', fields=f"X-Mailer: {bad}\nSubject: {bad}\n"
    )
    (mail / '"><img src=x onerror=alert(2)>.eml').write_bytes(octets.replace(b"<1@shop.example>", b"<script>@x>"))
    unknown = message('{"<script>":1}')
    (mail / "b.eml").write_bytes(unknown)

    page = page_of(tmp_path, mail)

    found = Links(page)
    assert not found.tags & {"script", "img", "b"}
    assert any("<img src=x onerror=alert(2)>" in text for text in found.words)
    assert "<script>" in found.words


def test_no_file_name_and_no_value_moves_the_cursor(tmp_path: Path) -> None:
    octets = message('{"dkim\\u001bkey":1,"options":{"dkim_key":"\\u001b[2J"}}', fields="X-Mailer: \x1b[31mred\n")
    (tmp_path / "a\x1b[2Jb\n.eml").write_bytes(octets)
    (tmp_path / os.fsdecode(b"c\xff.eml")).write_bytes(octets)

    result = called(tmp_path)

    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.split("\n"))
    assert "\\x1b[2Jb" in result.stdout
    assert "\x1b" not in page_of(tmp_path, tmp_path)


def test_the_table_says_the_verdict_first_and_names_examples(tmp_path: Path) -> None:
    lines = called(put(tmp_path, a=message("{"), b=message())).stdout.splitlines()

    assert lines[0] == "1 message of 2 would be refused."
    assert any("a.eml: 550 5.6.0 JSON parsing error in X-MSYS-API" in line for line in lines)


def test_a_folder_without_mail_gives_a_report_that_says_so(tmp_path: Path) -> None:
    result = called(tmp_path)

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "No message was found.")
    assert "No message was found." in page_of(tmp_path, tmp_path)


# Any octets

PIECES = st.sampled_from(
    [b"From ", b"From a 10:00\n", b"\n", b"\r\n", b"\r", b"\n\n", b"X-MSYS-API: ", b"{", b"}", b'"', b"=?utf-8?q?",
     b"?=", b"Return-Path: <", b">", b"From: ", b"To: a@b.example, (", b"Message-ID: ", b"X-Mailer: ", b"\0", b"\xff",
     b"options",
     b'{"cc":["a@b.example"]}', b"Content-Type: text/html", b":", b"\t", b"."]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=25).map(b"".join)),
    st.sampled_from(["x.eml", "x.mbox", "1"]),
)
def test_any_octets_in_a_file_give_a_report(octets: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(octets)
        found = audited(folder)
        page = page_of(Path(folder), Path(folder) / name)

    totals = found["totals"]
    assert totals["messages"] == totals["maps"] + totals["warned"] + totals["refused"]
    assert totals["messages"] or not octets
    assert page.endswith("</html>\n")


@given(st.lists(PIECES, max_size=25).map(b"".join))
def test_line_ends_become_those_that_translate_makes(octets: bytes) -> None:
    assert in_wire_lines(octets) == wire_lines(octets)


def header_of(octets: bytes) -> HeaderBlock:
    return HeaderBlock.parse(octets[: end_of_header(octets)[0]])
