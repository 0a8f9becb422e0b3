"""
The translation as a milter for Postfix: reads header fields alone, changes them at the end of the message.

    rewrite_milter.py SOCKET

It runs with the Python and the module Milter of the system.  What it does not look at is not sent to it.
"""

import json
import os
import sys

import Milter

_LONG = 78


class Rewrite(Milter.Base):
    """One connection; `envfrom` begins each message."""

    def __init__(self):
        self.asked = None

    @Milter.noreply
    def envfrom(self, sender, *parameters):
        self.asked = None
        return Milter.CONTINUE

    @Milter.noreply
    def header(self, name, value):
        if name.lower() == "x-msys-api":
            self.asked = name, value
        return Milter.CONTINUE

    def eom(self):
        if self.asked is None:
            return Milter.ACCEPT
        name, value = self.asked
        try:
            asked = json.loads(value.replace("\n", ""))
        except ValueError:
            self.setreply("550", "5.6.0", "X-MSYS-API cannot be read")
            return Milter.REJECT
        self.chgheader(name, 1, "")
        callback = {member: asked[member] for member in ("campaign_id", "metadata", "tags") if member in asked}
        self.addheader("X-IB-Callback-Data", folded(json.dumps(callback)))
        if "campaign_id" in asked:
            self.addheader("X-IB-Bulk-Id", asked["campaign_id"])
        options = asked.get("options", {})
        for option, field in (("open_tracking", "X-IB-Track-Opens"), ("click_tracking", "X-IB-Track-Clicks")):
            self.addheader(field, str(bool(options.get(option))).lower())
        return Milter.ACCEPT

    # Nothing of these is of interest, and the mail server is told so.
    @Milter.nocallback
    def connect(self, *given):
        return Milter.CONTINUE

    @Milter.nocallback
    def hello(self, *given):
        return Milter.CONTINUE

    @Milter.nocallback
    def envrcpt(self, *given):
        return Milter.CONTINUE

    @Milter.nocallback
    def data(self, *given):
        return Milter.CONTINUE

    @Milter.nocallback
    def eoh(self, *given):
        return Milter.CONTINUE

    @Milter.nocallback
    def body(self, *given):
        return Milter.CONTINUE


def folded(value):
    """Return a value in lines, folded at blanks."""
    lines = [""]
    for word in value.split(" "):
        if len(lines[-1]) + len(word) > _LONG:
            lines.append("")
        lines[-1] += " " + word
    return "\n".join(lines)[1:]


Milter.factory = Rewrite
Milter.set_flags(Milter.CHGHDRS | Milter.ADDHDRS)
# Postfix connects to the socket as a user of its own.
os.umask(0)
Milter.runmilter("rewrite", f"unix:{sys.argv[1]}", 60)
