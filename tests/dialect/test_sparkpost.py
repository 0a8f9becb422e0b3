"""Promises of `dialect.sparkpost`: every shape in which the header arrives, every refusal in SparkPost's words."""

import json
import re
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.instructions import Instructions, Mailbox, Reading, Refusal
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sparkpost import read
from smtpbridge.mail.addresses import parse_address

FULL = {
    "campaign_id": "Grüße 1",
    "metadata": {"pet": 'Spöt "the" dog, é', "n": 1, "long": "x" * 90},
    "tags": ["çat", "dog"],
    "bcc": [{"email": "b@c.example", "name": "Jürgen, M."}],
    "options": {"open_tracking": True, "click_tracking": False},
}
FULL_READ = Instructions(
    campaign="Grüße 1",
    metadata={"pet": 'Spöt "the" dog, é', "n": Number("1"), "long": "x" * 90},
    tags=("çat", "dog"),
    bcc=(Mailbox("b@c.example", "Jürgen, M."),),
    open_tracking=True,
    click_tracking=False,
)
ODD_TEXT = st.text(st.characters(exclude_categories=[]) | st.sampled_from('\r\n\0\x7f\x85@<>"\\'))


def reading(*values: bytes) -> Reading:
    found = read(values)
    assert isinstance(found, Reading), found
    return found


def instructions(value: bytes) -> Instructions:
    return reading(value).instructions


def refusal(*values: bytes) -> Refusal:
    found = read(values)
    assert isinstance(found, Refusal), found
    return found


def kinds(value: bytes) -> tuple[list[str], list[str]]:
    found = reading(value)
    return [remark.kind for remark in found.warnings], [remark.kind for remark in found.notes]


def test_no_header_asks_for_nothing() -> None:
    assert read([]) == Reading(Instructions())


@pytest.mark.parametrize("value", [b"", b" ", b"\r\n \t", b" null", b"{}", b" =?utf-8?Q??=", b"\r\n {}"])
def test_a_header_that_says_nothing_asks_for_nothing(value: bytes) -> None:
    assert read([value]) == Reading(Instructions())


def test_every_field_is_read() -> None:
    value = json.dumps(
        {
            "campaign_id": "c",
            "metadata": {"a": [1, {"b": None}]},
            "tags": ["t"],
            "cc": ["a@b", "Ann <c@d>"],
            "bcc": [{"email": "e@f", "name": "E"}],
            "archive": [{"address": {"email": "g@h", "name": "G"}}, {"address": "I <i@j>"}],
            "options": {
                "open_tracking": True,
                "click_tracking": False,
                "transactional": True,
                "skip_suppression": False,
                "inline_css": True,
                "ip_pool": "pool",
                "dkim_key": "key",
            },
        }
    )

    assert reading(value.encode()) == Reading(
        Instructions(
            campaign="c",
            metadata={"a": [Number("1"), {"b": None}]},
            tags=("t",),
            cc=(Mailbox("a@b"), Mailbox("c@d", "Ann")),
            bcc=(Mailbox("e@f", "E"),),
            archive=(Mailbox("g@h", "G"), Mailbox("i@j", "I")),
            open_tracking=True,
            click_tracking=False,
            transactional=True,
            skip_suppression=False,
            inline_css=True,
            ip_pool="pool",
            dkim_key="key",
        )
    )


def test_a_field_that_is_null_is_absent_and_one_that_is_empty_is_there() -> None:
    nothing = b'{"campaign_id":null,"metadata":null,"tags":null,"cc":null,"options":{"ip_pool":null,"inline_css":null}}'

    assert instructions(nothing) == Instructions()
    assert instructions(b'{"metadata":{},"tags":[],"cc":[],"options":{}}') == Instructions(metadata={}, tags=())
    assert instructions(b'{"campaign_id":"","options":{"ip_pool":"","dkim_key":""}}') == Instructions()


# Step 1: unfolding.


