"""How each function is written, and what it gives: for errors, and for the page of all functions."""

from __future__ import annotations

PAGE = "docs/guide/sql-functions.md"
"""Where all functions are listed."""

TEXTS = {
    "UPPER": ("UPPER(text)", "in capitals"),
    "LOWER": ("LOWER(text)", "in small letters"),
    "REVERSE": ("REVERSE(text)", "from the last character to the first"),
    "LENGTH": ("LENGTH(text)", "number of characters"),
    "SUBSTRING": (
        "SUBSTRING(text, 1, 3)",
        "characters from a place on, which counts from 1; also without a length",
    ),
    "LEFT": ("LEFT(text, 3)", "first characters; all but the last 3 for -3"),
    "RIGHT": ("RIGHT(text, 3)", "last characters; all but the first 3 for -3"),
    "LPAD": ("LPAD(text, 8, '0')", "filled up in front, or cut, to a number of characters"),
    "RPAD": ("RPAD(text, 8, ' ')", "filled up at the end, or cut, to a number of characters"),
    "TRIM": ("TRIM(text, ' ')", "without these characters on both sides; blanks by default"),
    "LTRIM": ("LTRIM(text, ' ')", "without these characters in front"),
    "RTRIM": ("RTRIM(text, ' ')", "without these characters at the end"),
    "REPLACE": ("REPLACE(text, 'a', 'b')", "each of one text replaced by another"),
    "CONTAINS": ("CONTAINS(text, part)", "whether a text is in another"),
    "STARTS_WITH": ("STARTS_WITH(text, part)", "whether it begins with another"),
    "ENDS_WITH": ("ENDS_WITH(text, part)", "whether it ends with another"),
    "STRPOS": ("STRPOS(text, 'a')", "where another text first stands, counted from 1; 0 if nowhere"),
    "SPLIT_PART": (
        "SPLIT_PART(text, '/', 1)",
        "part between separators, counted from 1; empty if there are fewer",
    ),
    "SPLIT_INDEX": (
        "SPLIT_INDEX(text, '/', 0)",
        "the same, counted from 0 as in Flink; NULL if there are fewer",
    ),
    "REGEXP_EXTRACT": (
        "REGEXP_EXTRACT(text, 'id=([0-9]+)', 1)",
        "what a group has found; empty without a match",
    ),
    "REGEXP_REPLACE": (
        r"REGEXP_REPLACE(text, '([a-z])-', '\1', 'g')",
        r"the first match replaced, all with `'g'`; `\1` is what a group has found",
    ),
    "REGEXP_MATCHES": ("REGEXP_MATCHES(text, '^[a-z]+')", "whether an expression is found anywhere"),
    "REGEXP_FULL_MATCH": ("REGEXP_FULL_MATCH(text, '[a-z]+')", "whether it is the whole text"),
    "CONCAT": ("CONCAT(a, b, ...)", "one after the other, without those that are NULL"),
    "CONCAT_WS": ("CONCAT_WS(', ', a, b, ...)", "the same with a separator between them"),
    "COUNT_CHAR": ("COUNT_CHAR(text, 'c')", "how often a text is in another, as in Flink"),
}

NUMBERS = {
    "ABS": ("ABS(x)", "without its sign"),
    "SIGN": ("SIGN(x)", "-1, 0 or 1; 0 for NaN"),
    "ROUND": ("ROUND(x, 2)", "to a number of decimals, 0 by default; a half goes away from zero"),
    "FLOOR": ("FLOOR(x)", "down to a whole number"),
    "CEIL": ("CEIL(x)", "up to a whole number"),
    "TRUNC": ("TRUNC(x)", "towards zero to a whole number"),
    "SQRT": ("SQRT(x)", "square root; NaN below 0"),
    "EXP": ("EXP(x)", "e to a power"),
    "LN": ("LN(x)", "natural logarithm; -inf of 0, NaN below"),
    "LOG10": ("LOG10(x)", "the same to base 10"),
    "LOG2": ("LOG2(x)", "the same to base 2"),
    "POWER": ("POWER(x, 2)", "to a power"),
    "MOD": ("MOD(a, b)", "remainder, with the sign of the first number; NULL if the other is 0"),
    "ISNAN": ("ISNAN(x)", "whether it is NaN"),
    "ISINF": ("ISINF(x)", "whether it is infinite"),
    "ISFINITE": ("ISFINITE(x)", "whether it is neither"),
    "PI": ("PI()", "the number"),
}

