"""
PYTHON python_email.py legacy|modern WISHES.JSON, with $SINK_PORT set by record.py; Python 2.7 or any later one.

`legacy` is MIMEText as Django sent it up to 5.2, `modern` is EmailMessage with its own policy.
"""

import io
import json
import os
import smtplib
import sys
from collections import OrderedDict
from email.header import Header
from email.mime.text import MIMEText


def message(style, name, value):
    if style == "modern":
        from email.message import EmailMessage

        mail = EmailMessage()
        mail.set_content("Hello.\n")
    else:
        mail = MIMEText("Hello.\n", "plain", "utf-8")
        if any(ord(character) > 127 for character in value):
            value = Header(value, "utf-8")
    mail["From"] = "News <news@sender.example>"
    mail["To"] = name + "@case.example"
    mail["Subject"] = "Corpus"
    mail["Date"] = "Fri, 20 Nov 2026 06:00:00 +0000"
    mail["Message-ID"] = "<" + name + "@sender.example>"
    mail["X-MSYS-API"] = value
    return mail


def send(style, name, value):
    mail = message(style, name, value)
    smtp = smtplib.SMTP("127.0.0.1", int(os.environ["SINK_PORT"]), "app.example")
    if hasattr(smtp, "send_message"):
        smtp.send_message(mail)
    else:
        smtp.sendmail("news@sender.example", [name + "@case.example"], mail.as_string())
    smtp.quit()


def main(style, path):
    with io.open(path, encoding="utf-8") as source:  # noqa: UP020 - the built-in of Python 2.7 knows no encoding
        wishes = json.load(source, object_pairs_hook=OrderedDict)
    for name, wish in wishes.items():
        tight = name in ("ascii-short", "tight")
        send(style, name, json.dumps(wish, separators=(",", ":") if tight else (", ", ": ")))
        if name == "ascii-short" and style == "legacy":
            # Only here does a value with line breaks of its own pass at all.
            send(style, name + "-indented", json.dumps(wish, indent=2, separators=(",", ": ")))
        unescaped = json.dumps(wish, ensure_ascii=False)
        if any(ord(character) > 127 for character in unescaped):
            send(style, name + "-unescaped", unescaped)
            send(style, name + "-unescaped-tight", json.dumps(wish, ensure_ascii=False, separators=(",", ":")))


main(*sys.argv[1:])
