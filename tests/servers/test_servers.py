"""What happens without the servers: tests are skipped loudly, or fail where the servers are required."""

from types import SimpleNamespace

import pytest
from servers import fixtures

pytestmark = [pytest.mark.once, pytest.mark.untraced]


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixtures, "is_installed", lambda: False)
    monkeypatch.setattr(fixtures.postgres, "is_installed", lambda: False)


def test_a_test_is_skipped_without_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fixtures.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="Apache Kafka is not installed"):
        fixtures.demand_kafka()
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL is not installed"):
        fixtures.demand_postgresql()


def test_a_test_fails_where_the_server_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fixtures.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="Apache Kafka is not installed"):
        fixtures.demand_kafka()
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is not installed"):
        fixtures.demand_postgresql()


def test_the_summary_counts_what_was_skipped() -> None:
    lines = []
    reports = [
        SimpleNamespace(longrepr=("file", 1, f"Skipped: {text}"))
        for text in (fixtures.MISSING, "x", fixtures.NO_POSTGRESQL)
    ]
    reporter = SimpleNamespace(
        stats={"skipped": reports}, write_line=lambda line, **style: lines.append((line, style))
    )
    fixtures.pytest_terminal_summary(reporter)
    skipped = [(line, style) for line, style in lines if "SKIPPED" in line]
    assert all(style["red"] for _, style in skipped)
    kafka, postgresql = (line for line, _ in skipped)
    assert kafka.startswith("1 TESTS SKIPPED: Apache Kafka is not installed")
    assert postgresql == "1 TESTS SKIPPED: PostgreSQL is not installed"
