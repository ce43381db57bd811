"""The scanner of TOML positions, against lines noted while a document is written."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.config.toml_lines import At, positions

pytestmark = pytest.mark.once

TABLE: list[tuple[str, dict[At, int]]] = [
    ("", {}),
    ("# only = 'a comment'", {}),
    ("a = 1", {("a",): 1}),
    ("\n\n  a = 1  # b = 2\nb = 3", {("a",): 3, ("b",): 4}),
    ("[t]\na = 1\n[u]\nb = 2", {("t",): 1, ("t", "a"): 2, ("u",): 3, ("u", "b"): 4}),
    (
        "[[s]]\na = 1\n[[s]]\nb = 2",
        {("s",): 1, ("s", 0): 1, ("s", 0, "a"): 2, ("s", 1): 3, ("s", 1, "b"): 4},
    ),
    (
        "[[s]]\n[s.t]\na = 1\n[[s.u]]\n[[s]]\n[s.t]\n[[s.u]]\nb = 2",
        {
            ("s",): 1,
            ("s", 0): 1,
            ("s", 0, "t"): 2,
            ("s", 0, "t", "a"): 3,
            ("s", 0, "u"): 4,
            ("s", 0, "u", 0): 4,
            ("s", 1): 5,
            ("s", 1, "t"): 6,
            ("s", 1, "u"): 7,
            ("s", 1, "u", 0): 7,
            ("s", 1, "u", 0, "b"): 8,
        },
    ),
    ("[a.b]\n[a]\nc = 1", {("a",): 2, ("a", "b"): 1, ("a", "c"): 3}),
    ("[ a . 'b c' ] # x", {("a",): 1, ("a", "b c"): 1}),
    ('a . "b.c" = 1\na.d = 2', {("a",): 1, ("a", "b.c"): 1, ("a", "d"): 2}),
    (r'"q\"]\u00e9" = 1', {('q"]é',): 1}),
    ('a = "[x]\\"\\n"\nb = \'[y]\\\'', {("a",): 1, ("b",): 2}),
    ('a = """\nb = 1\n[c]\n"""\nd = 2', {("a",): 1, ("d",): 5}),
    ('a = """x\\"""""\nd = 2', {("a",): 1, ("d",): 2}),
    ('a = """"x"""""\nd = 2', {("a",): 1, ("d",): 2}),
    ("a = '''\nb = 1 '' \\'''\nd = 2", {("a",): 1, ("d",): 3}),
    ('a = ""\nb = \'\'\nc = """"""\nd = 2', {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4}),
    (
        "a = [ # one ]\n  1, 2\n  , [3],\n]\nb = 4",
        {("a",): 1, ("a", 0): 2, ("a", 1): 2, ("a", 2): 3, ("a", 2, 0): 3, ("b",): 5},
    ),
    ("a = []\nb = {}", {("a",): 1, ("b",): 2}),
    (
        'a = { b = "}", c.d = [1], "e" = {f = 2} }\ng = 1',
        {
            ("a",): 1,
            ("a", "b"): 1,
            ("a", "c"): 1,
            ("a", "c", "d"): 1,
            ("a", "c", "d", 0): 1,
            ("a", "e"): 1,
            ("a", "e", "f"): 1,
            ("g",): 2,
        },
    ),
    ("a = 1979-05-27 07:32:00 # x\nb = -inf\nc = 1_000", {("a",): 1, ("b",): 2, ("c",): 3}),
    ("s = [{a = 1},\n {a = 2}]", {("s",): 1, ("s", 0): 1, ("s", 0, "a"): 1, ("s", 1): 2, ("s", 1, "a"): 2}),
]


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[text[:20] for text, _ in TABLE])
def test_positions(text: str, expected: dict[At, int]) -> None:
    tomllib.loads(text)
    assert positions(text) == expected


class Writer:
    """Writes a document in a style drawn by hypothesis, and notes the line of everything it writes."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[At, int] = {}

    def note(self, at: At) -> None:
        self.lines[at] = self.text.count("\n") + 1

    def gap(self, *, newlines: bool) -> None:
        gaps = ["", " ", "\t "]
        if newlines:
            gaps += ["\n", " # [a] = {'\n  ", '\n#"""\n']
        self.text += self.draw(st.sampled_from(gaps))

    def key(self, key: str) -> None:
        plain = key.isascii() and key.replace("_", "").isalnum()
        quoted = json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
        self.text += key if plain and self.draw(st.booleans()) else quoted

    def string(self, value: str) -> None:
        escaped = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")[1:-1]
        forms = [f'"{escaped}"', f'"""{escaped}"""', f'"""\n{escaped}\\\n  """']
        if value.isprintable() and "'" not in value:
            forms += [f"'{value}'", f"'''\n{value}'''"]
        self.text += self.draw(st.sampled_from(forms))

    def value(self, value: Any, at: At) -> None:
        match value:
            case str():
                self.string(value)
            case bool() | int() | float():
                self.text += json.dumps(value)
            case list():
                self.text += "["
                for index, item in enumerate(value):
                    self.gap(newlines=True)
                    self.note((*at, index))
                    self.value(item, (*at, index))
                    self.gap(newlines=True)
                    if index < len(value) - 1 or self.draw(st.booleans()):
                        self.text += ","
                self.gap(newlines=True)
                self.text += "]"
            case _:
                self.text += "{"
                for number, (key, item) in enumerate(value.items()):
                    self.text += ", " if number else " "
                    self.pair(key, item, at)
                self.text += " }"

    def pair(self, key: str, value: Any, at: At) -> None:
        self.note((*at, key))
        self.key(key)
        self.gap(newlines=False)
        self.text += "="
        self.gap(newlines=False)
        self.value(value, (*at, key))

    def document(self, document: dict[str, Any]) -> None:
        flat = {key: value for key, value in document.items() if not _tables(value)}
        for key, value in flat.items():
            self.gap(newlines=True)
            self.pair(key, value, ())
            self.text += "\n"
        for key, value in document.items():
            if isinstance(value, dict):
                self.header("[", key, "]", (key,), value)
            elif key not in flat:
                for index, table in enumerate(value):
                    if index == 0:
                        self.gap(newlines=True)
                        self.note((key,))
                    self.header("[[", key, "]]", (key, index), table)

    def header(self, opening: str, key: str, closing: str, at: At, table: dict[str, Any]) -> None:
        self.note(at)
        self.text += opening
        self.gap(newlines=False)
        self.key(key)
        self.gap(newlines=False)
        self.text += closing + self.draw(st.sampled_from(["\n", " # [x]\n"]))
        for name, value in table.items():
            self.gap(newlines=True)
            self.pair(name, value, at)
            self.text += "\n"


def _tables(value: Any) -> bool:
    is_array = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) or bool(is_array)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)
scalars = st.one_of(texts, st.booleans(), st.integers(-9, 9), st.just(0.5))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.just("k_1"), texts), inner, max_size=3)
    ),
    max_leaves=6,
)
documents = st.dictionaries(st.one_of(st.sampled_from(["steps", "a1"]), texts), values, max_size=4)


@given(documents, st.data())
def test_every_key_of_any_document_has_its_line(document: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data.draw)
    writer.document(document)
    assert tomllib.loads(writer.text) == document
    assert positions(writer.text) == writer.lines
