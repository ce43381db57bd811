"""Certificates for TLS: an authority, and a server and a client that it has signed, made by openssl."""

import subprocess
from pathlib import Path

_NEW = (
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
)


def make_certificates(folder: Path) -> None:
    """Write ``ca.pem``, and for ``server`` and ``client`` a PEM file with key and certificate.

    The server's certificate is for 127.0.0.1, not for ``localhost``.
    """
    ca = folder / "ca.pem", folder / "ca.key"
    _run("-subj", "/CN=authority", "-keyout", ca[1], "-out", ca[0])
    for name in ("server", "client"):
        files = folder / f"{name}.crt", folder / f"{name}.key"
        signed = ("-CA", ca[0], "-CAkey", ca[1], "-addext", "basicConstraints=critical,CA:FALSE")
        _run(
            "-subj",
            f"/CN={name}",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            *signed,
            "-keyout",
            files[1],
            "-out",
            files[0],
        )
        (folder / f"{name}.pem").write_text(files[1].read_text() + files[0].read_text())


def _run(*arguments: object) -> None:
    subprocess.run([*_NEW, *map(str, arguments)], check=True, capture_output=True)