TIMES = {
    "YEAR": ("YEAR(ts)", "year"),
    "QUARTER": ("QUARTER(ts)", "quarter, from 1"),
    "MONTH": ("MONTH(ts)", "month, from 1"),
    "WEEK": ("WEEK(ts)", "week of ISO 8601"),
    "DAY": ("DAY(ts)", "day of the month"),
    "DOY": ("DOY(ts)", "day of the year, from 1"),
    "DAYOFYEAR": ("DAYOFYEAR(ts)", "the same"),
    "ISODOW": ("ISODOW(ts)", "day of the week, Monday is 1"),
    "DAYOFWEEK": ("DAYOFWEEK(ts)", "day of the week, Sunday is 0"),
    "DAYOFMONTH": ("DAYOFMONTH(ts)", "day of the month"),
    "HOUR": ("HOUR(ts)", "hour"),
    "MINUTE": ("MINUTE(ts)", "minute"),
    "SECOND": ("SECOND(ts)", "second"),
    "DATE_PART": ("DATE_PART('hour', ts)", "any of these, and `'epoch'`; also `EXTRACT(HOUR FROM ts)`"),
    "EPOCH": ("EPOCH(ts)", "seconds since 1970, a DOUBLE"),
    "EPOCH_MS": ("EPOCH_MS(ts)", "milliseconds since 1970"),
    "EPOCH_US": ("EPOCH_US(ts)", "microseconds since 1970"),
    "DATE_TRUNC": ("DATE_TRUNC('hour', ts)", "the beginning of a unit, from millisecond to year"),
    "DATE_DIFF": ("DATE_DIFF('second', a, b)", "borders of a unit between two times"),
    "LAST_DAY": ("LAST_DAY(ts)", "last day of the month, a DATE"),
    "DAYNAME": ("DAYNAME(ts)", "such as `Monday`"),
    "MONTHNAME": ("MONTHNAME(ts)", "such as `January`"),
    "STRFTIME": ("STRFTIME(ts, '%Y-%m-%d')", "a time as text"),
    "STRPTIME": ("STRPTIME(text, '%Y-%m-%d %H:%M:%S')", "a text as TIMESTAMP"),
    "DATE_FORMAT": ("DATE_FORMAT(ts, 'yyyy-MM-dd')", "a time as text, with letters as in Flink"),
}

CHOICES = {
    "COALESCE": ("COALESCE(a, b, ...)", "the first that is not NULL"),
    "NULLIF": ("NULLIF(a, b)", "NULL if both are equal, else the first"),
    "GREATEST": ("GREATEST(a, b, ...)", "the greatest that is not NULL; not of DOUBLE"),
    "LEAST": ("LEAST(a, b, ...)", "the least that is not NULL; not of DOUBLE"),
}

AGGREGATES = {
    "COUNT": ("COUNT(*)", "number of rows; `COUNT(x)` of values, `COUNT(DISTINCT x)` of different ones"),
    "SUM": ("SUM(x)", "sum; NULL of no values"),
    "AVG": ("AVG(x)", "mean"),
    "MIN": ("MIN(x)", "least value"),
    "MAX": ("MAX(x)", "greatest value"),
    "STDDEV": ("STDDEV(x)", "standard deviation of a sample"),
    "STDDEV_SAMP": ("STDDEV_SAMP(x)", "the same"),
    "STDDEV_POP": ("STDDEV_POP(x)", "standard deviation of all"),
    "VARIANCE": ("VARIANCE(x)", "variance of a sample"),
    "VAR_SAMP": ("VAR_SAMP(x)", "the same"),
    "VAR_POP": ("VAR_POP(x)", "variance of all"),
    "BOOL_AND": ("BOOL_AND(condition)", "whether it is true for all"),
    "BOOL_OR": ("BOOL_OR(condition)", "whether it is true for one"),
    "MEDIAN": ("MEDIAN(x)", "median"),
}

WINDOWS = {
    "TUMBLE": ("TUMBLE(ts, INTERVAL '10' SECOND)", "windows one after the other"),
    "HOP": (
        "HOP(ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
        "windows that begin at each step, of a size",
    ),
    "SESSION": ("SESSION(ts, INTERVAL '10' SECOND)", "windows that end after a silence"),
}

FORMS = {**TEXTS, **NUMBERS, **TIMES, **CHOICES, **AGGREGATES, **WINDOWS}
"""How a function is written and what it gives, by the first of its names."""
