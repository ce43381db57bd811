"""What the doctor finds, and that nothing can make it fail."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from arrowstream.cli import doctor
from arrowstream.cli.doctor import Finding

pytestmark = pytest.mark.once

GIB = 2**30


def found(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.name: finding.found for finding in findings}


def installed(monkeypatch: pytest.MonkeyPatch, packages: dict[str, str], requires: list[str] | None) -> None:
    """Pretend that exactly these packages are installed."""

    def version(package: str) -> str:
        if package not in packages:
            raise metadata.PackageNotFoundError(package)
        return packages[package]

    def requirements(package: str) -> list[str] | None:
        version(package)
        return requires

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", requirements)


def test_this_machine_gets_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in doctor.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    findings = list(doctor.findings(["arrow", "polars"]))
    assert [f.heading for f in findings] == sorted(
        (f.heading for f in findings),
        key=["versions", "backends", "machine", "extras", "environment"].index,
    )
    lines = found(findings)
    assert lines["polars"] == "ready"  # the backend comes after the version
    assert lines["POLARS_MAX_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in lines
    text = doctor.report(findings)
    assert text.splitlines()[0] == "versions"
    assert all(len(line) > 2 for line in text.splitlines())


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"arrowstream": "7.8"}, [])
    lines = found(list(doctor.versions()))
    assert lines["arrowstream"] == "7.8"
    assert lines["polars"] == pl.__version__
    assert lines["python"].startswith(sys.version.split()[0])
    installed(monkeypatch, {}, [])
    assert found(list(doctor.versions()))["arrowstream"] == "a source folder, not installed"


def test_no_findings_are_no_lines() -> None:
    assert doctor.report([]) == ""


def test_cores_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert found(list(doctor.machine()))["cores"] == "6, usable 6"


def test_cores_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert found(list(doctor.machine()))["cores"] == "6, usable 2"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], "8.0 GiB"),
        (["max"], "8.0 GiB"),
        (["max", str(3 * GIB)], "3.0 GiB, the limit of a container on a machine of 8.0 GiB"),
        ([str(2 * GIB)], "2.0 GiB, the limit of a container on a machine of 8.0 GiB"),
        ([str(2**63)], "8.0 GiB"),
    ],
)
def test_memory(limits: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number, limit in enumerate(limits):
        paths.append(tmp_path / str(number))
        paths[-1].write_text(limit)
    monkeypatch.setattr(doctor, "CGROUP_LIMITS", (tmp_path / "none", *paths))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2 * GIB // 1024}.__getitem__)
    assert doctor.memory() == expected


def test_memory_where_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert doctor.memory() == "unknown"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, "NVIDIA H100, 81559 MiB, 550.1\nNVIDIA L4, 23034 MiB, 550.1\n", ""),
         "NVIDIA H100, 81559 MiB, 550.1 driver; NVIDIA L4, 23034 MiB, 550.1 driver"),
        ((9, "No devices were\nfound", ""), "none: nvidia-smi says No devices were found"),
        ((9, "", "cannot talk to the driver"), "none: nvidia-smi says cannot talk to the driver"),
        ((0, "", ""), "none: nvidia-smi says nothing"),
    ],
)  # fmt: skip
def test_gpu(answer: tuple[int, str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert command[0] == "/bin/nvidia-smi"
        return subprocess.CompletedProcess(command, *answer)

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    assert doctor.gpu() == expected


@pytest.mark.parametrize(
    "error", [OSError("exec format\nerror"), subprocess.TimeoutExpired("nvidia-smi", 10)]
)
def test_a_broken_nvidia_smi(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise error

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    assert doctor.gpu().startswith("unknown: nvidia-smi failed: ")
    assert "\n" not in doctor.gpu()


def test_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.gpu() == "none: nvidia-smi not found"


def gpu_backend(ready: list[str]) -> list[str]:
    return [f.found for f in doctor.findings(ready) if f.heading == "backends" and f.name == "gpu"]


def test_why_there_is_no_gpu_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "missing", lambda: "this machine has no NVIDIA GPU")
    assert gpu_backend(["arrow"]) == ["not here: this machine has no NVIDIA GPU"]


def test_a_gpu_backend_whose_libraries_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = "arrowstream.gpu.libraries"
    monkeypatch.setitem(sys.modules, libraries, ModuleType(libraries))
    assert gpu_backend(["arrow", "gpu"]) == ["ready"]

    monkeypatch.setitem(sys.modules, libraries, None)
    assert gpu_backend(["arrow", "gpu"])[0].startswith("cannot be used: ModuleNotFoundError: ")


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = [
        "polars<3,>=1.35",
        "typer>=0.12; extra == 'cli'",
        'rich>=13; extra == "cli"',
        "duckdb>=1.1; extra == 'dev'",
        "pytest-cov>=5.0; extra == 'dev'",
        "pandas>=2.2; extra == 'dev'",
        "ruff; extra == 'dev'",
        "pylibcudf-cu12>=25.2; extra == 'gpu-12'",
    ]
    packages = {
        "arrowstream": "0.1",
        "typer": "0.12",
        "rich": "14rc1",
        "pandas": "2.10.1",
        "pytest-cov": "4.9.9",
        "ruff": "0",
    }
    installed(monkeypatch, packages, requires)
    assert found(list(doctor.extras())) == {
        "cli": "complete",
        "dev": "lacks duckdb, pytest-cov >= 5.0 (found 4.9.9): pip install 'arrowstream[dev]'",
        "gpu-12": "lacks pylibcudf-cu12: pip install 'arrowstream[gpu-12]'",
    }


def test_extras_where_none_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"arrowstream": "0.1"}, None)
    assert list(doctor.extras()) == []
    installed(monkeypatch, {}, None)
    assert found(list(doctor.extras()))["all"].startswith("unknown: ")
