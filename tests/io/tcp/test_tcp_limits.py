"""Clients that are slow, fast, too long or strangers are closed or held up; others go on, in bounded memory."""

import asyncio
import random
from typing import Any

import polars as pl
import pytest
from contexts import context
from tcp_ends import Client, Listening, frame, until

from arrowstream import Sink, Source, TcpLimits
from arrowstream.errors import PlanError
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.options import Tls

pytestmark = pytest.mark.once

GOOD: dict[TcpFormat, bytes] = {"ndjson": b'{"a":1}\n', "csv": b'"a\nb",1\n', "arrow": frame(b"12345678")}


async def goes_on(source: Listening, client: Client) -> None:
    """Send a good message by a client, and wait until it is read."""
    before = source.rows
    client.send(GOOD[source.format])
    await until(lambda: source.rows > before)


@pytest.mark.parametrize("format", GOOD)
@pytest.mark.parametrize(
    ("bad", "note"),
    [
        (b"\xff\xff\xff\xff" + b"x" * 1000, "clients closed for what is not a message"),
        (b"\0\0\0\x40" + b"x" * 8, "clients closed for a slow message"),
    ],
    ids=["long", "half"],
)
def test_a_client_that_sends_no_message_is_closed_and_others_go_on(
    format: TcpFormat, bad: bytes, note: str
) -> None:
    async def main() -> None:
        async with Listening(format=format, limits=TcpLimits(max_message_bytes=100)) as source:
            other, client = await source.client(), await source.client(GOOD[format])
            await until(lambda: source.got)
            client.send(bad)
            if note.endswith("slow message"):
                await until(lambda: source.reader.notes)
                await source.clock.advance(30)
                await goes_on(source, other)
                client.send(b"x")  # a byte now and then is no progress
                await until(lambda: "bytes that came and were not read before the end" in source.notes)
                await source.clock.advance(59)
            assert await client.is_closed()
            await until(lambda: note in source.notes)
            assert source.notes == {note: 1}
            first = source.note(note).first
            assert first.startswith("tcp 127.0.0.1:") and "after 1 message: " in first
            await goes_on(source, other)

    asyncio.run(main())


def test_time_in_which_the_source_does_not_read_is_not_the_clients() -> None:
    async def main() -> None:
        limits = TcpLimits(message_timeout=10, idle_timeout=20, max_buffer_bytes=100_000)
        async with Listening(limits=limits) as source:
            await source.hold()
            client = await source.client((b"x" * 999 + b"\n") * 5000 + b"half")
            await until(lambda: source.reader.notes)
            await source.clock.advance(3600)
            assert "clients closed for a slow message" not in source.notes
            source.go_on()
            await until(lambda: source.rows == 5000)
            await source.clock.advance(9)
            client.send(b"\n")
            await until(lambda: source.rows == 5001)
            await source.clock.advance(30)
            assert await client.is_closed()
            assert source.notes == {"clients closed for silence": 1}
            assert not source.note("clients closed for silence").lost

    asyncio.run(main())


def test_a_message_that_ends_gives_the_next_one_its_own_time() -> None:
    async def main() -> None:
        async with Listening(limits=TcpLimits(message_timeout=10, idle_timeout=None)) as source:
            client = await source.client(b"a")
            for number in range(5):
                await until(lambda: source.reader.notes)
                await source.clock.advance(8)
                client.send(b"\nb")
                await until(lambda count=number: source.rows > count)
            client.send(b"\n")
            await until(lambda: source.rows == 6)
            await source.clock.advance(1000)
            await goes_on(source, client)
            assert source.notes == {}

    asyncio.run(main())


