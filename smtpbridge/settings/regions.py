"""
Infobip's regions by name: which host serves each, and on which ports.

From Infobip's SMTP API page, the newer of the two that are at hand; the older
one differs in Saudi Arabia (sa2) and in port 25.  The list ages, so it is a
convenience: `hosts` takes whatever the account's own page says.
"""

from dataclasses import dataclass

from smtpbridge.settings.values import Security

# TLS is mandatory on each: by STARTTLS on 587, from the first octet on 465.
PORTS = {Security.STARTTLS: 587, Security.TLS: 465}

_BOTH = (587, 465)
_SUBMISSION = (587,)


@dataclass(frozen=True, slots=True)
class Region:
    """One region's host and the ports it answers on."""

    host: str
    ports: tuple[int, ...]


REGIONS = {
    "europe": Region("smtp-api.infobip.com", _BOTH),
    # Data stays in the European Union (the judgement known as Schrems II).
    "eu": Region("smtp-api-eu.infobip.com", _BOTH),
    "great-britain": Region("smtp-api-gb1.infobip.com", _BOTH),
    "us": Region("smtp-api-us.infobip.com", _BOTH),
    "india": Region("smtp-api-mum.infobip.com", _BOTH),
    "indonesia": Region("smtp-api-id.infobip.com", _BOTH),
    "mena": Region("smtp-api-ae2.infobip.com", _SUBMISSION),
    "pakistan": Region("smtp-api-pk2.infobip.com", _SUBMISSION),
    "qatar": Region("smtp-api-qa1.infobip.com", _SUBMISSION),
    "saudi-arabia": Region("smtp-api-sa3.infobip.com", _SUBMISSION),
    "turkiye": Region("smtp-api-tr1.infobip.com", _SUBMISSION),
}
