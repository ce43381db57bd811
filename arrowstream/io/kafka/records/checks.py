"""What is wrong with a batch, as an error that names its offset."""

from __future__ import annotations

from typing import Final

from arrowstream.errors import SourceError
from arrowstream.io.kafka.records.buffers import Integers
from arrowstream.io.kafka.records.header import (
    ATTRIBUTES,
    BACKWARD,
    BASE_OFFSET,
    BODY,
    CODEC_BITS,
    COUNT,
    CROWDED,
    DAMAGED,
    DENSE,
    END,
    HEADER_BYTES,
    LAST_CODEC,
    LAST_DELTA,
    LENGTH,
    LENGTH_END,
    MAGIC,
    NEGATIVE,
    NO_CODEC,
    NO_FORMAT,
    OLD_FORMAT,
    SHORT,
)

_RESEND: Final = "fetch it again; if it is the same on all replicas, set the position after it"


def header_error(row: Integers, fault: int) -> SourceError:
    """Return the error of a batch whose row of the table has a fault, `OLD_FORMAT` to `DENSE`."""
    batch = (
        row.tolist()
    )  # fields that were not read may have any value, and integers of Python do not overflow
    expected, found = {
        OLD_FORMAT: ("a record batch, magic 2", f"magic {batch[MAGIC]}, the format of Kafka before 0.11"),
        NO_FORMAT: ("a record batch, magic 2", f"magic {batch[MAGIC]}"),
        SHORT: (f"a length of at least {HEADER_BYTES - LENGTH_END}", f"{batch[LENGTH]:,}"),
        NEGATIVE: ("offsets from 0 to 2^63 - 2", _offsets(batch)),
        BACKWARD: ("offsets after those of the batch before", _offsets(batch)),
        DAMAGED: ("bytes with the CRC-32C of the header", "others"),
        NO_CODEC: (f"a compression from 0 to {LAST_CODEC}", str(batch[ATTRIBUTES] & CODEC_BITS)),
        CROWDED: ("at most one record for each offset", f"{batch[COUNT]:,} records with {_offsets(batch)}"),
        DENSE: (
            "at least 7 bytes for each record",
            f"{batch[END] - batch[BODY]:,} for {batch[COUNT]:,} records",
        ),
    }[fault]
    if fault == OLD_FORMAT:
        hint = "copy the topic with a client of today: it writes record batches"
        return wrong_batch(row, "is in an old format", expected=expected, found=found, hint=hint)
    return wrong_batch(row, "is damaged", expected=expected, found=found)


def _offsets(batch: list[int]) -> str:
    return f"offsets from {batch[BASE_OFFSET]:,} on, the last {batch[LAST_DELTA]:,} higher"


def wrong_batch(batch: Integers, what: str, *, expected: str, found: str, hint: str = _RESEND) -> SourceError:
    """Return an error about a batch."""
    return SourceError(
        f"the record batch at offset {batch[BASE_OFFSET]} {what}",
        position=f"offset {batch[BASE_OFFSET]}",
        expected=expected,
        found=found,
        hint=hint,
    )