def test_too_many_clients_are_refused() -> None:
    async def main() -> None:
        async with Listening(limits=TcpLimits(max_clients=2)) as source:
            first, _ = await source.client(), await source.client()
            await until(lambda: source.reader.connected == 2)
            third = await source.client()
            assert await third.is_closed()
            assert source.notes == {"clients refused": 1}
            await first.end()
            await goes_on(source, await source.client())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("first", "accepted"),
    [
        (b"secret\n", True),
        (b"secret\r\n", True),
        (b"secret", None),
        (b"Secret\n", False),
        (b"\n", False),
        (b"secret2\n", False),
        (b"\xff\xfe\n", False),
        (b"x" * 5000, False),
        (b"x" * 5000 + b"\n", False),
        (b"x" * 4096, None),
    ],
)
@pytest.mark.parametrize("format", GOOD)
def test_the_token_is_the_first_line(first: bytes, accepted: bool | None, format: TcpFormat) -> None:
    async def main() -> None:
        async with Listening(format=format, token="secret") as source:
            client = await source.client(first)
            if accepted is None:
                await until(lambda: source.reader.notes)
                await source.clock.advance(10)
                assert await client.is_closed()
                assert source.notes == {"clients closed for a slow handshake": 1}
            elif accepted:
                assert await client.reader.readline() == b"ok\n"
                await goes_on(source, client)
                await client.end()
                assert source.notes == {}
            else:
                assert await client.is_closed()
                assert source.notes == {"clients closed for a wrong token": 1}
                assert "secret" not in source.note("clients closed for a wrong token").first
            both = await source.client(b"secret\n" + GOOD[format])
            await until(lambda: source.got)
            assert await both.reader.readline() == b"ok\n"
            await both.end()

    asyncio.run(main())


def test_the_token_may_come_byte_by_byte() -> None:
    async def main() -> None:
        async with Listening(token="secret") as source:
            client = await source.client()
            for byte in b"secret\na":
                client.send(bytes([byte]))
                await asyncio.sleep(0)
            client.send(b"\n")
            await until(lambda: source.values == [b"a\n"])
            # A stranger that goes away by itself has lost nothing.
            await (await source.client(b"sec")).end()
            assert source.notes == {}

    asyncio.run(main())


@pytest.mark.parametrize(("token", "found"), [("", "no text"), ("hunter2\n", "several lines")])
def test_a_token_that_lets_in_everyone_or_no_one_is_an_error(
    monkeypatch: pytest.MonkeyPatch, token: str, found: str
) -> None:
    monkeypatch.setenv("TCP_TOKEN", token)
    source = Source.from_tcp("127.0.0.1:0", schema={"x": int}, token="env:TCP_TOKEN")
    sink = Sink.to_tcp("127.0.0.1:9", token="env:TCP_TOKEN")
    for open_ in (lambda: source.open(context()), lambda: sink.open(pl.Schema({"x": pl.Int64}), context())):
        with pytest.raises(PlanError, match=f"found: {found}") as caught:
            open_()
        assert "hunter2" not in str(caught.value)


def test_the_token_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCP_TOKEN", "hunter2")

    async def main() -> None:
        async with Listening(token="env:TCP_TOKEN") as source:
            await source.client(b"hunter2\na\n")
            await until(lambda: source.values == [b"a\n"])

    asyncio.run(main())


def test_a_fast_client_is_held_up_to_its_rate() -> None:
    async def main() -> None:
        async with Listening(limits=TcpLimits(max_bytes_per_second=100_000)) as source:
            await source.client((b"x" * 999 + b"\n") * 3000)
            other = await source.client()
            await goes_on(source, other)
            seconds = 0.0
            while source.rows < 3001:
                await source.clock.advance(0.5)
                seconds += 0.5
            # The first second is free, and up to 256 KiB come at once.
            assert 25 <= seconds <= 31

    asyncio.run(main())


