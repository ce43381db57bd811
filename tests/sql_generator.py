"""Random queries with a seed: in our SQL, and for DuckDB where that writes windows in another way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Column = tuple[str, str]
"""A name and the kind of its values: int, float, text, bool or time."""

COLUMNS: list[Column] = [
    ("i", "int"),
    ("j", "int"),
    ("x", "float"),
    ("s", "text"),
    ("b", "bool"),
    ("ts", "time"),
]


_TYPES = {"int": "BIGINT", "float": "DOUBLE", "text": "VARCHAR", "bool": "BOOLEAN", "time": "TIMESTAMP"}


@dataclass(frozen=True)
class Query:
    """A query in both forms, with the columns that it gives."""

    ours: str
    theirs: str
    columns: tuple[Column, ...]


class Generator:
    """Makes queries over the streams `a` and `b`, with the columns `COLUMNS`, and the table `n` of `k` and `name`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def query(self) -> Query:
        """Any query."""
        kinds: list[Callable[[], Query]] = [
            *(self._plain, self._plain, self._grouped, self._grouped, self._windowed, self._windowed),
            *(
                self._joined,
                self._streams,
                self._union,
                self._nested,
                self._nested,
                self._ranked,
                self._distinct,
            ),
        ]
        return self._one(kinds)()

    # Expressions.

    def _one(self, choices):  # type: ignore[no-untyped-def]
        return self._random.choice(choices)

    def _expression(self, kind: str, columns: list[Column], depth: int = 2) -> str:
        own = [name for name, found in columns if found == kind]
        if depth == 0 or self._random.random() < 0.25:
            return self._one(own) if own and self._random.random() < 0.8 else self._constant(kind)
        made = {
            "int": self._int,
            "float": self._float,
            "text": self._text,
            "bool": self.condition,
            "time": self._time,
        }[kind]
        return f"({made(columns, depth - 1)})"

    def _constant(self, kind: str) -> str:
        if self._random.random() < 0.1:
            return f"CAST(NULL AS {_TYPES[kind]})"
        return {
            "int": str(self._random.randint(-5, 9)),
            "float": self._one(["0e0", "15e-1", "-25e-1", "1e2"]),
            "text": self._one(["'a'", "''", "'b%'", "'AB'", "'é'"]),
            "bool": self._one(["TRUE", "FALSE"]),
            "time": "TIMESTAMP '2026-01-01 00:00:30'",
        }[kind]

    def _any(self, columns: list[Column], depth: int) -> tuple[str, str]:
        kind = self._one(["int", "int", "float", "text", "bool", "time"])
        return self._expression(kind, columns, depth), kind

    def _choice(self, kind: str, columns: list[Column], depth: int) -> str:
        one, other = (self._expression(kind, columns, depth) for _ in range(2))
        condition = self._expression("bool", columns, depth)
        return self._one(
            [
                f"CASE WHEN {condition} THEN {one} ELSE {other} END",
                f"CASE WHEN {condition} THEN {one} END",
                f"COALESCE({one}, {other})",
                f"NULLIF({one}, {other})",
                f"IF({condition}, {one}, {other})",
            ]
        )

    def _int(self, columns: list[Column], depth: int) -> str:
        one, other = (self._expression("int", columns, depth) for _ in range(2))
        text, time = self._expression("text", columns, depth), self._expression("time", columns, depth)
        return self._one(
            [
                *(f"{one} {sign} {other}" for sign in "+-*"),
                f"{one} % NULLIF({other}, 0)",
                f"{one} // NULLIF({other}, 0)",
                f"{one} % {self._random.randint(1, 4)}",
                f"- {one}",
                f"ABS({one})",
                f"LENGTH({text})",
                f"SECOND({time})",
                f"GREATEST({one}, {other})",
                f"STRPOS({text}, 'a')",
                f"CAST(ROUND({self._expression('float', columns, 0)}) AS BIGINT)" if depth else one,
                self._choice("int", columns, depth),
            ]
        )

    def _float(self, columns: list[Column], depth: int) -> str:
        one, other = (self._expression("float", columns, depth) for _ in range(2))
        whole = self._expression("int", columns, depth)
        return self._one(
            [
                *(f"{one} {sign} {other}" for sign in "+-*"),
                f"{one} / NULLIF({other}, 0)",
                f"{whole} / NULLIF({self._expression('int', columns, depth)}, 0)",
                f"{one} + {whole}",
                f"ROUND({one}, 1)",
                f"FLOOR({one})",
                f"CAST({whole} AS DOUBLE)",
                self._choice("float", columns, depth),
            ]
        )

    def _text(self, columns: list[Column], depth: int) -> str:
        one, other = (self._expression("text", columns, depth) for _ in range(2))
        return self._one(
            [
                f"{one} || {other}",
                f"UPPER({one})",
                f"SUBSTRING({one}, {self._random.randint(1, 3)}, {self._random.randint(0, 2)})",
                f"CONCAT({one}, {other})",
                f"CAST({self._expression('int', columns, depth)} AS VARCHAR)",
                f"REPLACE({one}, 'a', 'bc')",
                f"SPLIT_PART({one}, 'b', {self._random.randint(1, 3)})",
                self._choice("text", columns, depth),
            ]
        )

    def _time(self, columns: list[Column], depth: int) -> str:
        one = self._expression("time", columns, depth)
        return self._one(
            [
                f"{one} + INTERVAL '{self._random.randint(1, 90)}' SECOND",
                f"{one} - INTERVAL '1' MINUTE",
                f"DATE_TRUNC('minute', {one})",
                self._choice("time", columns, depth),
            ]
        )

    def condition(self, columns: list[Column], depth: int = 2) -> str:
        """A condition."""
        kind = self._one(["int", "int", "float", "text", "time", "bool"])
        one, other, third = (self._expression(kind, columns, depth) for _ in range(3))
        true, false = (self._expression("bool", columns, depth) for _ in range(2))
        text = self._expression("text", columns, depth)
        pattern = self._one(["a%", "%a", "%b%", "_", "%", "", "A_", "a%b"])
        negated = self._one(["", "NOT "])
        return self._one(
            [
                *(f"{one} {sign} {other}" for sign in ("=", "<>", "<", "<=", ">", ">=")),
                f"{one} IS {negated}DISTINCT FROM {other}",
                f"{one} IS {negated}NULL",
                f"{one} {negated}IN ({other}, {third})",
                f"{self._expression('int', columns, depth)} {negated}IN (1, 2, {self._one(['3', 'NULL'])})",
                f"{one} {negated}BETWEEN {other} AND {third}",
                f"{text} {negated}LIKE '{pattern}'",
                f"{true} AND {false}",
                f"{true} OR {false}",
                f"NOT {true}",
                f"{true} IS {negated}TRUE",
            ]
        )

    def _aggregate(self, columns: list[Column]) -> tuple[str, str]:
        kind = self._one(["int", "int", "float", "text", "time", "bool"])
        value = self._expression(kind, columns, 1)
        where = f" FILTER (WHERE {self.condition(columns, 1)})" if self._random.random() < 0.3 else ""
        found = [("COUNT(*)", "int"), (f"COUNT({value})", "int"), (f"COUNT(DISTINCT {value})", "int")]
        if kind != "float":  # NaN comes from infinities, which cancel out in another order
            found += [(f"MIN({value})", kind), (f"MAX({value})", kind)]
        if kind == "int":
            found += [(f"SUM({value})", "int"), (f"AVG({value})", "float"), (f"SUM(DISTINCT {value})", "int")]
        if kind == "bool":
            found += [(f"BOOL_AND({value})", kind), (f"BOOL_OR({value})", kind), (f"SUM({value})", "int")]
        text, kind = self._one(found)
        return text + where, kind

    # Queries.

    def _where(self, columns: list[Column]) -> str:
        return f" WHERE {self.condition(columns)}" if self._random.random() < 0.6 else ""

    def _source(self) -> Query:
        return Query(*(self._one(["a", "b"]),) * 2, tuple(COLUMNS))

    def _plain(self, source: Query | None = None) -> Query:
        source = source or self._source()
        columns = list(source.columns)
        items = [self._any(columns, 2) for _ in range(self._random.randint(1, 4))]
        names = [f"c{number}" for number in range(len(items))]
        select = ", ".join(f"{text} AS {name}" for (text, _), name in zip(items, names, strict=True))
        where = self._where(columns)
        made = tuple((name, kind) for (_, kind), name in zip(items, names, strict=True))
        return Query(*(f"SELECT {select} FROM {rows}{where}" for rows in (source.ours, source.theirs)), made)

    def _grouped(self, source: Query | None = None) -> Query:
        source = source or self._source()
        columns = list(source.columns)
        keys = [self._any(columns, 1) for _ in range(self._random.randint(0, 2))]
        keys = [
            (text, kind)
            for text, kind in keys
            if kind != "float" and any(name in text for name, _ in columns)
        ]
        items = [*keys, *(self._aggregate(columns) for _ in range(self._random.randint(1, 3)))]
        names = [f"g{number}" for number in range(len(items))]
        select = ", ".join(f"{text} AS {name}" for (text, _), name in zip(items, names, strict=True))
        group = f" GROUP BY {', '.join(str(number + 1) for number in range(len(keys)))}" if keys else ""
        having = " HAVING COUNT(*) > 1" if self._random.random() < 0.3 else ""
        rest = f"{self._where(columns)}{group}{having}"
        made = tuple((name, kind) for (_, kind), name in zip(items, names, strict=True))
        return Query(*(f"SELECT {select} FROM {rows}{rest}" for rows in (source.ours, source.theirs)), made)

    def _windowed(self) -> Query:
        table, where = self._one(["a", "b"]), self._where(COLUMNS)
        keys = [name for name in ("i", "b") if self._random.random() < 0.4]
        items = [*((key, dict(COLUMNS)[key]) for key in keys), *(self._aggregate(COLUMNS) for _ in range(2))]
        select = ", ".join(f"{text} AS w{number}" for number, (text, _) in enumerate(items))
        columns = (("st", "time"), *((f"w{number}", kind) for number, (_, kind) in enumerate(items)))
        by = "".join(f", {key}" for key in keys)
        if self._random.random() < 0.5:
            seconds = self._one([5, 10, 60])
            start = f"time_bucket(INTERVAL '{seconds} seconds', ts)"
            length = f"INTERVAL '{seconds}' SECOND"
            if self._random.random() < 0.5:
                ours = (
                    f"SELECT TUMBLE_START(ts, {length}) AS st, {select} FROM {table}{where} GROUP BY "
                    f"TUMBLE(ts, {length}){by}"
                )
            else:
                rows = f"TABLE(TUMBLE(TABLE {table}, DESCRIPTOR(ts), {length}))"
                ours = (
                    f"SELECT window_start AS st, {select} FROM {rows}{where} GROUP BY window_start, "
                    f"window_end{by}"
                )
            return Query(ours, f"SELECT {start} AS st, {select} FROM {table}{where} GROUP BY 1{by}", columns)
        every, count = self._one([(2, 5), (10, 2), (5, 3)])
        start = f"time_bucket(INTERVAL '{every} seconds', ts) - h * INTERVAL '{every} seconds'"
        lengths = f"INTERVAL '{every}' SECOND, INTERVAL '{every * count}' SECOND"
        rows = f"TABLE(HOP(TABLE {table}, DESCRIPTOR(ts), {lengths}))"
        ours = f"SELECT window_start AS st, {select} FROM {rows}{where} GROUP BY window_start, window_end{by}"
        theirs = f"SELECT {start} AS st, {select} FROM {table}, range({count}) r(h){where} GROUP BY 1{by}"
        return Query(ours, theirs, columns)

    def _joined(self) -> Query:
        table = self._one(["a", "b"])
        key = self._one(
            [
                "t.i = n.k",
                "t.i + 1 = n.k",
                "n.k = t.j AND t.i < n.k" if self._random.random() < 0.5 else "t.j = n.k",
            ]
        )
        how = self._one(["JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN"]) if "<" not in key else "JOIN"
        inner = [(f"t.{name}", kind) for name, kind in COLUMNS]
        both = [*inner, ("n.k", "int"), ("n.name", "text")] if how in ("JOIN", "LEFT JOIN") else inner
        return self._plain(Query(*(f"{table} AS t {how} n ON {key}",) * 2, tuple(both)))

    def _streams(self) -> Query:
        before, after = (self._random.randint(0, 3) for _ in range(2))
        one = f"l.ts BETWEEN r.ts - INTERVAL '{before}' SECOND AND r.ts + INTERVAL '{after}' SECOND"
        other = f"l.ts >= r.ts AND l.ts < r.ts + INTERVAL '{after + 1}' SECOND"
        bound = self._one([one, other])
        how = self._one(["JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"])
        if how == "JOIN" and self._random.random() < 0.5:
            bound += f" AND ({self.condition([(f'l.{name}', kind) for name, kind in COLUMNS], 1)})"
        left, right = ([(f"{side}.{name}", kind) for name, kind in COLUMNS] for side in "lr")
        columns = left if how in ("SEMI JOIN", "ANTI JOIN") else left + right
        return self._plain(Query(*(f"a AS l {how} b AS r ON l.i = r.i AND {bound}",) * 2, tuple(columns)))

    def _ranked(self) -> Query:
        """The first rows, of an order in which only rows that are the same have the same place."""
        table, kind = self._one(["a", "b"]), self._one(["int", "text", "bool", "time"])
        by = self._expression(self._one(["int", "float", "text", "time"]), COLUMNS, 1)
        partition = self._one(["", f"PARTITION BY {self._expression(kind, COLUMNS, 1)} "])
        nulls = self._one(["", " NULLS FIRST", " NULLS LAST"])
        order = ", ".join([f"{by}{self._one(['', ' DESC'])}{nulls}", *(name for name, _ in COLUMNS)])
        number = f"ROW_NUMBER() OVER ({partition}ORDER BY {order})"
        bound = f"<= {self._random.randint(1, 4)}"
        if self._random.random() < 0.3:
            text = f"SELECT i, s, ts FROM {table}{self._where(COLUMNS)} QUALIFY {number} {bound}"
            return Query(text, text, (("i", "int"), ("s", "text"), ("ts", "time")))
        rows = f"(SELECT *, {number} AS rn FROM {table}{self._where(COLUMNS)}) AS q WHERE rn {bound}"
        columns = self._one(["i, rn, s", "rn + i AS r, s", "s, i"])
        text = f"SELECT {columns} FROM {rows}"
        return Query(
            text, text, tuple((name.split()[-1], "int") for name in columns.split(", ") if name != "s")
        )

    def _distinct(self) -> Query:
        inner = self._one([self._plain, self._grouped, self._union])()
        names = ", ".join(name for name, _ in inner.columns)
        return Query(
            *(f"SELECT DISTINCT {names} FROM ({text}) AS q" for text in (inner.ours, inner.theirs)),
            inner.columns,
        )

    def _union(self) -> Query:
        first = self._one([self._plain, self._grouped])()
        items = [self._expression(kind, COLUMNS, 1) for _, kind in first.columns]
        other = f"SELECT {', '.join(items)} FROM {self._one(['a', 'b'])}{self._where(COLUMNS)}"
        return Query(f"{first.ours} UNION ALL {other}", f"{first.theirs} UNION ALL {other}", first.columns)

    def _nested(self) -> Query:
        inner = self._one(
            [self._plain, self._windowed, self._union, self._grouped, self._joined, self._ranked]
        )()
        sources = (f"({inner.ours}) AS q", f"({inner.theirs}) AS q")
        return self._one([self._plain, self._grouped])(Query(*sources, inner.columns))
