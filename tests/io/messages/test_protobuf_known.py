"""Times, durations and wrappers of Protocol Buffers are columns of their own; files that describe messages."""

import importlib.util
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from google.protobuf import (
    descriptor_pb2,
    duration_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue, BytesValue, Int32Value, StringValue, UInt64Value
from messages import messages
from protobuf_messages import KNOWN, LOOSE, ONLY, TYPES, described_known
from registry_server import schema_registry

from arrowstream.connectors.messages import ProtobufOptions, SchemaRegistry
from arrowstream.errors import BadMessage, SchemaError, SinkError
from arrowstream.io.messages.formats import decoder, encoder

UTC_NS, UTC_US = pl.Datetime("ns", "UTC"), pl.Datetime("us", "UTC")


def decode(content: list[bytes | None], message: Any = KNOWN, schema: Any = None) -> pl.DataFrame:
    wanted = None if schema is None else pl.Schema(schema)
    return (
        decoder("protobuf", wanted, ProtobufOptions(message)).open(context()).decode(messages(*content)).frame
    )


def encode(frame: pl.DataFrame, message: Any = KNOWN) -> list[Any]:
    made = encoder("protobuf", ProtobufOptions(message))
    made.check(frame.schema)
    return [message.FromString(each) for each in made.open(frame.schema, context()).encode(frame).to_pylist()]


ROWS = [
    KNOWN(),
    KNOWN(
        at=Timestamp(seconds=5, nanos=7),
        took=Duration(seconds=-1, nanos=-5),
        number=Int32Value(),
        text=StringValue(),
        flag=BoolValue(value=True),
        data=BytesValue(value=b"\xff"),
        large=UInt64Value(value=2**64 - 1),
        ats=[Timestamp(seconds=-1, nanos=999_999_999), Timestamp()],
        tooks=[Duration(nanos=-1), Duration(seconds=2)],
        texts=[StringValue(value="é"), StringValue()],
        flags=[BoolValue(), BoolValue(value=True)],
        datas=[BytesValue()],
    ),
    KNOWN(number=Int32Value(value=-3)),
]


def test_each_is_the_column_of_what_it_means() -> None:
    frame = decode([*(row.SerializeToString() for row in ROWS[:2]), None, ROWS[2].SerializeToString()])
    kinds = [UTC_NS, pl.Duration("ns"), pl.Int32, pl.String, pl.Boolean, pl.Binary, pl.UInt64]
    wanted = dict(zip(TYPES, kinds, strict=True))
    assert dict(frame.schema) == wanted | {f"{name}s": pl.List(kind) for name, kind in wanted.items()}
    assert [column.to_list() for column in frame.select("at", "took").cast(pl.Int64)] == [
        [None, 5_000_000_007, None, None],
        [None, -1_000_000_005, None, None],
    ]
    assert frame.select("number", "text", "flag", "data", "large").rows() == [
        (None,) * 5,
        (0, "", True, b"\xff", 2**64 - 1),
        (None,) * 5,
        (-3, None, None, None, None),
    ]
    lists = frame.select(
        pl.col("ats", "tooks").list.eval(pl.element().cast(pl.Int64)), "texts", "flags", "datas"
    )
    assert lists.row(1) == ([-1, 0], [-1, 2_000_000_000], ["é", ""], [False, True], [b""])
    assert encode(frame[[0, 1, 3]]) == ROWS


def test_times_have_the_unit_that_is_declared_or_written() -> None:
    years = [datetime(1, 1, 1, tzinfo=UTC), None, datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    spans = [timedelta(days=-100_000, microseconds=1), None, timedelta(days=100_000)]
    for unit in ("us", "ms"):
        schema = {"at": pl.Datetime(unit, "UTC"), "took": pl.Duration(unit)}  # type: ignore[arg-type]
        frame = pl.DataFrame({"at": years, "took": spans}, schema={"at": UTC_US, "took": pl.Duration("us")})
        frame = frame.cast(schema)  # type: ignore[arg-type]
        written = encode(frame)
        if unit == "us":
            assert [row.at.ToDatetime(UTC) for row in written[::2]] == years[::2]
            assert [row.took.ToTimedelta() for row in written[::2]] == spans[::2]
        assert not written[1].HasField("at") and not written[1].HasField("took")
        assert decode([row.SerializeToString() for row in written], schema=schema).equals(frame)
    fine = KNOWN(at=Timestamp(nanos=1_999), ats=[Timestamp(nanos=1_999)], took=Duration(nanos=-1_999))
    schema = {"at": UTC_US, "ats": pl.List(pl.Datetime("ms", "Asia/Tokyo")), "took": pl.Duration("us")}
    frame = decode([fine.SerializeToString()], schema=schema)
    assert dict(frame.schema) == schema
    assert frame["at"].cast(pl.Int64).to_list() == [1]
    assert frame["took"].to_list() == [fine.took.ToTimedelta()] == [timedelta(microseconds=-1)]
    with pytest.raises(SchemaError, match="does not become the declared columns"):
        decode([], schema={"at": pl.Datetime("us")})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (KNOWN(at=Timestamp(seconds=-62_135_596_800)), "but of 'us': declare it"),
        (KNOWN(took=Duration(seconds=300_000_000_000)), "but of 'us': declare it"),
        (KNOWN(at=Timestamp(seconds=-62_135_596_801)), "is not one of Datetime"),
        (KNOWN(at=Timestamp(seconds=2**63 - 1)), "is not one of Datetime"),
        (KNOWN(at=Timestamp(nanos=-1)), "is not one of Datetime"),
        (KNOWN(ats=[Timestamp(), Timestamp(nanos=10**9)]), "is not one of Datetime"),
        (KNOWN(took=Duration(nanos=-(10**9))), "is not one of Duration"),
        (KNOWN(took=Duration(seconds=-(2**63))), "is not one of Duration"),
    ],
)
def test_a_time_that_no_column_has_is_a_bad_message(row: Any, found: str) -> None:
    with pytest.raises(BadMessage) as refused:
        decode([ROWS[1].SerializeToString(), row.SerializeToString(), b""])
    assert refused.value.index == 1 and found in (refused.value.found or "")
    assert "declare" in found or "declare" not in (refused.value.found or "")


