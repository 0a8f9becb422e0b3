"""
One target under atheris: `python -m tests.fuzz.campaign NAME [arguments of libFuzzer]`.

A process of its own for each target, because libFuzzer ends its process, and
because what is to be followed must not have been imported before.
"""

import sys

import atheris

from tests.fuzz.catalogue import target


def main() -> None:
    """Run the target that the first argument names until libFuzzer has enough."""
    program, name, *rest = sys.argv
    with atheris.instrument_imports(include=["smtpbridge"]):
        run = target(name)
    atheris.Setup([program, *rest], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