@pytest.mark.parametrize("fold", [b"\r\n ", b"\r\n\t", b"\r\n    ", b"\r\n \t ", b"\r\n \r\n "])
def test_a_fold_and_all_white_space_after_it_are_one_space(fold: bytes) -> None:
    assert instructions(b'{"campaign_id":"my_awes' + fold + b'ome"}').campaign == "my_awes ome"


def test_white_space_before_a_fold_stays() -> None:
    assert instructions(b'{"campaign_id":"a \r\n b"}').campaign == "a  b"


def test_a_closing_brace_on_a_line_of_its_own_is_read() -> None:
    assert reading(b'\r\n {\r\n  "campaign_id": "a"\r\n }') == Reading(Instructions(campaign="a"))


def test_a_line_of_a_hundred_kilobytes_is_read() -> None:
    assert instructions(b'{"metadata":{"a":"' + b"x" * 100_000 + b'"}}').metadata == {"a": "x" * 100_000}


# Step 2: encoded words, as the libraries write them.


def test_the_value_in_words_of_nodemailer_is_read() -> None:
    octets = json.dumps(FULL, ensure_ascii=False).encode()
    words = [b"=?UTF-8?Q?%b?=" % quote(octets[at : at + 13]) for at in range(0, len(octets), 13)]

    assert reading(b"\r\n ".join(words)) == Reading(FULL_READ)


def test_the_one_long_word_of_phpmailer_with_raw_quotes_is_read() -> None:
    octets = re.sub(
        rb"[^ -<>@-^`-~]", lambda found: b"=%02X" % found[0][0], json.dumps(FULL, ensure_ascii=False).encode()
    )

    assert reading(b"=?utf-8?Q?" + octets.replace(b" ", b"_") + b"?=") == Reading(FULL_READ)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_the_words_of_the_legacy_email_package_are_read(charset: str) -> None:
    value = Header(json.dumps(FULL, ensure_ascii=False), charset, header_name="X-MSYS-API").encode(linesep="\r\n")

    assert reading(value.encode()) == Reading(FULL_READ)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_mixture_of_the_modern_email_package_is_read(separators: tuple[str, str]) -> None:
    message = EmailMessage(policy=SMTP)
    message["X-MSYS-API"] = json.dumps(FULL, ensure_ascii=False, separators=separators)
    value = message.as_bytes().split(b":", 1)[1].split(b"\r\n\r\n")[0]

    assert b"=?" in value
    assert reading(value) == Reading(FULL_READ)


@pytest.mark.parametrize(
    "value",
    [
        b'{"campaign_id": "=?utf-8?Q?J=C3=BCrgen?="}',
        b'{"campaign_id": "J=?iso-8859-1?Q?=FC?=rgen"}',
        b'{"campaign_id": "J=?utf-8?B?w7w=?=\r\n =?utf-8?Q?rgen"}?=',
        b'{"campaign_id": =?utf-8?Q?"J=C3=BCrgen"?=}',
        b'=?utf-8?Q?{"campaign=5Fid":?= =?utf-8?B?IkrDvHJnZW4ifQ==?=',
        '{"campaign_id": "Jürgen"}'.encode(),
        b'{"campaign_id": "J\\u00fcrgen"}',
    ],
)
def test_a_word_may_stand_anywhere(value: bytes) -> None:
    assert reading(value) == Reading(Instructions(campaign="Jürgen"))


def test_a_word_that_decodes_to_a_quote_is_decoded_inside_its_string() -> None:
    value = b'{"campaign_id": "a =?utf-8?Q?=22b=22?=", "metadata": {"=?utf-8?Q?=22?=": ["=?utf-8?Q?=5C?=", 1]}}'

    assert instructions(value) == Instructions(campaign='a "b"', metadata={'"': ["\\", Number("1")]})
    assert kinds(value) == ([], ["words-in-strings"])


@pytest.mark.parametrize(("value", "where"), [(b'{"a":"\xff"}', "7"), (b"\xed\xa0\x80", "1")])
def test_octets_that_are_not_utf8_are_refused(value: bytes, where: str) -> None:
    assert refusal(value) == Refusal(f"JSON parsing error in X-MSYS-API: not UTF-8 at byte {where}")


# Step 3: the JSON.