def test_a_time_that_no_message_has_is_not_written() -> None:
    frame = pl.DataFrame({"took": [0, 400_000_000_000_000]}, schema={"took": pl.Duration("ms")})
    with pytest.raises(SinkError, match="row 2 of a batch"):
        encode(frame)
    assert encode(frame[:0]) == []
    with pytest.raises(SchemaError, match="does not become"):
        encode(pl.DataFrame({"at": [datetime(2026, 1, 1)]}))


def test_fields_that_no_column_can_have_are_left_out_where_columns_are_declared() -> None:
    content = LOOSE(id=7, more={"a": 1}, again=LOOSE(id=8)).SerializeToString()
    assert decode([content], LOOSE, {"id": pl.Int64()}).rows() == [(7,)]
    assert encode(pl.DataFrame({"id": [7]}), LOOSE) == [LOOSE(id=7)]
    again = {"again": pl.Struct({"id": pl.Int64()})}
    with pytest.raises(SchemaError, match="contains itself"):
        decode([content], LOOSE, again)
    for schema in (None, {"id": pl.Int64(), "more": pl.String()}):
        with pytest.raises(SchemaError, match=r"google\.protobuf\.Struct") as refused:
            decode([content], LOOSE, schema)
        assert "leave the field out of schema=" in (refused.value.hint or "")
    with pytest.raises(SchemaError, match=r"google\.protobuf\.Value"):
        decode([content], ONLY)
    with pytest.raises(SchemaError, match=r"no column can have k\.Only"):
        decode([content], ONLY, {"x": pl.String()})


def test_files_of_protobuf_itself_need_not_be_registered() -> None:
    with schema_registry() as registry:
        options = ProtobufOptions(KNOWN, registry=SchemaRegistry(registry.url), subject="known")
        made = encoder("protobuf", options)
        assert made.label == f"protobuf k.Known, subject known of {registry.url}"
        frame = decode([ROWS[1].SerializeToString()])
        values = made.open(frame.schema, context()).encode(frame)
        assert KNOWN.FromString(values[0].as_py()[6:]) == ROWS[1]
        assert decoder("protobuf", None, options).open(context()).decode(values).frame.equals(frame)


def test_a_message_may_be_its_descriptor() -> None:
    frame = decode([ROWS[1].SerializeToString()], KNOWN.DESCRIPTOR)
    assert frame["large"].to_list() == [2**64 - 1]


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler, the only one, that writes the same descriptors for each file without ``bad`` in its name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    files = descriptor_pb2.FileDescriptorSet()
    for module in (timestamp_pb2, duration_pb2, wrappers_pb2, struct_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(described_known())
    (tmp_path / "set.pb").write_bytes(files.SerializeToString())
    program = folder / "protoc"
    program.write_text(
        "#!/bin/sh\n"
        'for each in "$@"; do case "$each" in --descriptor_set_out=*) out="${each#*=}";; esac; file="$each"; done\n'
        'case "$file" in *bad*) echo "$file:1:1: Expected a message" >&2; exit 1;; esac\n'
        f'cp {tmp_path}/set.pb "$out"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def test_files_may_be_compiled(tmp_path: Path, compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, bad = tmp_path / "k.proto", tmp_path / "bad.proto"
    source.touch()
    bad.touch()
    assert decoder("protobuf", None, ProtobufOptions("k.Known", descriptors=source)).schema is not None
    for name, path, found in (
        ("Known", source, "did you mean 'k.Known'"),
        ("Other", source, "begins with that of the package"),
        ("k.Known", bad, "Expected a message"),
        ("k.Known", tmp_path / "none.proto", "No such file"),
        ("k.Known", Path(__file__), "protoc --include_imports"),
    ):
        with pytest.raises(SchemaError) as refused:
            ProtobufOptions(name, descriptors=path).descriptor()
        assert found in str(refused.value)
    with pytest.raises(SchemaError) as refused:
        ProtobufOptions(str(source)).descriptor()
    assert f"descriptors='{source}'" in (refused.value.hint or "")
    compiler.unlink()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SchemaError) as refused:
        ProtobufOptions("k.Known", descriptors=source).descriptor()
    assert "protoc --include_imports -o k.pb k.proto" in (refused.value.hint or "")


def test_files_may_be_compiled_by_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "grpc_tools"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "protoc.py").write_text("import sys\nsys.exit('the library ' + sys.argv[-1])\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PATH", "")
    source = tmp_path / "k.proto"
    source.touch()
    with pytest.raises(SchemaError, match=f"the library {source}"):
        ProtobufOptions("k.Known", descriptors=source).descriptor()
