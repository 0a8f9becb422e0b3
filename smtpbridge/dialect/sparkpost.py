"""
Read `X-MSYS-API` as SparkPost does, from raw field values to `Instructions`.

Theory of operation
-------------------

Libraries fold, encode and break this header in many ways, so reading is a
ladder, and the first rung that holds counts:

1. The value is unfolded: a line end and all white space after it are one space.
2. Encoded words are decoded over the whole value; other octets are UTF-8.
3. The text is strict JSON; or it is when its words are left alone, and they
   are decoded inside the strings; or it is JSON by the lenient grammar.
4. Types and limits are checked, addresses go through their gate.

When a folded value falls off the ladder because of its JSON or of an address,
a break in the middle of a token may be the reason, and it climbs once more
with its folds joined by nothing.  Whoever comes up by the lenient grammar or
by joined folds is warned about, and so is a value that holds, but says
something else when its folds are joined: a writer that breaks lines at a
column and not at a blank (PHPMailer 6.0 does) puts spaces into names and
strings.  SparkPost reads those spaces, so they stay.

Whatever the octets, the answer is a `Reading` or a `Refusal`.  What is over one
of the `Bounds` is refused at the first rung that meets it: a further one would
read as much again.

What must not be known here: what the other provider makes of it, and what the
operator prefers.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from smtpbridge.dialect.bounds import USUAL, Bounds
from smtpbridge.dialect.instructions import NOTHING, Instructions, Json, Reading, Refusal, Remark
from smtpbridge.dialect.jsontext import BadJson, TooDeep, TooManyValues, TooMuch, read_lenient, read_strict, write
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.recipients import read_copies
from smtpbridge.dialect.typed import CONTROL, Refused, array, boolean, json_object, quoted, string
from smtpbridge.mail import words

MOST_CAMPAIGN_OCTETS = 64  # SparkPost counts octets of UTF-8
MOST_TAGS = 10  # SparkPost keeps ten for a recipient and ignores the rest

_FOLD = re.compile(rb"\r\n[ \t\r\n]*")
_PARSE_ERROR = "JSON parsing error in X-MSYS-API"
_JOINED = Remark(
    "joined-folds",
    "X-MSYS-API is folded in the middle of a token; its lines were joined without a space",
)
_SPLIT = Remark(
    "split-strings",
    "X-MSYS-API seems to be folded inside of names or strings; each fold was read as a space, as SparkPost does",
)

_FIELDS = frozenset({"campaign_id", "metadata", "tags", "cc", "bcc", "archive", "options"})
_USUAL_OPTIONS = frozenset({"open_tracking", "click_tracking", "transactional"})
_OPTIONS = _USUAL_OPTIONS | {"skip_suppression", "inline_css", "ip_pool", "dkim_key"}
_IGNORED_FIELDS = frozenset({"substitution_data"})  # SparkPost ignores it over SMTP as well
_IGNORED_OPTIONS = frozenset({"sandbox", "smart_send"})  # once SparkPost's; senders go on sending them
_MOST_NAMED = 5
NOTHING_READ = Reading(NOTHING)
_MOST_FIELDS = 100  # so many spellings of one value are no accident


def read(values: Sequence[bytes], bounds: Bounds = USUAL) -> Reading | Refusal:
    """
    Return what the X-MSYS-API fields of the top-level header ask for.

    `values` are raw: folds in, the last line end gone.  No field and an empty one ask for nothing.
    """
    if not values:
        return NOTHING_READ
    if len(values) > 1:
        values = list(dict.fromkeys(values))
    octets = sum(map(len, values)) if len(values) > 1 else len(values[0])
    if octets > bounds.max_json_bytes:
        return Refusal(f"X-MSYS-API is limited to {bounds.max_json_bytes} bytes", limit="max_json_bytes", kind="limit")
    # A word has more than two octets, so few values are looked through.
    if octets > 2 * bounds.max_encoded_words and _words(values) > bounds.max_encoded_words:
        text = f"X-MSYS-API is limited to {bounds.max_encoded_words} encoded words"
        return Refusal(text, limit="max_encoded_words", kind="limit")
    value = values[0] if len(values) == 1 else _the_one(values)
    if isinstance(value, Refusal):
        return value
    # An empty one would climb the whole ladder for nothing.
    return _read_one(value, bounds) if value and not value.isspace() else NOTHING_READ


def _words(values: Sequence[bytes]) -> int:
    """Return how many encoded words there can be; what only begins like one costs as much."""
    # Base64 that is padded ends in `=?=`.
    return sum(value.count(b"=?") - value.count(b"=?=") for value in values)


def _the_one(values: Sequence[bytes]) -> bytes | Refusal:
    """Return the only value that says something: of several with one meaning the first; empty ones do not count."""
    if len(values) > _MOST_FIELDS:
        return Refusal(f"X-MSYS-API is there {len(values)} times with different values", kind="differs")
    said: dict[str | bytes, bytes] = {}
    for value in values:
        unfolded = _FOLD.sub(b" ", value)
        try:
            meaning: str | bytes = words.decode(unfolded).strip()
        except words.NotUtf8:
            meaning = unfolded.strip()
        if meaning not in ("", "null"):
            said.setdefault(meaning, value)
    if len(said) > 1:
        return Refusal(f"X-MSYS-API is there {len(said)} times with different values", kind="differs")
    return next(iter(said.values()), b"")


def _read_one(value: bytes, bounds: Bounds) -> Reading | Refusal:
    # To look for one octet is cheaper than to look for folds, and most values have none.
    unfolded, folds = (value, 0) if value.find(b"\r") < 0 else _FOLD.subn(b" ", value)
    try:
        found = _climb(unfolded, bounds)
    except Refused as refused:
        mended = _joined(value, bounds) if refused.mendable and folds else None
        return replace(mended, warnings=(_JOINED, *mended.warnings)) if mended else refused.refusal
    if folds and not found.warnings and _is_blank_at_folds_only(unfolded, folds):
        mended = _joined(value, bounds)
        if mended and mended.instructions != found.instructions:
            return replace(found, warnings=(_SPLIT,))
    return found


def _joined(value: bytes, bounds: Bounds) -> Reading | None:
    """Read the value with its folds joined by nothing."""
    try:
        return _climb(_FOLD.sub(b"", value), bounds)
    except Refused:
        return None


def _is_blank_at_folds_only(unfolded: bytes, folds: int) -> bool:
    """Tell whether a value has no space but those of its folds: who writes none has no place to fold at."""
    # Between encoded words a fold means nothing.
    return unfolded.strip().count(b" ") <= folds and b"=?" not in unfolded


def _climb(value: bytes, bounds: Bounds) -> Reading:
    """Do steps 2 to 4 to a value on one line; raise `Refused`."""
    warnings: list[Remark] = []
    notes: list[Remark] = []
    try:
        text = words.decode(value)
        document = _parse(value, text, bounds, warnings, notes)
    except words.NotUtf8 as undecodable:
        why = f"{_PARSE_ERROR}: not UTF-8 at byte {undecodable.offset + 1}"
        raise Refused(Refusal(why, kind="utf-8"), mendable=True) from undecodable
    except TooManyValues as excess:
        why = f"X-MSYS-API is limited to {bounds.max_json_values} values"
        raise Refused(Refusal(why, limit="max_json_values", kind="limit")) from excess
    except TooDeep as depth:
        why = f"X-MSYS-API is limited to {bounds.max_json_levels} levels of nesting"
        raise Refused(Refusal(why, limit="max_json_levels", kind="limit")) from depth
    except BadJson as error:
        why = f"{_PARSE_ERROR}: {error.reason} at character {error.position + 1}"
        raise Refused(Refusal(why, kind="json"), mendable=True) from error
    # Strict JSON without a backslash has neither quotes nor control characters of ASCII in its strings, but DEL.
    strict = not (warnings or notes)
    plain = strict and text.isascii() and text.find("\\") < 0 and text.find("\x7f") < 0
    instructions = _interpret(document, plain, bounds, warnings, notes)
    return Reading(instructions, tuple(warnings), tuple(notes))


def _parse(value: bytes, text: str, bounds: Bounds, warnings: list[Remark], notes: list[Remark]) -> Json:
    """Return what a value says that is decoded to `text`; there is a warning or a note if that was not strict JSON."""
    most = bounds.max_json_values, bounds.max_json_levels
    try:
        return read_strict(text, *most)
    except TooMuch:
        raise
    except BadJson as error:
        if not text.strip():
            return None
        strictly = error
    if b"=?" in value:
        try:
            document = _decode_strings(read_strict(value.decode("utf-8"), *most))
        except TooMuch:
            raise
        except BadJson:
            pass
        else:
            notes.append(Remark("words-in-strings", "X-MSYS-API holds encoded words inside of its JSON strings"))
            return document
    document = read_lenient(text, *most)
    where = f"character {strictly.position + 1}"
    warnings.append(Remark("lenient-json", f"X-MSYS-API is not strict JSON ({where}); it was read leniently"))
    return document


def _decode_strings(value: Json) -> Json:
    match value:
        case str() if not isinstance(value, Number):
            return words.decode_text(value)
        case list():
            return [_decode_strings(entry) for entry in value]
        case dict():
            return {words.decode_text(name): _decode_strings(member) for name, member in value.items()}
        case _:
            return value


def _interpret(
    document: Json, plain: bool, bounds: Bounds, warnings: list[Remark], notes: list[Remark]
) -> Instructions:
    if document is None:
        return NOTHING
    if not isinstance(document, dict):
        raise Refused(Refusal("X-MSYS-API must be of type 'json object'", kind="type"))
    if not document.keys() <= _FIELDS:
        _note_ignored(document, _FIELDS, _IGNORED_FIELDS, "field", notes)
    get = document.get
    campaign = _campaign(get("campaign_id"))
    metadata = json_object(get("metadata"), "metadata")
    tags = _tags(get("tags"), notes)
    options = json_object(get("options"), "options")
    opens = clicks = transactional = skip_suppression = inline_css = ip_pool = dkim_key = None
    if options:
        option = options.get
        opens = boolean(option("open_tracking"), "open_tracking")
        clicks = boolean(option("click_tracking"), "click_tracking")
        transactional = boolean(option("transactional"), "transactional")
        if not options.keys() <= _USUAL_OPTIONS:
            _note_ignored(options, _OPTIONS, _IGNORED_OPTIONS, "option", notes)
            skip_suppression = boolean(option("skip_suppression"), "skip_suppression")
            inline_css = boolean(option("inline_css"), "inline_css")
            ip_pool = string(option("ip_pool"), "ip_pool")
            dkim_key = string(option("dkim_key"), "dkim_key")
    # Last, because a wrong address is the one fault here that unfolding anew may mend.
    copies = read_copies(document, warnings, bounds)
    # By place: names cost as much again, once for each message.
    return Instructions(
        campaign,
        metadata,
        tags,
        copies.cc,
        copies.bcc,
        copies.archive,
        opens,
        clicks,
        transactional,
        skip_suppression,
        inline_css,
        ip_pool,
        dkim_key,
        plain,
    )


def _campaign(value: Json) -> str | None:
    if type(value) is str and len(value) <= MOST_CAMPAIGN_OCTETS and value.isascii() and value.isprintable():
        return value or None
    campaign = string(value, "campaign_id")
    if campaign is None:
        return None
    if len(campaign.encode("utf-8", "surrogatepass")) > MOST_CAMPAIGN_OCTETS:
        text = f"smtpapi_campaign_id context is limited to {MOST_CAMPAIGN_OCTETS} bytes"
        raise Refused(Refusal(text, kind="campaign"))
    if CONTROL.search(campaign):
        raise Refused(Refusal("X-MSYS-API 'campaign_id' must not hold control characters", kind="campaign"))
    return campaign


def _tags(value: Json, notes: list[Remark]) -> tuple[str, ...] | None:
    if value is None:
        return None
    entries = value if type(value) is list else array(value, "tags") or []
    tags = [entry if type(entry) is str else _tag(entry) for entry in entries if entry is not None]
    if len(tags) > MOST_TAGS:
        text = f"X-MSYS-API 'tags' holds {len(tags)} tags; those after the first {MOST_TAGS} were dropped"
        notes.append(Remark("tags-dropped", text))
    return tuple(tags[:MOST_TAGS])


def _tag(entry: Json) -> str:
    if isinstance(entry, (list, dict)):
        raise Refused(Refusal("X-MSYS-API 'tags' must be of type 'json array' of 'json string'", kind="type"))
    # A number is its own JSON text.
    return str(entry) if isinstance(entry, str) else write(entry)


def _note_ignored(
    members: dict[str, Json], known: frozenset[str], ignored: frozenset[str], what: str, notes: list[Remark]
) -> None:
    unread = members.keys() - known
    for kind, names in ((f"ignored-{what}", unread & ignored), (f"unknown-{what}", unread - ignored)):
        if names:
            shown = ", ".join(quoted(name) for name in sorted(names)[:_MOST_NAMED])
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            notes.append(Remark(kind, f"X-MSYS-API: {what} {shown}{more} ignored"))