@pytest.mark.parametrize(
    "value",
    [
        b'{"campaign_id":"a",}',
        b"{'campaign_id':'a'}",
        b'{/* c */"campaign_id":"a"}',
        b'{"campaign_id":"a","metadata":NULL}',
        b'{"campaign_id":"a"} trailing',
    ],
)
def test_what_the_parser_of_sparkpost_takes_is_read_with_a_warning(value: bytes) -> None:
    assert instructions(value) == Instructions(campaign="a")
    assert kinds(value) == (["lenient-json"], [])


@pytest.mark.parametrize(
    "value",
    [
        b'{"cc":["a@b" "c@d"]}',
        b'{"cc":[] "bcc":[]}',
        b"{",
        b"x",
        b'{"a":NaN}',
        b'{"a":"' + b"[" * 9,
    ],
)
def test_what_is_not_json_is_refused_with_where(value: bytes) -> None:
    found = refusal(value)

    assert re.fullmatch(r"JSON parsing error in X-MSYS-API: [ -~]+ at character [0-9]+", found.text)
    assert (found.code, found.enhanced) == (550, "5.6.0")


@pytest.mark.parametrize(
    "value",
    [
        b'{"options":{"open_tracking":tr\r\n ue},"campaign_id":"a"}',
        b'{"campaign_id":"a\xc3\r\n \xbc"}'.replace(b"a\xc3\r\n \xbc", b"a") + b"\r\n ",
        b'{"campaign_id":"a","options":{"open_tracking":1\r\n }}'.replace(b"1\r\n }", b"t\r\n r\r\n ue}"),
    ],
)
def test_json_that_a_fold_has_broken_is_mended(value: bytes) -> None:
    assert instructions(value).campaign == "a"


def test_a_mended_fold_is_warned_about() -> None:
    assert kinds(b'{"options":{"open_tracking":tr\r\n ue}}') == (["joined-folds"], [])
    assert kinds(b'{"options":{"open_tracking":tr\r\n ue},}') == (["joined-folds", "lenient-json"], [])


def test_a_character_of_utf8_that_a_fold_has_cut_is_mended() -> None:
    assert instructions(b'{"campaign_id":"\xc3\r\n \xbc"}').campaign == "ü"


def test_a_word_that_a_fold_has_cut_is_mended() -> None:
    assert instructions(b'=?utf-8?Q?{"campaign=5Fid":"a\r\n b"}?=').campaign == "ab"


def test_an_address_that_a_fold_has_cut_is_mended() -> None:
    value = b'{"cc":["a@exam\r\n ple.com"]}'

    assert instructions(value).cc == (Mailbox("a@example.com"),)
    assert kinds(value) == (["joined-folds"], [])


def test_what_joining_does_not_mend_is_refused_as_it_was_first_seen() -> None:
    assert refusal(b'{"cc":["a\r\n b"]}').text.startswith("X-MSYS-API 'cc' entry \"a b\"")
    assert refusal(b'{"metadata":\r\n []}').text == "X-MSYS-API 'metadata' must be of type 'json object'"


# Several headers, and size.


def test_equal_headers_count_once_and_empty_ones_do_not_count() -> None:
    value = b'{"campaign_id": "a"}'

    assert reading(value, value, b"", b" null") == Reading(Instructions(campaign="a"))
    assert reading(value, b'{"campaign_id":\r\n "a"}', b' =?utf-8?Q?{"campaign=5Fid":_"a"}?=') == reading(value)
    assert reading(b"", b" ") == Reading(Instructions())


def test_headers_that_differ_are_refused() -> None:
    assert refusal(b'{"campaign_id":"a"}', b'{"campaign_id":"b"}').text.startswith("X-MSYS-API ")
    assert refusal(b"{}", b"\xff").text.startswith("X-MSYS-API ")


def test_a_mebibyte_is_read_and_one_octet_more_is_refused() -> None:
    value = b'{"metadata":{"a":"%b"}}'
    room = (1 << 20) - len(value) + 2

    assert instructions(value % (b"x" * room)).metadata == {"a": "x" * room}
    assert refusal(value % (b"x" * (room + 1))) == Refusal(
        "X-MSYS-API is limited to 1048576 bytes", limit="max_json_bytes"
    )


