"""What tests of killed, stopped and cancelled runs share."""

from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from checkpoints.killed_sinks import Place, new_place
from kills import fork_server
from stores import Store


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Starts processes that have imported everything."""
    return fork_server()


@pytest.fixture(scope="session")
def objects() -> Iterator[Store]:
    """An object store that the tests of a worker share."""
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Callable[..., Place]]:
    """Makes a place for sinks, where this machine has it in memory: a kill loses nothing that was not flushed."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as root:
        yield lambda names, folder="job": new_place(Path(root) / folder, names, request.getfixturevalue)
