"""
Make ids of the form that SparkPost gave, so that whoever keeps, sorts or joins by them goes on.

A transmission_id is decimal, below 2^63, and grows with time.  A message_id is 20 hexadecimal digits, of which the
fifth to the twelfth are the second of the message's coming, its octets in reverse.  The id in SparkPost's 250 is
Momentum's name for the message in its queue, made of the digits of a message_id in another order: whoever has one can
tell the other but for its first four digits.

What must not be known here: the clock and chance; both come in.
"""

CHANCE_FOR_TRANSMISSION = 2
CHANCE_FOR_MESSAGE = 6
BITS = 11
"""What the microseconds since the epoch leave below 2^63 until the year 2112: they stand above so many random bits."""


def transmission_id(at: float, chance: bytes) -> int:
    """Return the id that the copies of a message share; `chance` is two random octets."""
    return int(at * 1_000_000) << BITS | int.from_bytes(chance, "big") & (1 << BITS) - 1


def message_id(at: float, chance: bytes) -> str:
    """Return the id of one copy; `chance` is six random octets."""
    second = (int(at) & 0xFFFFFFFF).to_bytes(4, "little")
    return (chance[:2] + second + chance[2:]).hex()


def queue_id(message: str) -> str:
    """Return what SparkPost would have said in its 250, `XX/XX-NNNNN-XXXXXXXX`, for a message_id."""
    digits = message.upper()
    number = int(digits[14:16] + digits[12:14], 16)
    # The digits of each octet change places.
    second = "".join(digits[at + 1] + digits[at] for at in range(4, 12, 2))
    return f"{digits[17]}{digits[16]}/{digits[19]}{digits[18]}-{number}-{second}"
