"""The bridge against what else its users could pick: `python -m bench.race`, or `make bench`."""
