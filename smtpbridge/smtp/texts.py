"""
What our server says: the fixed replies of `server`, each with its enhanced code (RFC 3463).

Those that every message needs are kept encoded.
"""

from smtpbridge.smtp.lines import Defect
from smtpbridge.smtp.replies import reply

OK = reply(250, "2.0.0", "OK").encode()
SENDER_OK = reply(250, "2.1.0", "Sender OK").encode()
RECIPIENT_OK = reply(250, "2.1.5", "Recipient OK").encode()
GO_AHEAD = reply(354, "", "End data with <cr><lf>.<cr><lf>").encode()
LOGGED_IN = reply(235, "2.7.0", "Authentication successful")
LOGIN_REFUSED = reply(535, "5.7.8", "Authentication failed")
LOGIN_BUSY = reply(454, "4.7.0", "Temporary authentication failure, try again later")
SEQUENCE = reply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST = reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = reply(503, "5.5.1", "Send MAIL first")
NO_RECIPIENT = reply(554, "5.5.1", "No valid recipients")
AUTH_FIRST = reply(530, "5.7.0", "Authentication required")
TLS_FIRST = reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_FOR_AUTH = reply(538, "5.7.11", "Encryption required for authentication: issue STARTTLS first")
NO_RELAY = reply(550, "5.7.1", "relaying denied")
NO_AUTH = reply(502, "5.5.1", "AUTH is not offered here")
NO_STARTTLS = reply(502, "5.5.1", "STARTTLS is not offered here")
MECHANISM = reply(504, "5.5.4", "Unknown mechanism; LOGIN and PLAIN are known")
TOO_BIG = reply(552, "5.3.4", "Message is larger than this server takes")
TOO_MANY = reply(452, "4.5.3", "Too many recipients")
LEFTOVER = reply(554, "5.5.1", "Commands behind STARTTLS are not allowed")
PATIENCE = reply(421, "4.7.0", "Too many errors")
IDLENESS = reply(421, "4.7.0", "Too many commands without a message")
ENDLESS = reply(552, "5.3.4", "The message has no end; closing connection")
NO_HTTP = reply(421, "4.7.0", "This is SMTP")
LINE_DEFECTS = {
    Defect.TOO_LONG: reply(500, "5.5.2", "Line too long"),
    Defect.BARE_LF: reply(500, "5.5.2", "A line ended with a bare LF; SMTP lines end with CR LF"),
}
# RFC 4954, 6
RESPONSE_DEFECTS = {**LINE_DEFECTS, Defect.TOO_LONG: reply(500, "5.5.6", "Authentication exchange line is too long")}
# What a browser says first when a page makes it talk to this port.
HTTP = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"CONNECT ", b"OPTIONS ")
BYE = reply(221, "2.0.0", "Bye")
READY_FOR_TLS = reply(220, "2.0.0", "Ready to start TLS")
CANNOT_VERIFY = reply(252, "2.5.0", "Cannot verify a user; send the message and see")
