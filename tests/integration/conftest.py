"""One daemon and one sandbox for all tests that only send a message through; and the papers for every test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.rig import (
    BridgeProgram,
    Papers,
    SandboxProgram,
    bridge,
    make_papers,
    sandbox,
    starttls_lines,
    write_config,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A running bridge and the sandbox that it relays to."""

    bridge: BridgeProgram
    sandbox: SandboxProgram


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="session")
def shared_pair(tmp_path_factory: pytest.TempPathFactory, papers: Papers) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("pair")
    with sandbox(folder, papers) as upstream:
        config = write_config(folder, papers, upstream.port, listener=starttls_lines(papers))
        with bridge(config) as relay:
            yield Pair(relay, upstream)


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """The shared bridge and sandbox, with nothing left over from the test before."""
    shared_pair.sandbox.new_messages()
    return shared_pair
