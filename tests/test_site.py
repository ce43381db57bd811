"""The documentation site: it has every page, its links lead somewhere, it loads nothing from elsewhere; pages run."""

import ast
import configparser
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
import yaml
from pages import KAFKA, ROOT, blocks, run_page
from servers.topics import new_topic

import arrowstream
import arrowstream.errors
import arrowstream.testing
from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Watermark
from arrowstream.metrics.backlog import Backlog
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.server import HEALTH_PATH
from arrowstream.metrics.snapshot import Metrics
from arrowstream.operators.window import Windows
from docs.navigation import missing, navigation, notebooks
from docs.site_hooks import cells

pytestmark = [pytest.mark.once, pytest.mark.untraced]

DOCS = ROOT / "docs"
PAGES = [
    DOCS / "index.md",
    DOCS / "tutorial.md",
    DOCS / "concepts.md",
    DOCS / "compare.md",
    DOCS / "migration.md",
]
PAGES += sorted((DOCS / "howto").glob("*.md"))


# ---- the site --------------------------------------------------------------------------------------


def every_page_is_there(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_name("index.md" if page.name == "README.md" else page.name)
        assert (site / name.with_suffix(".html")).is_file(), page
    assert not list(site.rglob("*.py"))


def links_out_of_the_folder_lead_to_pages(site: Path) -> None:
    """On the site a linked file of the checkout is a page, which has its text."""
    assert 'href="project/examples/flights.py.html"' in (site / "index.html").read_text()
    assert "flights.csv" in (site / "project/examples/flights.py.html").read_text()
    assert 'href="../guide/kafka.html"' in (site / "project/index.html").read_text()
    assert 'href="../project/examples/kafka_flights.toml.html"' in (site / "guide/kafka.html").read_text()


def notebooks_are_pages_with_graphs(site: Path) -> None:
    assert len(notebooks()) == 9
    for path in notebooks():
        page = (site / f"project/notebooks/{path.name}.html").read_text()
        assert '<svg class="as-graph"' in page and "&lt;svg" not in page
    first = site / "project/notebooks/1-first-pipeline.ipynb.html"
    assert 'href="2-windows.ipynb.html"' in first.read_text()


LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\ssrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))[^>]*\shref=["']?(?:https?:)?//"""
    r"""|@import|url\(["']?(?:https?:)?//"""
)


def nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 150
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []


def docstrings_are_found(site: Path) -> None:
    """The index of the search has the parts of the reference, with what they say."""
    found = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    texts = {entry["location"]: entry["text"] for entry in found}
    assert "inside a running loop" in texts["reference/pipeline.html#arrowstream.Pipeline.run_sync"]
    assert "A stage failed" in texts["reference/errors.html#arrowstream.errors.StageError"]
    assert "multiples of" in texts["operators/window.html#parameters"]


def public_names_have_a_reference(site: Path) -> None:
    """The constructors of `Source` and `Sink` have pages of their own."""
    reference = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    found = set(re.findall(r'id="arrowstream\.(?:errors\.)?(\w+)"', reference))
    assert set(arrowstream.__all__) - found == {"__version__", "Source", "Sink"}
    assert {name for name in dir(arrowstream.errors) if name.endswith("Error")} <= found | {"ImportError"}
    for name in arrowstream.testing.__all__:
        assert f'id="arrowstream.testing.{name}"' in reference, name


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_site(tmp_path: Path) -> None:
    """Every warning is an error: a link or anchor that leads nowhere, a page outside of the navigation.

    One test, because the site is built once for all that is looked at.
    """
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    every_page_is_there(tmp_path)
    links_out_of_the_folder_lead_to_pages(tmp_path)
    notebooks_are_pages_with_graphs(tmp_path)
    nothing_is_loaded_from_elsewhere(tmp_path)
    docstrings_are_found(tmp_path)
    public_names_have_a_reference(tmp_path)