# Step 4: types and limits.


@pytest.mark.parametrize("value", [b"[]", b'"string"', b"1", b"true", b'["a"]'])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    assert refusal(value) == Refusal("X-MSYS-API must be of type 'json object'", 550, "5.6.0")


@pytest.mark.parametrize(
    ("value", "field", "wanted"),
    [
        ('{"metadata":[]}', "metadata", "json object"),
        ('{"metadata":"a"}', "metadata", "json object"),
        ('{"options":[]}', "options", "json object"),
        ('{"options":true}', "options", "json object"),
        ('{"tags":"a"}', "tags", "json array"),
        ('{"tags":{}}', "tags", "json array"),
        ('{"cc":"a@b"}', "cc", "json array"),
        ('{"bcc":{"email":"a@b"}}', "bcc", "json array"),
        ('{"archive":1}', "archive", "json array"),
        ('{"campaign_id":1}', "campaign_id", "json string"),
        ('{"campaign_id":["a"]}', "campaign_id", "json string"),
        ('{"options":{"ip_pool":1}}', "ip_pool", "json string"),
        ('{"options":{"dkim_key":{}}}', "dkim_key", "json string"),
        ('{"options":{"open_tracking":"yes"}}', "open_tracking", "json boolean"),
        ('{"options":{"click_tracking":2}}', "click_tracking", "json boolean"),
        ('{"options":{"transactional":[]}}', "transactional", "json boolean"),
        ('{"options":{"skip_suppression":""}}', "skip_suppression", "json boolean"),
        ('{"options":{"inline_css":1.0}}', "inline_css", "json boolean"),
        ('{"cc":[{"email":"a@b","name":1}]}', "cc.name", "json string"),
    ],
)
def test_a_wrong_type_is_refused_in_the_words_of_sparkpost(value: str, field: str, wanted: str) -> None:
    assert refusal(value.encode()) == Refusal(f"X-MSYS-API '{field}' must be of type '{wanted}'")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("1", True),
        ('"1"', True),
        ('"true"', True),
        ("false", False),
        ("0", False),
        ('"0"', False),
        ('"false"', False),
    ],
)
def test_a_switch_comes_in_many_forms(written: str, meant: bool) -> None:
    assert instructions(f'{{"options":{{"inline_css":{written}}}}}'.encode()).inline_css is meant


@pytest.mark.parametrize("campaign", ["a" * 64, "ü" * 32, "\ud800" * 21])
def test_a_campaign_of_64_octets_passes_and_one_octet_more_does_not(campaign: str) -> None:
    longer = campaign + "ab"

    assert instructions(json.dumps({"campaign_id": campaign}).encode()).campaign == campaign
    assert refusal(json.dumps({"campaign_id": longer}).encode()) == Refusal(
        "smtpapi_campaign_id context is limited to 64 bytes"
    )


@pytest.mark.parametrize("escape", ["\\u0000", "\\r\\n", "\\u007f", "\\u0085"])
def test_a_campaign_with_a_control_character_is_refused(escape: str) -> None:
    assert refusal(f'{{"campaign_id":"a{escape}"}}'.encode()).text.startswith("X-MSYS-API 'campaign_id'")


def test_tags_become_text_and_those_beyond_ten_are_dropped_with_a_note() -> None:
    assert instructions(b'{"tags":[null,"a",1.50,true,false,null]}').tags == ("a", "1.50", "true", "false")
    many = json.dumps({"tags": [None, *map(str, range(11))]}).encode()
    assert instructions(many).tags == tuple(map(str, range(10)))
    assert kinds(many) == ([], ["tags-dropped"])
    assert kinds(json.dumps({"tags": list("abcdefghij")}).encode()) == ([], [])


@pytest.mark.parametrize("entry", ["[]", "{}", '["a"]'])
def test_a_tag_that_is_a_container_is_refused(entry: str) -> None:
    assert refusal(f'{{"tags":["a",{entry}]}}'.encode()).text.startswith(
        "X-MSYS-API 'tags' must be of type 'json array'"
    )


