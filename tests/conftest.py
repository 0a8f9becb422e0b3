"""
How hard Hypothesis looks for a counter-example.

No deadline: a busy machine is not a defect.  In CI the same examples are tried
every time, so that a failure there is about the change; elsewhere new ones are
tried with every run.
"""

import os

from hypothesis import settings

settings.register_profile("here", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
