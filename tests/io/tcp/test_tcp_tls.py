"""Connections may be encrypted, with certificates of one end or both, and only with those that are trusted."""

import asyncio
import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from tcp_ends import Listening, until

from arrowstream import Pipeline, Sink, Source, Tls
from arrowstream.errors import SinkError, SourceError

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]

ROWS = pl.DataFrame({"x": range(20_000)})


def made(folder: Path, name: str) -> Tls:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return Tls(certificate, key)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tls, Tls]:
    """The certificates of a source, and those of a sink."""
    folder = tmp_path_factory.mktemp("tls")
    return made(folder, "server"), made(folder, "client")


def sent(source: Tls, sink: Tls | None, token: str | None = None) -> pl.DataFrame:
    """The rows that arrive."""

    async def main() -> pl.DataFrame:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        listening = Source.from_tcp("0", schema=ROWS.schema, clients=1, tls=source, token=token)
        collected = Pipeline.builder().source(listening.on_listening(address.set_result)).collect()
        arriving = asyncio.ensure_future(collected)
        to = Sink.to_tcp(await address, tls=sink, token=token, reconnect_for=0.001)
        try:
            rows = Source.from_frame(ROWS, batch_rows=3000)
            await Pipeline.builder().source(rows).sink(to).build().run()
        except BaseException:
            arriving.cancel()
            await asyncio.wait((arriving,))
            raise
        return await arriving

    return asyncio.run(main())


@pytest.mark.parametrize("token", [None, "hunter2"])
def test_rows_arrive_encrypted(ends: tuple[Tls, Tls], token: str | None) -> None:
    server, client = ends
    trusting = Tls(ca=server.certificate)
    assert sent(server, trusting, token).equals(ROWS)
    both = replace(client, ca=server.certificate)
    assert sent(replace(server, ca=client.certificate), both, token).equals(ROWS)


def test_a_certificate_that_is_not_trusted_ends_the_run_at_once(ends: tuple[Tls, Tls]) -> None:
    server, client = ends
    for not_trusting in (Tls(), Tls(ca=client.certificate)):
        with pytest.raises(SinkError, match="certificate that is trusted"):
            sent(server, not_trusting)
    with pytest.raises(SinkError, match="certificate that is trusted"):
        sent(server, Tls(ca=server.certificate, server_name="example.org"))


@pytest.mark.parametrize("hello", [b"GET / HTTP/1.1\r\n\r\n", b"", None])
def test_strangers_are_closed_and_others_go_on(ends: tuple[Tls, Tls], hello: bytes | None) -> None:
    async def main() -> None:
        async with Listening(tls=ends[0]) as source:
            stranger = await source.client(hello or b"")
            if hello is None:
                await until(lambda: source.reader.connected)
                await source.clock.advance(10)
            elif not hello:
                stranger.writer.write_eof()
            assert await stranger.is_closed() or hello
            await until(lambda: source.notes and not source.reader.connected)
            kind = "slow handshake" if hello is None else "failed TLS handshake"
            assert source.notes == {f"clients closed for a {kind}": 1}
            trusting = ssl.create_default_context(cafile=str(ends[0].certificate))
            client = await source.client(b"a\n", ssl=trusting)
            await until(lambda: source.values == [b"a\n"])
            client.writer.close()

    asyncio.run(main())


def test_the_oldest_version_is_tls_1_2(ends: tuple[Tls, Tls]) -> None:
    async def main() -> None:
        async with Listening(tls=ends[0]) as source:
            old = ssl.create_default_context(cafile=str(ends[0].certificate))
            with pytest.warns(DeprecationWarning):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises(ssl.SSLError):
                await source.client(ssl=old)

    asyncio.run(main())


def test_a_run_that_ends_during_a_handshake_leaves_nothing(ends: tuple[Tls, Tls]) -> None:
    async def main() -> None:
        async with Listening(tls=ends[0]) as source:
            await source.client()
            await until(lambda: source.reader.connected)
        assert source.reader.connected == 0

    asyncio.run(main())


def test_files_that_are_no_certificates_are_errors_that_name_them(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for path in (text, tmp_path / "missing.pem"):
        source = Source.from_tcp("0", schema={"x": int}, tls=Tls(path, path))
        with pytest.raises(SourceError, match="files of tls= cannot be used") as caught:
            source.open(context())
        assert str(path) in str(caught.value)
        sink = Sink.to_tcp("1", tls=Tls(ca=path))
        pipeline = Pipeline.builder().source(Source.from_frame(ROWS)).sink(sink).build()
        with pytest.raises(SinkError, match="files of tls= cannot be used"):
            pipeline.run_sync()


def test_explain_says_that_it_is_encrypted() -> None:
    sink = Sink.to_tcp("1", tls=Tls())
    assert "tcp 127.0.0.1:1 (ndjson, TLS)" in sink.label