def test_what_is_not_known_or_not_used_is_noted() -> None:
    value = b'{"substitution_data":1,"return_path":2,"options":{"sandbox":true,"smart_send":1,"new\\r\\n":[]}}'
    found = reading(value)

    assert found.instructions == Instructions()
    assert kinds(value) == ([], ["ignored-field", "unknown-field", "ignored-option", "unknown-option"])
    assert all(remark.text.isascii() and remark.text.isprintable() for remark in found.notes)


def test_notes_are_bounded_whatever_the_number_of_unknown_fields() -> None:
    found = reading(json.dumps({"\n" * 100 + str(number): 1 for number in range(900)}).encode())

    assert len(found.notes) == 1
    assert len(found.notes[0].text) < 2000
    assert "895 more" in found.notes[0].text


# Recipients.


@pytest.mark.parametrize("name", ['""', "null", '" "'])
def test_a_name_that_is_empty_is_no_name(name: str) -> None:
    assert instructions(f'{{"cc":[{{"email":"a@b","name":{name}}}]}}'.encode()).cc == (Mailbox("a@b"),)


def test_a_name_that_stands_beside_an_address_wins_over_one_inside() -> None:
    value = b'{"cc":[{"email":"In <a@b>","name":"Out"},{"address":{"email":"c@d","name":"In"},"name":"Out"}]}'

    assert instructions(value).cc == (Mailbox("a@b", "Out"), Mailbox("c@d", "Out"))


@pytest.mark.parametrize(
    "entry", ['{"email":"a@b","name":"A\\r\\nBcc: x\\u0000\\u0085"}', '"A\\r\\nBcc: x\\u0000\\u0085 <a@b>"']
)
def test_a_control_character_in_a_name_becomes_a_space_with_a_warning(entry: str) -> None:
    value = f'{{"bcc":[{entry}]}}'.encode()

    assert instructions(value).bcc == (Mailbox("a@b", "A  Bcc: x"),)
    assert kinds(value) == (["control-in-name"], [])


@pytest.mark.parametrize(("names", "words"), [(1, "1 display name became"), (2, "2 display names became")])
def test_the_warning_of_cleaned_names_counts_them_in_words_that_fit(names: int, words: str) -> None:
    entries = ",".join(f'{{"email":"a{at}@b","name":"\\u0001"}}' for at in range(names))
    reading = read([f'{{"cc":[{entries}]}}'.encode()])

    assert isinstance(reading, Reading)
    assert f"control characters in {words} spaces" in reading.warnings[0].text


def test_several_addresses_in_one_entry_are_refused_with_the_word_that_one_is_wanted() -> None:
    refusal = read([b'{"cc":["a@b.c, d@e.f"]}'])

    assert isinstance(refusal, Refusal)
    assert refusal.text.endswith("is not a valid address: more than one address where one is wanted")


