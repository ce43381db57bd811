"""Fixtures of real servers: two of Apache Kafka and one of PostgreSQL a session, an embedded broker a worker.

The processes that run tests share a folder, which the first of them makes and removes; it ends the shared servers.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import postgresql as postgres
from servers.embedded_kafka import EmbeddedKafka
from servers.kafka import KafkaServer, is_installed
from servers.postgresql import PostgresqlServer
from servers.processes import is_running

FOLDER = "ARROWSTREAM_TEST_SERVERS"
OWN_KAFKA = "own-kafka.json"
REQUIRED = "REQUIRE_SERVERS"
MISSING = "Apache Kafka is not installed"
NO_POSTGRESQL = "PostgreSQL is not installed"
NO_BROWSER = "Chromium is not installed"
HINT = "make test fetches it where Maven (mvn) and Java 17 are installed; openssl is needed, too"


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in the process that starts all others."""
    if not hasattr(config, "workerinput"):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="arrowstream-servers-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers that were started by any process of this session."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(FOLDER))
        for saved in (folder / "kafka.json", folder / OWN_KAFKA):
            if saved.exists():
                KafkaServer.saved(saved).stop()
        if (folder / "postgresql.json").exists():
            PostgresqlServer.saved(folder / "postgresql.json").stop()
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested, and how long the server took to start."""
    saved = Path(os.environ.get(FOLDER, "")) / "kafka.json"
    if saved.exists():
        terminalreporter.write_line(f"Apache Kafka started in {KafkaServer.saved(saved).seconds:.1f} s")
    saved = Path(os.environ.get(FOLDER, "")) / "postgresql.json"
    if saved.exists():
        terminalreporter.write_line(f"PostgreSQL started in {PostgresqlServer.saved(saved).seconds:.1f} s")
    for missing, hint in ((MISSING, f", {HINT}"), (NO_POSTGRESQL, ""), (NO_BROWSER, "")):
        skipped = [
            each for each in terminalreporter.stats.get("skipped", ()) if missing in str(each.longrepr)
        ]
        if skipped:
            line = f"{len(skipped)} TESTS SKIPPED: {missing}{hint}"
            terminalreporter.write_line(line, red=True, bold=True)


def demand_kafka() -> None:
    """Skip the test without Apache Kafka; fail it where the servers are required, as in .ci/run."""
    if not is_installed():
        if os.environ.get(REQUIRED):
            pytest.fail(f"{MISSING}, and {REQUIRED} is set: {HINT}")
        pytest.skip(f"{MISSING}: {HINT}")


@pytest.fixture(scope="session")
def kafka() -> KafkaServer:
    """The Apache Kafka server that all tests share: each uses topics and groups of its own."""
    demand_kafka()
    folder = Path(os.environ[FOLDER])
    saved = folder / "kafka.json"
    with (folder / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not saved.exists():
            (folder / "kafka").mkdir()
            KafkaServer.new(folder / "kafka").save(saved)
    return KafkaServer.saved(saved)


def demand_postgresql() -> None:
    """Skip the test without PostgreSQL; fail it where the servers are required, as in .ci/run."""
    if not postgres.is_installed():
        if os.environ.get(REQUIRED):
            pytest.fail(f"{NO_POSTGRESQL}, and {REQUIRED} is set")
        pytest.skip(NO_POSTGRESQL)


@pytest.fixture(scope="session")
def postgresql() -> PostgresqlServer:
    """The PostgreSQL server that all tests share: each uses a schema of its own."""
    demand_postgresql()
    folder = Path(os.environ[FOLDER])
    saved = folder / "postgresql.json"
    with (folder / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not saved.exists():
            folder.chmod(0o711)  # the server's user gets through to its own folder
            PostgresqlServer.new(folder / "postgresql").save(saved)
    return PostgresqlServer.saved(saved)


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """An Apache Kafka server that one test at a time has for itself: it may stop and start it."""
    demand_kafka()
    folder = Path(os.environ[FOLDER])
    saved = folder / OWN_KAFKA
    with (folder / "own-kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not saved.exists():
            (folder / "own-kafka").mkdir()
            KafkaServer.new(folder / "own-kafka").save(saved)
        server = KafkaServer.saved(saved)
        if not is_running(server.pid):
            server.start()
        try:
            yield server
        finally:
            server.save(saved)


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """An embedded broker, without transactions, that the tests of a worker share."""
    server = EmbeddedKafka.start(tmp_path_factory.mktemp("embedded-kafka") / "output.txt")
    yield server
    server.stop()
