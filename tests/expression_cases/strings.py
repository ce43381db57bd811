"""Expressions of text, by the function that they must be lowered to."""

import polars as pl

SCHEMA = pl.Schema({"s": pl.String, "t": pl.String})
S, T = pl.col("s"), pl.col("t")
TEXTS = ("a", "aa", "é", "", "$", r"a\b")
COUNTS = (0, 1, 3, -1, -3)


def cases() -> dict[str, list[pl.Expr]]:
    """Expressions whose lowered form calls each kernel."""
    s = S.str
    found = {
        "str.len_bytes": [s.len_bytes()],
        "str.len_chars": [s.len_chars()],
        "str.uppercase": [s.to_uppercase()],
        "str.lowercase": [s.to_lowercase()],
        "str.titlecase": [s.to_titlecase()],
        "str.reverse": [s.reverse()],
        "str.normalize": [s.normalize("NFC"), s.normalize("NFKD")],
        "str.contains": [s.contains(text, literal=True) for text in TEXTS],
        "str.contains_any": [s.contains_any(["ab", "é", ""]), s.contains_any(["bb"])],
        "str.starts_with": [s.starts_with(text) for text in TEXTS],
        "str.ends_with": [s.ends_with(text) for text in TEXTS],
        "str.find": [s.find(text, literal=True) for text in TEXTS],
        "str.count_matches": [s.count_matches(text, literal=True) for text in TEXTS if text],
        "str.replace": [s.replace_all(text, "$0é", literal=True) for text in TEXTS if text]
        + [s.replace(text, "", literal=True, n=2) for text in TEXTS if text],
        "str.strip_chars": [s.strip_chars(text) for text in (None, *TEXTS)],
        "str.strip_chars_start": [s.strip_chars_start(text) for text in (None, *TEXTS)],
        "str.strip_chars_end": [s.strip_chars_end(text) for text in (None, *TEXTS)],
        "str.strip_prefix": [s.strip_prefix(text) for text in TEXTS],
        "str.strip_suffix": [s.strip_suffix(text) for text in TEXTS if text],
        "str.slice": [s.slice(offset, length) for offset in COUNTS for length in (None, 0, 1, 2, 5, 2**62)],
        "str.head": [s.head(count) for count in COUNTS],
        "str.tail": [s.tail(count) for count in COUNTS],
        "str.pad_start": [s.pad_start(width, "é") for width in (0, 1, 4)],
        "str.pad_end": [s.pad_end(width, "x") for width in (0, 1, 4)],
        "str.zfill": [s.zfill(width) for width in (1, 4)],
        "str.split": [s.split(text) for text in TEXTS if text],
        "str.concat_horizontal": [S + "é" + T]
        + [
            pl.concat_str(S, T, S, separator=separator, ignore_nulls=ignore_nulls)
            for separator in ("", "é-")
            for ignore_nulls in (False, True)
        ],
    }
    return found


CASES = cases()

# Letters whose case or clusters are special, marks that combine, blanks that only some call blank.
SPECIAL = ["a\r\nb", "\r\n", "Straße", "ΑΣ aς", "it's A1b", "-7", "+", "aaaa", "\x1c a \x1f"]
CORNERS = [None, *SPECIAL, "", "aab$a\\b", "éaé", "e\u0301x", "bb", " ab ", "+12", None]
