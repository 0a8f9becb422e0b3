"""
How hard Hypothesis looks for a counter-example, and who listens to what the tests say.

No deadline: a busy machine is not a defect.  In CI the same examples are tried
every time, so that a failure there is about the change; elsewhere new ones are
tried with every run.

Everything that is logged or printed while the tests run is kept, and the last test
of all, in test_secrets.py, looks for secrets in it.
"""

import os

import pytest
from hypothesis import settings
from twisted.logger import globalLogPublisher

from tests.overheard import EVERYTHING

settings.register_profile("here", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure() -> None:
    globalLogPublisher.addObserver(EVERYTHING)


def pytest_unconfigure() -> None:
    globalLogPublisher.removeObserver(EVERYTHING)
    EVERYTHING.close()


def pytest_runtest_logstart(nodeid: str) -> None:
    EVERYTHING.now_in(nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for _, printed in report.sections:
        EVERYTHING.said(printed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_secrets.py")
