"""The value of a key as it is written in a line of NDJSON."""

from __future__ import annotations

import json
from itertools import islice

from arrowstream.io.files.text.json.items import Tape


def written(line: bytes, key: str) -> str | None:
    r"""Return the text of the value of a key, the first one if the key comes twice; None without this key.

    Parameters
    ----------
    line
        A well-formed JSON object.
    key
        The key.

    Examples
    --------
    >>> written(b'{"a": 1.50, "b": {"a": "\\u00e9"}}', "b")
    '{"a": "\\u00e9"}'
    """
    tape = Tape(line)
    found = (
        line[items.value[at] : items.end[at]].decode().strip()
        for items in islice(tape.depths(), 1)
        for numbers, names in [tape.keys(items)]
        for at, number in enumerate(numbers)
        if json.loads(f'"{names[number]}"') == key
    )
    return next(found, None)