@pytest.mark.parametrize(
    "entry",
    [
        '"nobody"', '""', "null", "1", "true", "[]", "{}", '["a@b"]', '{"name":"a@b"}', '{"email":null}', '{"email":1}',
        '{"address":{"address":{"email":"a@b"}}}', '"a@b, c@d"', '"<a@b\\r\\nRCPT TO:c@d>"',
        '"a@b\\u0000"', '"a@\\ud800"',
        '"' + "ü" * 3000 + '"', '"' + "\\n" * 3000 + '"', '["' + "x" * 3000 + '"]',
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["cc", "bcc", "archive"])
def test_an_entry_that_is_no_address_is_refused_by_name(field: str, entry: str) -> None:
    found = refusal(f'{{"{field}":["a@b",{entry}]}}'.encode())

    assert found.text.startswith(f"X-MSYS-API '{field}' entry ")
    assert found.enhanced == "5.6.0"
    assert_fits_in_a_reply(found)


def test_a_local_part_outside_ascii_has_a_code_of_its_own() -> None:
    found = refusal('{"cc":["jürgen@b.example"]}'.encode())

    assert (found.code, found.enhanced) == (550, "5.6.7")
    assert '"j\\u00fcrgen@b.example"' in found.text


def test_an_internationalised_domain_is_written_in_ascii() -> None:
    assert instructions('{"cc":["a@bücher.example"]}'.encode()).cc == (Mailbox("a@xn--bcher-kva.example"),)


def test_a_thousand_copies_pass_and_one_more_does_not() -> None:
    lists = {"cc": ["a@b"] * 500, "bcc": ["a@b"] * 499, "archive": ["a@b"]}

    assert len(instructions(json.dumps(lists).encode()).cc) == 500
    lists["archive"].append("no address")
    assert "1001" in refusal(json.dumps(lists).encode()).text
    assert refusal(json.dumps(lists).encode()).text.startswith("X-MSYS-API ")


# Whatever comes.


def assert_fits_in_a_reply(found: Refusal) -> None:
    line = f"{found.code} {found.enhanced} {found.text}"
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 510


FRAGMENTS = [
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b"\\", b"\r\n ", b" ", b"\xc3", b"\xbc", b"\x00", b"=?utf-8?Q?",
    b"?=",
    b"=22", b'"cc"', b'"bcc":[', b'"a@b"', b'"options":{', b'"tags":', b'"metadata":', b'"campaign_id":', b"1", b"true",
    b'"email":', b'"name":', b"\\ud800", b"\\r\\n", b"null", b"/*", b"*/", b"//", b"<", b">", b"@",
]  # fmt: skip


@given(st.lists(st.binary() | st.lists(st.sampled_from(FRAGMENTS)).map(b"".join), max_size=2))
def test_any_octets_give_a_reading_or_a_refusal_that_fits_in_a_reply(values: list[bytes]) -> None:
    found = read(values)

    if isinstance(found, Refusal):
        assert_fits_in_a_reply(found)
    else:
        assert all(remark.text.isascii() and remark.text.isprintable() for remark in (*found.warnings, *found.notes))


def quote(octets: bytes) -> bytes:
    """Write octets for a Q word as nodemailer does: letters and digits plain, everything else escaped."""
    return b"".join(b"%c" % octet if chr(octet).isalnum() and octet < 128 else b"=%02X" % octet for octet in octets)


def as_octets(text: str) -> bytes:
    return json.dumps(text).encode()


@given(
    st.sampled_from(["cc", "bcc", "archive"]),
    ODD_TEXT | ODD_TEXT.map(lambda name: f"{name} <a@b.example>") | ODD_TEXT.map(lambda text: f"a@{text}"),
    ODD_TEXT,
    st.booleans(),
)
def test_no_string_however_encoded_brings_a_control_character_into_an_address_or_a_name(
    field: str, text: str, name: str, in_words: bool
) -> None:
    value = json.dumps({field: [text, {"email": text, "name": name}, {"address": text}]}).encode()
    if in_words:
        raw = json.dumps({field: [text, {"email": "a@b", "name": name}]}, ensure_ascii=False)
        value = b"=?utf-8?Q?" + quote(raw.encode("utf-8", "replace")) + b"?="
    found = read([value])

    if isinstance(found, Refusal):
        assert_fits_in_a_reply(found)
        return
    for mailbox in getattr(found.instructions, field):
        assert parse_address(mailbox.address) == mailbox.address
        assert not re.search("[\x00-\x1f\x7f-\x9f]", mailbox.name)


# What looks like the start of an encoded word is one to this header's readers.
PLAIN_TEXT = ODD_TEXT.filter(lambda text: "=?" not in text)


@given(st.dictionaries(PLAIN_TEXT, PLAIN_TEXT), st.lists(PLAIN_TEXT, max_size=10))
def test_metadata_and_tags_come_out_as_they_went_in(metadata: dict[str, str], tags: list[str]) -> None:
    octets = json.dumps({"metadata": metadata, "tags": tags}).encode()
    found = instructions(octets)

    assert found.metadata is not None
    assert list(found.metadata.items()) == list(json.loads(octets)["metadata"].items())
    assert list(found.tags or ()) == json.loads(octets)["tags"]
