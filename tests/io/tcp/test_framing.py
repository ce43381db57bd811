"""Messages end where they should, wherever their bytes are cut, and hostile ones are found before they are kept."""

import csv
import io
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_ends import frame

from arrowstream.io.tcp.framing import Framing, LengthPrefixed, LineFraming, QuotedLines

pytestmark = pytest.mark.once

LINES = b'{"a":1}\n\n{"b":\r\n\r\n{"c"}\nrest'
CSV = b'a,"b\nc"\n"x ""y""\n",z\n\n"half\n'
FRAMES = frame(b"12345678") + frame(b"a" * 300) + frame(b"87654321") + b"\0\0"


def framing(kind: str, most: int = 1000) -> Framing:
    return {
        "lines": lambda: LineFraming(most, skip_blank=True),
        "csv": lambda: QuotedLines(most),
        "frames": lambda: LengthPrefixed(most),
    }[kind]()


def fed(found: Framing, pieces: list[bytes], takes: list[bool]) -> tuple[list[bytes], bytes, str | None]:
    """The messages, what is left, and what is wrong, if pieces come and messages are taken after some of them."""
    buffer, values, wrong = bytearray(), [], None
    for piece, take in zip(pieces, takes, strict=True):
        if piece and wrong is None:
            start = len(buffer)
            buffer += piece
            wrong = found.scan(buffer, start)
        if take and found.complete:
            rest = buffer[found.complete :]
            values += found.take(buffer).to_pylist()
            buffer = rest
    return values, bytes(buffer), wrong


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(data)]
    return [data[begin:end] for begin, end in pairwise(ends)]


def expected(kind: str, data: bytes) -> list[bytes]:
    """The same by a reader of the whole."""
    if kind == "lines":
        return [line for line in io.BytesIO(data) if line.endswith(b"\n") and line.strip(b"\r\n")]
    if kind == "csv":
        found, line = [], b""
        for part in io.BytesIO(data):
            line += part
            if line.endswith(b"\n") and line.count(b'"') % 2 == 0:
                found.append(line)
                line = b""
        return found
    found = []
    while len(data) >= 4 and len(data) - 4 >= (size := int.from_bytes(data[:4])):
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


@pytest.mark.parametrize(("kind", "data"), [("lines", LINES), ("csv", CSV), ("frames", FRAMES)])
def test_messages_are_the_same_wherever_they_are_cut(kind: str, data: bytes) -> None:
    whole = expected(kind, data)
    assert len(whole) == 3
    for place in range(len(data) + 1):
        for takes in ([True, True], [False, True]):
            values, _, wrong = fed(framing(kind), cut(data, [place]), takes)
            assert (values, wrong) == (whole, None)
    bytewise = [data[place : place + 1] for place in range(len(data))]
    assert fed(framing(kind), bytewise, [True] * len(data))[0] == whole
    # A limit that every line has to be compared with.
    most = max(map(len, whole))
    assert fed(framing(kind, most), bytewise, [True] * len(data))[0] == whole


@given(
    kind=st.sampled_from(["lines", "csv"]),
    data=st.lists(st.sampled_from([b"\n", b"\r\n", b'"', b"a", b"bc,d"]), max_size=40).map(b"".join),
    places=st.lists(st.integers(0, 60), max_size=5),
    takes=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_lines_are_those_of_the_whole(kind: str, data: bytes, places: list[int], takes: list[bool]) -> None:
    pieces = cut(data, [min(place, len(data)) for place in places])
    takes = [*takes[: len(pieces) - 1], True]
    assert fed(framing(kind), pieces, takes)[0] == expected(kind, data)


def test_rows_of_csv_are_those_of_the_csv_module() -> None:
    out = io.StringIO()
    rows = [["a\nb", 'say "x"\r\n', "c,d"], ["", "1", "\n"], ['"', '""', "\n\n"]]
    csv.writer(out, lineterminator="\n").writerows(rows)
    values, left, _ = fed(framing("csv"), [out.getvalue().encode()], [True])
    assert left == b""
    assert [next(csv.reader(io.StringIO(value.decode(), newline=""))) for value in values] == rows


@pytest.mark.parametrize("kind", ["lines", "csv"])
@pytest.mark.parametrize("place", range(0, 30, 3))
def test_a_long_line_is_found_as_it_comes_and_those_before_are_kept(kind: str, place: int) -> None:
    data = b"12345\n123\n" + b"x" * 11 + b"\n123\n"
    values, left, wrong = fed(framing(kind, 10), cut(data, [place]), [True, True])
    assert values == [b"12345\n", b"123\n"]
    assert wrong == "a line of more than 10 bytes"
    assert len(left) > 10
    assert fed(framing(kind, 10), [b"x" * 11], [True]) == ([], b"x" * 11, wrong)
    assert fed(framing(kind, 10), [b"x" * 9 + b"\n" + b"y" * 10], [True])[2] is None


@pytest.mark.parametrize("length", [2**32 - 1, 1001, 7, 0])
def test_the_length_of_a_frame_is_checked_before_it_comes(length: int) -> None:
    data = frame(b"12345678") + length.to_bytes(4)
    values, _, wrong = fed(framing("frames"), [data], [True])
    assert values == [b"12345678"]
    assert wrong == f"a frame of {length:,} bytes, which is not 8 to 1,000"


def test_one_frame_is_not_copied() -> None:
    buffer = bytearray(frame(b"12345678"))
    found = framing("frames")
    assert found.scan(buffer, 0) is None
    values = found.take(buffer)
    buffer[4:6] = b"ab"
    assert values.to_pylist() == [b"ab345678"]


def test_bytes_of_no_kind_are_messages_or_wrong_and_never_more_than_they_are() -> None:
    random_bytes = random.Random(7)
    for _ in range(300):
        kind = random_bytes.choice(["lines", "csv", "frames"])
        good = {"lines": LINES, "csv": CSV, "frames": FRAMES}[kind]
        data = bytearray(good * 3)
        for _ in range(random_bytes.randrange(6)):
            data[random_bytes.randrange(len(data))] = random_bytes.choice([0, 10, 13, 34, 255, 97])
        pieces = cut(bytes(data), [random_bytes.randrange(len(data)) for _ in range(3)])
        values, left, wrong = fed(framing(kind), pieces, [True] * len(pieces))
        assert sum(map(len, values)) + len(left) <= len(data)
        assert wrong is None or not values or values == expected(kind, bytes(data))[: len(values)]
