"""Text in HTML and SVG: whatever a user, a file or a message gave is shown as text, and never read as markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from unicodedata import combining, east_asian_width

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Characters without a form of their own: control characters, changes of direction, half characters. XML has no form
for most of them, and a terminal obeys some."""

ELLIPSIS = "…"

_NARROW, _WIDE = frozenset(" ijlfrtI.,:;'|!()[]-/\\"), frozenset("mwMW@%—…→")


def visible(value: object, *, keep: str = "") -> str:
    r"""Return a text in which control characters are written as escapes.

    Parameters
    ----------
    value
        Anything that has a text.
    keep
        Control characters to leave as they are.

    Examples
    --------
    >>> visible("red \x1b[31m, next\nline")
    'red \\x1b[31m, next\\nline'
    """
    return _CONTROL.sub(
        lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(), str(value)
    )


def text(value: object) -> str:
    """Return a value as the text of an HTML or SVG element, or of an attribute between double quotes.

    Examples
    --------
    >>> text('"><script>')
    '&quot;&gt;&lt;script&gt;'
    """
    return escape(visible(value))


def lines(value: object) -> str:
    """Return a value as text with its line ends, for an element that keeps white space."""
    return escape(visible(value, keep="\n"))


def width(shown: str) -> int:
    """Return the width of a text in a font of fixed width, in columns: 2 for a wide character, 0 for a combining one.

    Examples
    --------
    >>> width("price"), width("価格")
    (5, 4)
    """
    return sum(map(_columns, shown))


def loose_width(shown: str) -> float:
    """Return the width of a text in any common proportional font, in average characters; rather too much.

    Examples
    --------
    >>> round(loose_width("at least once"), 1), round(loose_width("WWW"), 1)
    (12.7, 5.4)
    """
    return sum(map(_loose, shown))


def cut(value: object, room: float, size: Callable[[str], float] = width) -> str:
    """Return a text on one line that is at most `room` wide, with an ellipsis where it was longer; not escaped.

    Parameters
    ----------
    value
        Anything that has a text.
    room
        The width, in characters.
    size
        How wide a text is; by default, in a font of fixed width.

    Examples
    --------
    >>> cut("a_very_long_name", 8), cut("short", 8)
    ('a_very_…', 'short')
    """
    whole, longest = str(value), int(room) * 16
    shown = visible(whole[:longest])
    if len(whole) <= longest and size(shown) <= room:
        return shown
    kept, left = [], room - size(ELLIPSIS)
    for character in shown:
        left -= size(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS


def _loose(character: str) -> float:
    """Return the width of a character of DejaVu Sans, the widest of these fonts, in parts of 6.2/11 of its height."""
    if character in _NARROW:
        return 0.75
    if character in _WIDE:
        return 1.8
    if character.isupper():
        return 1.4
    return 1.12 * _columns(character)


def _columns(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
