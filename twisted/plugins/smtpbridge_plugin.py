"""
Make `twistd smtpbridge` known.

Every Twisted command on the machine imports this file, so it names the
package and does not import it.
"""

from twisted.application.service import ServiceMaker

smtpbridge = ServiceMaker(
    "smtpbridge",
    "smtpbridge.tap",
    "An SMTP bridge from SparkPost to Infobip.",
    "smtpbridge",
)
