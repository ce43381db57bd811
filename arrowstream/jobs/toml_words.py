"""Texts of errors in the words of a job: keys of TOML and SQL in place of calls in Python."""

from __future__ import annotations

import re
from collections.abc import Callable

_COLUMN = r"""pl\.col\(["'](?P<column>[^"']+)["']\)"""

_NAMES = re.compile(r"did you mean '[^']*'\?$|one of the columns |check the digits of the name, ")
"""Texts that consist of names in the data, which stay as they are."""

_TYPES = {"int": "Int64", "str": "String", "float": "Float64", "bool": "Boolean"}
"""The names that types of Python have in a job."""

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rule(pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> _Rule:
    return re.compile(pattern), replacement


def _table(found: re.Match[str]) -> str:
    pairs = re.sub(r"""["']([^"']+)["']: """, r"\1 = ", found["pairs"])
    pairs = re.sub(r"(?<== )(int|str|float|bool)\b", lambda type: f'"{_TYPES[type[1]]}"', pairs)
    return f"{found['key']} = {{ {pairs} }}"


def _bytes(found: re.Match[str]) -> str:
    return str(int(found[1]) << int(found[2]))


_RULES: tuple[_Rule, ...] = (
    # Whole phrases.
    _rule(r"(?:\brun\()?\bfrom_checkpoint='ignore'\)?", "--from-checkpoint ignore"),
    _rule(r"\bcheckpoint=(?=')", "[checkpoint] path = "),
    _rule(r"\bcheckpoint=(?!\w)", "[checkpoint]"),
    _rule(r"cast\(\.\.\., strict=False\), in SQL TRY_CAST,", "TRY_CAST"),
    _rule(r"pass schema=\.\.\. to the source", "add schema = { ... } to [source]"),
    _rule(r"\bfrom_file\(\.\.\., (.*?\}|\w+=\S+?)\)", r"[source] with \1"),
    _rule(r"""Sink\.to_file\((["'][^"']*["'])\)""", r'{ kind = "file", path = \1 }'),
    _rule(r"\.on_error\(ErrorHandler\.(\w+)\(\)\)", r'on_error = "\1"'),
    _rule(r"\.on_error\(ErrorHandler\.(\w+)\((\d+)\)\)", r"on_error = { \1 = \2 }"),
    _rule(r"\bwith_(strict_keys|delimiter)\(\)", r"\1"),
    _rule(r"""name it with \.alias\("\.\.\."\)""", 'name it: "... AS name"'),
    _rule(r"(\d+) << (\d+)", _bytes),
    # Expressions.
    _rule(rf"{_COLUMN}\.is_not_null\(\)", r"\g<column> IS NOT NULL"),
    _rule(
        rf"\.with_columns\({_COLUMN}\.fill_null\(\.\.\.\)\)",
        r'with_columns = { \g<column> = "COALESCE(\g<column>, ...)" }',
    ),
    _rule(rf"{_COLUMN}\.str\.to_datetime\(\"(?P<form>[^\"]*)\"\)", r"STRPTIME(\g<column>, '\g<form>')"),
    _rule(rf"\({_COLUMN} \* ([\d_]+)\)\.cast\(pl\.Int64\)", r"CAST(\g<column> * \2 AS BIGINT)"),
    _rule(rf"with_columns\(\w+={_COLUMN}\.cast\(pl\.(\w+)\)\)", r'cast = { \g<column> = "\2" }'),
    _rule(rf"{_COLUMN}\.sum\(\)", r"SUM(\g<column>)"),
    _rule(rf"{_COLUMN}", r"\g<column>"),
    _rule(r"pl\.len\(\)", "COUNT(*)"),
    _rule(r"pl\.lit\(([^)]*)\)", r"\1"),
    _rule(r"""pl\.(Datetime|Duration)\(["'](\w+)["']\)""", "\"\\1('\\2')\""),
    _rule(r"\bpl\.([A-Z]\w+)", r'"\1"'),
    # Calls and keyword arguments.
    _rule(r"""\.?\b(?P<key>schema|rename|cast)(=|\()\{(?P<pairs>[^}]*)\}\)?""", _table),
    _rule(r"""\bbackend\((["']\w+["'])\)""", r"backend = \1"),
    _rule(r"\bskip\(\)", '"skip"'),
    _rule(r"(?<![\w.])\.filter\(([^()]*)\)", r'filter = "\1"'),
    _rule(r"(?<!\w\.)\.?\b([a-z]\w*)\(([a-z]\w*)=\.\.\.\)", r"'\2' of '\1'"),
    _rule(r"(?<![\w)]\.)(?<![\w)])\.?\b([a-z]\w*)\((?:\.\.\.|fn)\)", r"'\1'"),
    _rule(r"(?<![\w)])\.([a-z]\w*)\(([^()]+)\)", r"\1 = \2"),
    _rule(r"\b([a-z]\w*)=True\b", r"\1 = true"),
    _rule(r"\b([a-z]\w*)=False\b", r"\1 = false"),
    _rule(r"""\b([a-z]\w*)=(?=["'{\d])""", r"\1 = "),
    _rule(r"\b([a-z]\w*)=(\.\.\.)?(?![\w=])", r"'\1'"),
)


def in_toml(text: str) -> str:
    """Return the text of an error with TOML and SQL in place of Python.

    Examples
    --------
    >>> in_toml('filter them out: .filter(pl.col("at").is_not_null())')
    'filter them out: filter = "at IS NOT NULL"'
    >>> in_toml("read the column as text: schema={'item': pl.String}")
    'read the column as text: schema = { item = "String" }'
    >>> in_toml('raise max_bytes, or let what is more lie in files with on_full="spill"')
    'raise max_bytes, or let what is more lie in files with on_full = "spill"'
    >>> in_toml("compute parts of it in with_columns(...) before this step")
    "compute parts of it in 'with_columns' before this step"
    """
    if _NAMES.match(text):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
