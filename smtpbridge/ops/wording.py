"""Numbers, times and sizes as people read them."""

from datetime import UTC, datetime

_DAY = 86_400.0


def number(value: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Return messages in a second; small ones with decimals."""
    return f"{value:,.0f}/s" if value >= 10 or value == 0 else f"{value:.3g}/s"


def seconds(value: float) -> str:
    """Return a time that something took."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"


def span(value: float) -> str:
    """Return how long something has lasted, in its two largest units."""
    whole = max(0, int(value))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def size(octets: float) -> str:
    """Return octets in a unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} TiB"


def moment(at: float) -> str:
    """Return a time of day as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def days_left(at: float, now: float) -> int:
    """Return how many whole days there are until then; less than 0 when it is over."""
    return int((at - now) // _DAY)


def many(count: int, what: str) -> str:
    """Return a count with its word."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