@pytest.mark.untraced
@pytest.mark.parametrize("format", ["ndjson", "arrow"])
def test_buffers_are_bounded_while_nothing_is_read(format: TcpFormat) -> None:
    async def main() -> None:
        limits = TcpLimits(max_buffer_bytes=400_000, max_message_bytes=200_000)
        async with Listening(format=format, limits=limits) as source:
            await source.hold()
            body = b"x" * 99_999
            data = (frame(body) if format == "arrow" else body + b"\n") * 20
            clients = [await source.client(data) for _ in range(10)]
            await until(lambda: source.reader.held_bytes >= 400_000)
            for _ in range(200):
                await asyncio.sleep(0)
                assert source.reader.held_bytes <= 400_000 + 10 * 262_144
            source.go_on()
            await asyncio.gather(*(client.end() for client in clients))
            await until(lambda: source.rows == 200)
            assert source.notes == {} and source.reader.held_bytes == 0

    asyncio.run(main())


def test_parts_of_messages_that_fill_the_buffers_are_completed_one_after_the_other() -> None:
    async def main() -> None:
        limits = TcpLimits(max_buffer_bytes=200_000, max_message_bytes=150_000)
        async with Listening(limits=limits) as source:
            clients = [await source.client(b"x" * 60_000) for _ in range(4)]
            await until(lambda: source.reader.held_bytes >= 200_000)
            for client in clients:
                client.send(b"y" * 80_000 + b"\n")
            await asyncio.gather(*(client.end() for client in clients))
            await until(lambda: source.rows == 4)
            assert source.notes == {}

    asyncio.run(main())


def test_one_that_fills_the_buffers_and_stops_is_closed() -> None:
    async def main() -> None:
        limits = TcpLimits(max_buffer_bytes=100_000, max_message_bytes=150_000)
        async with Listening(limits=limits) as source:
            await source.client(b"x" * 100_000)
            await until(lambda: source.reader.held_bytes == 100_000)
            other = await source.client()
            await goes_on(source, other)
            other.send(b"y" * 2000)
            await until(lambda: source.reader.held_bytes == 102_000)
            other.send(b"\n")
            for _ in range(50):
                await asyncio.sleep(0)
            assert source.rows == 1
            await source.clock.advance(75)
            await until(lambda: source.rows == 2)
            assert source.notes == {"clients closed for a slow message": 1}
            await goes_on(source, other)

    asyncio.run(main())


@pytest.mark.untraced
def test_hostile_bytes_end_their_own_connection_at_most() -> None:
    """Several hundred connections with flipped, cut and inserted bytes next to good ones."""
    chance = random.Random(11)

    def mutated(data: bytes) -> bytes:
        found = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(found))
            match chance.randrange(3):
                case 0:
                    found[place] = chance.randrange(256)
                case 1:
                    del found[place:]
                    found += b"x"
                case _:
                    found[place:place] = chance.choice([b"\n", b'"', b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        return bytes(found)

    async def main(format: TcpFormat) -> None:
        limits = TcpLimits(max_message_bytes=1000, max_clients=1000)
        async with Listening(format=format, limits=limits) as source:
            good = await source.client()
            for _ in range(100):
                client = await source.client(mutated(GOOD[format] * 5))
                client.writer.write_eof()
                assert await client.is_closed()
            await goes_on(source, good)
            assert source.reader.connected == 1
            assert source.reader.held_bytes == 0
            assert all(len(value) <= 1000 for value in source.values)

    for format in GOOD:
        asyncio.run(main(format))


@pytest.mark.untraced
def test_many_clients_at_once_come_and_go() -> None:
    async def main() -> None:
        async with Listening(clients=200, limits=TcpLimits(max_clients=500)) as source:

            async def send(number: int) -> None:
                client = await source.client()
                for part in range(3):
                    client.send(b"%d %d\n" % (number, part))
                    await asyncio.sleep(0)
                await client.end()

            await asyncio.gather(*map(send, range(200)))
            await source.reading
            expected: dict[Any, list[int]] = {number: [0, 1, 2] for number in range(200)}
            found: dict[Any, list[int]] = {}
            for value in source.values:
                number, part = map(int, value.split())
                found.setdefault(number, []).append(part)
            assert found == expected

    asyncio.run(main())


def test_repr_of_certificates_names_files() -> None:
    assert "key.pem" in repr(Tls("cert.pem", "key.pem"))