def test_every_page_is_in_the_navigation() -> None:
    assert not missing(navigation()), "name these pages, or their folder, in docs/navigation.py"


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ('<script src="https://cdn.example.com/x.js"></script>', True),
        ("<img alt=x src=//cdn.example.com/x.png>", True),
        ('<link href="https://fonts.example.com/css" rel="stylesheet">', True),
        ("@font-face { src: url(https://fonts.example.com/x.woff2) }", True),
        ('<script src="assets/javascripts/bundle.js"></script>', False),
        ('<a href="https://arrow.apache.org">Arrow</a>', False),
    ],
)
def test_what_counts_as_loaded_from_elsewhere(text: str, loads: bool) -> None:
    assert (LOADED.search(text) is not None) is loads


def test_a_notebook_is_a_page_of_its_cells() -> None:
    streams = [{"output_type": "stream", "text": ["1\n", "2\n"]}]
    shown = [{"output_type": "execute_result", "data": {"text/plain": ["3"], "text/html": ["<b>3</b>"]}}]
    graph = [
        {"output_type": "display_data", "data": {"text/html": ['<div class="arrowstream">', "<svg/></div>"]}}
    ]
    notebook = {
        "cells": [
            {"cell_type": "code", "source": ["graph"], "outputs": graph},
            {"cell_type": "markdown", "source": ["# Title\n", "Text."]},
            {"cell_type": "code", "source": ["print(1)\n", "print(2)"], "outputs": streams},
            {
                "cell_type": "code",
                "source": ["3"],
                "outputs": [*shown, {"output_type": "error", "traceback": []}],
            },
        ]
    }
    assert "\n".join(cells(notebook)).splitlines() == [
        *("````python", "graph", "````", '<div class="arrowstream"><svg/></div>'),
        *("# Title", "Text."),
        *("````python", "print(1)", "print(2)", "````", "````text", "1", "2", "````"),
        *("````python", "3", "````", "````text", "3", "````"),
    ]


# ---- pages that run --------------------------------------------------------------------------------

TOPICS = {"kafka": {"sales": 2}}
"""The topics that pages need, with their partitions."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Its blocks run in order, and so do the tests that it defines."""
    monkeypatch.chdir(tmp_path)
    address = KAFKA
    if page.stem in TOPICS:
        address = request.getfixturevalue("embedded_kafka").address
        for topic, partitions in TOPICS[page.stem].items():
            new_topic(address, partitions, topic)
    names, printed = run_page(page, address)
    tests = {name: call for name, call in names.items() if name.startswith("test_")}
    for name, call in tests.items():
        folder = tmp_path / name
        folder.mkdir()
        call(**({"tmp_path": folder} if inspect.signature(call).parameters else {}))
    match page.stem:
        case "testing":
            assert len(tests) == 5
        case "kafka":
            assert pl.read_parquet("minutes/*.parquet")["sales"].sum() == 300
            assert "sales" in printed and "with checkpoints: exactly once" in printed
        case "recovery":
            assert "epoch 2" in printed
        case "deployment":
            assert "orders.toml: ok" in printed


def test_the_figures_of_the_comparison_are_those_of_the_benchmarks() -> None:
    """A line of its tables is one of `benchmarks/results.md`, up to the columns that it leaves out."""
    results = (ROOT / "benchmarks" / "results.md").read_text()
    claims = re.findall(
        r"^(\| .+? \| \d[\d.]*\S*(?: us)? \|)$", (DOCS / "compare.md").read_text(), re.MULTILINE
    )
    assert len(claims) == 9
    assert [claim for claim in claims if claim not in results] == [], (
        "copy the lines of benchmarks/results.md"
    )


KINDS = (
    Pipeline,
    type(Pipeline.builder()),
    Source,
    Sink,
    Windows,
    ErrorHandler,
    pl,
    pl.Expr,
    type(pl.col("x").str),
)
KINDS += (type(Source.from_frame(pl.DataFrame({"x": [1]}))),)


def pieces() -> Iterator[str]:
    """The code in the last column of the tables that migrate."""
    for line in (DOCS / "migration.md").read_text().splitlines():
        if line.startswith("| ") and "|---" not in line:
            yield from re.findall(r"`([^`]+)`", line.rsplit(" | ", 1)[-1])


@pytest.mark.parametrize("piece", [piece for piece in pieces() if "(" in piece])
def test_a_piece_of_a_table_is_code(piece: str) -> None:
    """It is an expression, and every method in it exists."""
    for node in ast.walk(ast.parse(piece, mode="eval")):
        if isinstance(node, ast.Attribute):
            assert any(node.attr in dir(kind) for kind in KINDS), node.attr


