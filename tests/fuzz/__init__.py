"""
Fuzzing: arbitrary octets into every reader of what a stranger sends.

`targets/NAME.py` holds one function, `run(octets)`, which asserts what is
promised of one reader; `seeds/NAME/` holds inputs that lead to its corners.
The ordinary suite runs every target over its seeds and over what Hypothesis
makes of them (`test_targets`); `python -m tests.fuzz`, or `make fuzz`, runs
them under atheris, which looks for inputs that reach new code.
"""
