"""
python django_mail.py WISHES.JSON, with $SINK_PORT set by record.py and Django on the path.

django.core.mail.EmailMessage through its SMTP backend.
"""

import json
import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage

settings.configure(
    EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["SINK_PORT"]),
)


def send(name: str, value: str) -> None:
    """Send one message whose header is `value`."""
    fields = {"X-MSYS-API": value, "Message-ID": f"<{name}@sender.example>", "Date": "Fri, 20 Nov 2026 06:00:00 +0000"}
    EmailMessage("Corpus", "Hello.\n", "News <news@sender.example>", [f"{name}@case.example"], headers=fields).send()


for name, wish in json.loads(Path(sys.argv[1]).read_text("utf-8")).items():
    tight = name in ("ascii-short", "tight")
    send(name, json.dumps(wish, separators=(",", ":") if tight else None))
    if name in ("non-ascii", "copies"):
        send(f"{name}-unescaped", json.dumps(wish, ensure_ascii=False))