def test_there_are_pieces_of_all_systems() -> None:
    assert len([piece for piece in pieces() if "(" in piece]) > 40


# ---- deployment ------------------------------------------------------------------------------------

DEPLOYMENT = DOCS / "howto" / "deployment.md"


def of_language(language: str) -> list[str]:
    return [text for kind, text in blocks(DEPLOYMENT) if kind == language]


def test_the_units_are_those_of_systemd(tmp_path: Path) -> None:
    service, timer = of_language("ini")
    parsed = []
    for text in (service, timer):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        parsed.append(parser)
    assert parsed[0]["Service"]["ExecStart"].split()[1:] == ["run", "/etc/arrowstream/%i.toml", "--quiet"]
    assert parsed[0]["Service"]["RestartPreventExitStatus"] == "2"
    assert parsed[1]["Timer"]["Unit"] == "arrowstream@orders.service"
    if shutil.which("systemd-analyze") is None:
        return
    (tmp_path / "arrowstream@.service").write_text(
        service.replace("/opt/arrowstream/bin/arrowstream", "/bin/true")
    )
    (tmp_path / "arrowstream-orders.timer").write_text(timer)
    names = ["./arrowstream@.service", "./arrowstream-orders.timer"]
    done = subprocess.run(["systemd-analyze", "verify", *names], cwd=tmp_path, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "arrowstream" in line] == []


INSTRUCTIONS = {
    "FROM",
    "COPY",
    "RUN",
    "USER",
    "WORKDIR",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "ENTRYPOINT",
}


def test_the_image_runs_the_command_and_checks_its_health() -> None:
    (text,) = of_language("dockerfile")
    lines = text.replace("\\\n", " ").splitlines()
    assert {line.split()[0] for line in lines} <= INSTRUCTIONS
    (entry,) = (line for line in lines if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == ["arrowstream", "run", "--quiet"]
    (check,) = (line for line in lines if line.startswith("HEALTHCHECK"))
    program = json.loads(check.partition(" CMD ")[2])
    assert program[:2] == ["python", "-c"] and f":9464{HEALTH_PATH}'" in program[2]
    # Exit code 1 where nobody listens, which is what it has for 503, too.
    dead = program[2].replace("9464", "1")
    assert subprocess.run([sys.executable, "-c", dead], capture_output=True).returncode == 1
    variables = dict(re.findall(r"(\w+)=(\S+)", next(line for line in lines if line.startswith("ENV"))))
    settings = arrowstream.Settings.load(environ=variables)
    assert (
        settings.export_prometheus
        and settings.prometheus_host == "0.0.0.0"
        and settings.prometheus_port == 9464
    )
    assert variables["STATE_DIRECTORY"] == "/data"


def test_the_manifests_probe_what_is_served() -> None:
    alerts, stateful, nightly = (yaml.safe_load(text) for text in of_language("yaml"))
    assert stateful["kind"] == "StatefulSet" and stateful["spec"]["replicas"] == 1
    pod = stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert stateful["spec"]["selector"]["matchLabels"] == stateful["spec"]["template"]["metadata"]["labels"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": HEALTH_PATH, "port": container["ports"][0]["name"]}
    assert container["ports"][0]["containerPort"] == arrowstream.Settings().prometheus_port
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    assert container["volumeMounts"] == [{"name": claim["metadata"]["name"], "mountPath": "/data"}]
    job = nightly["spec"]["jobTemplate"]["spec"]
    assert nightly["kind"] == "CronJob" and nightly["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert len(alerts["groups"][0]["rules"]) == 4


class Behind(Backlog):
    """A source that has not read all of its partitions."""

    lag: ClassVar = {"orders[0]": 7}


def test_the_metrics_that_pages_name_are_exported() -> None:
    source = StageCounters("source", Behind())
    source.record_mark(Watermark(1))
    exported = Metrics.of("p", sources=[source], wall_us=2).export_prometheus()
    named = {name for page in PAGES for name in re.findall(r"\barrowstream_\w+", page.read_text())}
    assert len(named) == 5
    assert {name for name in named if f"\n{name}{{" not in exported} == set()
