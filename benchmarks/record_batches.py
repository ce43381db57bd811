"""Record batches of Kafka into columns and back, next to aiokafka's compiled reader and builder.

All rows are compared before anything is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.decode import decode_records
from arrowstream.io.kafka.records.encode import EncodableRecords
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn

_MESSAGES: Final = {"full": 400_000, "quick": 100_000, "tiny": 200}
_VALUE_BYTES: Final = 186
_FETCH_BYTES: Final = 1 << 20
_BATCHES: Final = {"batches of 16 KiB": 1 << 14, "batches of 1 MiB": _FETCH_BYTES}
"""Bytes of a batch: the default of clients, and as many as a broker allows."""

Work = Callable[[], object]


def run(scale: Scale) -> Section:
    """Messages a second of one core, decoded and encoded."""
    values = _values(_MESSAGES[scale])
    times = pa.array(np.arange(len(values)) + 1_700_000_000_000, pa.timestamp("ms", "UTC"))
    columns = EncodableRecords(values, None, times)
    measure = partial(_figure, messages=len(values), rounds=ROUNDS[scale])
    figures = []
    for what, batch_bytes in _BATCHES.items():
        fetches = _fetches(columns, batch_bytes, Codec.NONE)
        found = pa.chunked_array([decode_records(fetch, 0).values for fetch in fetches])
        assert found.combine_chunks() == values
        rivals = {"arrowstream": partial(_decoded, fetches), "aiokafka": partial(_iterated, fetches)}
        figures.append(measure(f"decode, {what}", rivals, at_least=15.0))
    for codec in (Codec.LZ4, Codec.ZSTD):
        fetches = _fetches(columns, _FETCH_BYTES, codec)
        what = f"decode, batches of 1 MiB, {codec.name.lower()}"
        figures.append(measure(what, {"arrowstream": partial(_decoded, fetches)}))
    builders: dict[str, Work] = {
        "arrowstream": lambda: list(
            _encoded(EncodableRecords(values, None, times), _FETCH_BYTES, Codec.NONE)
        ),
        "aiokafka": partial(_built, values.to_pylist()),
    }
    figures.append(measure("encode, batches of 1 MiB", builders))
    return Section(
        f"Kafka record batches, {len(values):,} messages of {_VALUE_BYTES} bytes, processor time of one core",
        tuple(figures),
    )


def _values(count: int) -> pa.LargeBinaryArray:
    """JSON objects of one length, with digits that compress as those of real messages do."""
    digits = np.random.default_rng(0).integers(48, 58, (count, _VALUE_BYTES), dtype=np.uint8)
    template = np.frombuffer(
        b'{"id":"00000000","user":"000000","price":000.00,"text":"'.ljust(_VALUE_BYTES, b"."), np.uint8
    )
    data = np.where(template == ord("0"), digits, template)
    ends = np.arange(0, count * _VALUE_BYTES + 1, _VALUE_BYTES)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), count, [None, pa.py_buffer(ends), pa.py_buffer(data.tobytes())]
    )


def _encoded(columns: EncodableRecords, batch_bytes: int, codec: Codec) -> Iterator[bytes]:
    level = 1 if codec else None
    for first, last in columns.split(batch_bytes).batches:
        yield columns.encode(first, last, codec, level).finish()


def _fetches(columns: EncodableRecords, batch_bytes: int, codec: Codec) -> list[bytes]:
    """The batches as a broker has them, with their offsets, in responses of about 1 MiB."""
    fetches, fetch, offset = [], bytearray(), 0
    batches = columns.split(batch_bytes).batches
    for (first, last), batch in zip(batches, _encoded(columns, batch_bytes, codec), strict=True):
        fetch += offset.to_bytes(8, "big") + batch[8:]
        offset += last - first
        if len(fetch) > _FETCH_BYTES - batch_bytes or offset == len(columns):
            fetches.append(bytes(fetch))
            fetch = bytearray()
    return fetches


def _decoded(fetches: list[bytes]) -> int:
    return sum(len(decode_records(fetch, 0, keys=False)) for fetch in fetches)


def _iterated(fetches: list[bytes]) -> int:
    """The values of aiokafka's records, one after the other."""
    size = 0
    for fetch in fetches:
        batches = MemoryRecords(fetch)
        while (batch := batches.next_batch()) is not None:
            batch.validate_crc()
            for record in batch:
                size += len(record.value)
    return size


def _built(rows: list[bytes]) -> int:
    size = 0
    for start in range(0, len(rows), 5_000):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
        for offset, value in enumerate(rows[start : start + 5_000]):
            builder.append(offset, 1_700_000_000_000, None, value, [])
        size += len(builder.build())
    return size


def _figure(
    what: str, rivals: Mapping[str, Work], at_least: float | None = None, *, messages: int, rounds: int
) -> Figure:
    """The median of millions of messages a second of processor time."""

    def measure(work: Work) -> Callable[[], float]:
        def rate() -> float:
            begin = time.process_time()
            work()
            return messages / (time.process_time() - begin) / 1e6

        return rate

    for warm_up in rivals.values():
        warm_up()
    measured = in_turn({name: measure(work) for name, work in rivals.items()}, rounds)
    rates = {name: statistics.median(each) for name, each in measured.items()}
    note = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items() if name != "arrowstream")
    return Figure(what, rates["arrowstream"], "M messages/s", at_least=at_least, note=note)


if __name__ == "__main__":
    from benchmarks.harness import as_text

    print(as_text([run("full")]))
