"""A JSON array of objects as NDJSON, block by block, without a Python loop over its bytes.

Outside strings, the commas between the array's elements become newlines, and existing newlines become
spaces. The opening bracket of the array becomes a space, the closing one a newline. Three values carry
over from block to block: whether it ends inside a string, whether the next character is escaped, and the
number of open brackets. Marking structural characters first and parsing later is the idea of simdjson
(Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.text.records import RewindableText, Stream, continued

_BLANK: Final = b" \t\r\n"
_QUOTE, _OPEN, _CLOSE, _COMMA, _LINE, _BACKSLASH = 1, 2, 3, 4, 5, 6
_NEWLINE, _SPACE = ord("\n"), ord(" ")


def _classes() -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for signs, number in (
        ('"', _QUOTE),
        ("[{", _OPEN),
        ("]}", _CLOSE),
        (",", _COMMA),
        ("\r\n", _LINE),
        ("\\", _BACKSLASH),
    ):
        table[[ord(sign) for sign in signs]] = number
    return table


_CLASS: Final = _classes()
_FEW_BLANKS: Final = 3
_IS_BLANK: Final = np.isin(np.arange(256), list(_BLANK))


class JsonLines(RewindableText):
    """Stream of JSON, an array or NDJSON, as a stream of NDJSON.

    Parameters
    ----------
    text
        Bytes of the file.
    name
        Name of the file in errors.
    """

    __slots__ = (
        "_closed",
        "_depth",
        "_elements",
        "_escaped",
        "_head",
        "_in_string",
        "_last",
        "_name",
        "_text",
        "is_array",
    )

    def __init__(self, text: Stream, name: str) -> None:
        super().__init__()
        self._text = text
        self._name = name
        self._closed = False
        self._depth = 0
        self._elements = 0
        self._last = 0  # the last byte of earlier blocks that is not blank
        self._in_string = False
        self._escaped = False
        self._head = b""
        while not self._head and (chunk := text.read(4096)) != b"":
            self._head = (chunk or b"").lstrip(_BLANK)
        self.is_array = self._head.startswith(b"[")
        """True if the lines are made from an array, so that they are not the lines of the file."""

    def _more(self, size: int) -> bytes | None:
        """Return up to `size` more bytes, as for `read`.

        Raises
        ------
        SourceError
            The array is not closed, or text follows it.
        """
        block = self._take(size)
        if not self.is_array or block is None:
            return block
        if self._closed:
            self._check_after(block)
        elif block:
            return self._in_lines(block)
        elif size:
            raise self._broken("an array closed by ']'", "the end of the file inside the array")
        return block

    def _in_lines(self, block: bytes) -> bytes:
        signs = np.frombuffer(block, np.uint8)
        at = np.flatnonzero(_CLASS[signs])
        kind = _CLASS[signs[at]]
        is_quote = (kind == _QUOTE) & ~self._escapes(at, kind, len(block))
        quotes = np.cumsum(is_quote) + self._in_string
        outside = (quotes % 2 == 0) & (kind != _QUOTE)
        steps = np.where(outside, (kind == _OPEN).astype(np.int64) - (kind == _CLOSE), 0)
        depth = np.cumsum(steps) + self._depth
        out = signs.copy()
        out[at[outside & (kind == _LINE)]] = _SPACE
        commas = at[outside & (kind == _COMMA) & (depth == 1)]
        ends = at[outside & (kind == _CLOSE) & (depth <= 0)]
        self._check_elements(signs, commas, ends[:1])
        out[commas] = _NEWLINE
        if self._depth == 0:
            out[0] = _SPACE  # the bracket that opens the array
        if len(at):
            self._in_string = bool(quotes[-1] % 2)
            self._close(block, out, ends)
            self._depth = int(depth[-1])
        return out.tobytes()

    def _close(self, block: bytes, out: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> None:
        if not len(ends):
            return
        end = int(ends[0])
        out[end] = _NEWLINE
        self._closed = True
        self._check_after(block[end + 1 :] if block[end : end + 1] == b"]" else block[end:])

    def _check_after(self, text: bytes) -> None:
        """Refuse text after the end of the array."""
        if after := text.strip(_BLANK):
            found = repr(after[:40].decode("utf-8", "replace"))
            raise self._broken("nothing after the array's closing ']'", found)

    def _check_elements(
        self, signs: npt.NDArray[np.uint8], commas: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> None:
        """Refuse commas between which there is nothing; `end` is where the array is closed, if it is here."""
        before_commas, before_end = self._before(signs, commas), self._before(signs, end)
        blank = np.flatnonzero((before_commas == ord(",")) | (before_commas == ord("[")))
        if len(blank) or ord(",") in before_end:
            row = self._elements + (int(blank[0]) if len(blank) else len(commas)) + 1
            raise self._broken("a value before and after each comma", f"nothing in the place of row {row}")
        self._elements += len(commas)
        self._last = int(self._before(signs, np.array([len(signs)]))[0])

    def _before(self, signs: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the last byte before each position that is not blank, which may be in an earlier block."""
        at = at - 1
        for _ in range(_FEW_BLANKS):
            if not len(blank := np.flatnonzero((at >= 0) & _IS_BLANK[signs[at]])):
                break
            at[blank] -= 1
        else:
            marks = np.flatnonzero(~_IS_BLANK[signs])
            at = np.append(-1, marks)[np.searchsorted(marks, at, side="right")]
        return np.where(at >= 0, signs[at], self._last)

    def _take(self, size: int) -> bytes | None:
        head, self._head = self._head[:size], self._head[size:]
        return continued(head, self._text.read(size - len(head)))

    def _escapes(
        self, at: npt.NDArray[np.int64], kind: npt.NDArray[np.uint8], size: int
    ) -> npt.NDArray[np.bool_]:
        """Mark the characters that follow an odd run of backslashes; updates `_escaped` for the next block.

        Parameters
        ----------
        at
            Positions of structural characters in the block, ascending. Shape (n,), int64.
        kind
            Class of each. Shape (n,), uint8.
        size
            Bytes of the block.

        Returns
        -------
        numpy.ndarray
            Shape (n,), bool.
        """
        slashes = at[kind == _BACKSLASH]
        carried = self._escaped
        if not len(slashes):
            self._escaped = False
            return np.equal(at, 0) & carried
        # Number of the backslash within its run, counting one carried over from the previous block.
        index = np.arange(len(slashes))
        first = np.diff(slashes, prepend=-2) != 1
        run = index - np.maximum.accumulate(np.where(first, index, 0)) + 1
        if carried and slashes[0] == 0:
            run[: int(first[1:].argmax()) + 1 if first[1:].any() else len(run)] += 1
        before = np.searchsorted(slashes, at - 1)
        found = before < len(slashes)
        before[~found] = 0
        escaped: npt.NDArray[np.bool_] = found & (slashes[before] == at - 1) & (run[before] % 2 == 1)
        escaped |= (at == 0) & carried
        self._escaped = bool(slashes[-1] == size - 1 and run[-1] % 2)
        return escaped

    def _broken(self, expected: str, found: str) -> SourceError:
        return UnreadableData(
            f"{self._name} is not one JSON array",
            position=self._name,
            expected=expected,
            found=found,
            hint="the file is damaged or incomplete; NDJSON would have one object a line and no brackets",
        )
