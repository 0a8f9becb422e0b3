"""The SMTP protocol without I/O, both sides: octets in, events out; replies in, octets out."""
