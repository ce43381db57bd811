"""A JSON array of objects, read block by block, gives what Python's parser gives of the whole."""

import io
import json

import hypothesis.strategies as st
import pytest
from effort import examples
from hypothesis import given, settings

from arrowstream.errors import SourceError
from arrowstream.io.files.text.json.array import JsonLines
from arrowstream.io.files.text.options.transcode import AfterLines, Transcoded

TRICKY = st.text(st.sampled_from('\\"[]{},:\n\r\t aü\x00'), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TRICKY, VALUES, max_size=3), max_size=6)


def in_blocks(text: bytes, sizes: list[int]) -> bytes:
    stream, out, turn = JsonLines(io.BytesIO(text), "test.json"), [], 0
    while part := stream.read(sizes[turn % len(sizes)]):
        out.append(part)
        turn += 1
    return b"".join(out)


@settings(max_examples=examples(60))
@given(
    objects=OBJECTS,
    sizes=st.lists(st.integers(1, 12) | st.just(10_000), min_size=1, max_size=4),
    indent=st.none() | st.integers(0, 2),
    ascii_only=st.booleans(),
    around=st.sampled_from(["", " ", "\r\n\t "]),
)
def test_lines_hold_the_objects_of_the_array(objects, sizes, indent, ascii_only, around):
    assert_lines_hold(objects, sizes, indent, ascii_only, around)


@pytest.mark.parametrize("sizes", [[1], [2, 3], [10_000]])
@pytest.mark.parametrize("text", ['\\"', "\\", '\\\\\\"', "[{,}]"])
def test_quotes_and_backslashes_wherever_a_block_ends(text, sizes):
    assert_lines_hold([{"a": text}, {"b": "\\"}, {}], sizes, None, True, "")
    assert_lines_hold([{"a": text}, {}], sizes, 1, True, "\n")


def assert_lines_hold(objects, sizes, indent, ascii_only, around):
    text = around + json.dumps(objects, indent=indent, ensure_ascii=ascii_only) + around
    lines = in_blocks(text.encode(), sizes).decode()
    assert [json.loads(line) for line in lines.split("\n") if line.strip()] == objects


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_json_lines_pass_through(sizes):
    text = b'{"a": [1, 2]}\n{"a": []}\n'
    assert in_blocks(b"\n " + text, sizes) == text


@pytest.mark.untraced
@pytest.mark.parametrize("size", [1, 2, 7, 4096])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"a": 1}, {"a": 2}', "the end of the file inside the array"),
        ('[{"a": "', "the end of the file inside the array"),
        ("[", "the end of the file inside the array"),
        ('[{"a": 1}] {"a": 2}', "'{"),
        ('[{"a": 1}][]', "'["),
        ("[]   \n x", "'x"),
        ('[{"a": 1}}', "'}"),
    ],
)
def test_an_array_that_is_not_closed_or_followed_by_more_is_refused(text, found, size):
    with pytest.raises(SourceError, match=r"test\.json is not one JSON array") as caught:
        in_blocks(text.encode(), [size])
    assert caught.value.found.startswith(found)


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('[{"a": 1},,{"a": 2}]', 2),
        ('[{"a": 1} ,  \r\n\t  , {"a": 2}]', 2),
        ("[,{}]", 1),
        ("[ , ]", 1),
        ("[{}, {},]", 3),
        ('[{"a": ","}, {"b": [1]},      ]', 3),
    ],
)
def test_nothing_between_two_commas_is_refused(text, row, size):
    with pytest.raises(SourceError, match=r"test\.json is not one JSON array") as caught:
        in_blocks(text.encode(), [size])
    assert caught.value.found == f"nothing in the place of row {row}"


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_commas_in_texts_and_lists_and_blanks_around_them_are_no_gaps(size):
    text = '[ {"a": ",,"} ,    {"b": [[], "["]}\n,\t[","] , "," ]'
    lines = in_blocks(text.encode(), [size]).decode().split("\n")
    assert [json.loads(line) for line in lines if line.strip()] == json.loads(text)


@pytest.mark.parametrize("text", ["", " \n "])
def test_nothing_gives_nothing(text):
    assert in_blocks(text.encode(), [5]) == b""
    assert JsonLines(io.BytesIO(b"[{}]"), "test.json").read(0) == b""


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("stream", "whole"),
    [
        (lambda: JsonLines(io.BytesIO(b'[{"a": 1}, {"a": [2]}]'), "x.json"), b' {"a": 1}\n {"a": [2]}\n'),
        (lambda: JsonLines(io.BytesIO(b'{"a": 1}\n{"a": 2}\n'), "x.json"), b'{"a": 1}\n{"a": 2}\n'),
        (
            lambda: Transcoded(io.BytesIO("é,ß\n1,2\n".encode("latin-1")), "latin-1", "x.csv"),
            "é,ß\n1,2\n".encode(),
        ),
        (lambda: AfterLines(io.BytesIO(b"one\ntwo\na,b\n1,2\n"), 2), b"a,b\n1,2\n"),
    ],
    ids=["array", "ndjson", "transcoded", "after lines"],
)
@pytest.mark.parametrize("size", [3, 4, 7])
def test_bytes_that_are_put_back_are_read_again(stream, whole, size):
    text, buffer, found = stream(), io.BytesIO(), b""
    while True:
        text.read_into(buffer, size)
        part = buffer.getvalue()
        if len(part) < size:
            break
        text.put_back(part[-2:])
        found += part[:-2]
    assert found + part == whole
