"""The queries as DuckDB runs them, over all rows at once."""

from __future__ import annotations

from benchmarks.nexmark.queries import QUERIES as OURS

_SECONDS = "INTERVAL '10 seconds'"
_START = f"time_bucket({_SECONDS}, date_time)"
_DAY = "strftime(date_time, '%Y-%m-%d')"
_WINNING = "FROM auction A JOIN bid B ON A.id = B.auction WHERE B.date_time BETWEEN A.date_time AND A.expires"
_FIRST = f"""
    SELECT A.id, A.seller, A.category, B.bidder, B.price, B.date_time {_WINNING}
    QUALIFY row_number() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.date_time) = 1"""


def _in_duckdb(query: str) -> str:
    """A query of ours with the functions that DuckDB has in their place."""
    return (
        query.replace("DATE_FORMAT(date_time, 'yyyy-MM-dd')", _DAY)
        .replace("DATE_FORMAT(date_time, 'HH:mm')", "strftime(date_time, '%H:%M')")
        .replace("COUNT_CHAR(extra, 'c')", "len(extra) - len(replace(extra, 'c', ''))")
    )


QUERIES: dict[str, str] = {
    **{
        name: _in_duckdb(OURS[name])
        for name in ("q0", "q1", "q2", "q3", "q10", "q13", "q14", "q15", "q16", "q17", "q20", "q21")
    },
    "q4": f"""
        SELECT category, avg(final) AS mean
        FROM (SELECT max(B.price) AS final, A.id, A.category {_WINNING} GROUP BY A.id, A.category)
        GROUP BY category""",
    "q5": """
        WITH counts AS (
            SELECT auction, time_bucket(INTERVAL '2 seconds', date_time) - i * INTERVAL '2 seconds' AS start,
                count(*) AS num
            FROM bid, range(5) AS r(i) GROUP BY ALL
        )
        SELECT auction, num FROM counts QUALIFY num >= max(num) OVER (PARTITION BY start)""",
    "q6": f"""
        SELECT seller, id AS auction, avg(price) OVER (
            PARTITION BY seller ORDER BY date_time, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW
        ) AS mean FROM ({_FIRST})""",
    "q7": f"""
        SELECT auction, price, bidder, date_time, extra FROM bid
        QUALIFY price = max(price) OVER (PARTITION BY {_START})""",
    "q8": f"""
        SELECT P.id, P.name, P.starttime
        FROM (SELECT DISTINCT id, name, {_START} AS starttime FROM person) P
        JOIN (SELECT DISTINCT seller, {_START} AS starttime FROM auction) A
        ON P.id = A.seller AND P.starttime = A.starttime""",
    "q9": f"SELECT id, bidder, price, date_time FROM ({_FIRST})",
    "q11": f"""
        SELECT bidder, count(*) AS bid_count, min(date_time) AS starttime, max(date_time) + {_SECONDS} AS endtime
        FROM (
            SELECT *, sum(apart) OVER (PARTITION BY bidder ORDER BY date_time ROWS UNBOUNDED PRECEDING) AS session
            FROM (
                SELECT *, CAST(date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                    >= {_SECONDS} AS INTEGER) AS apart
                FROM bid
            )
        ) GROUP BY bidder, coalesce(session, 0)""",
    "q12": f"""
        SELECT bidder, count(*) AS bid_count, {_START} AS starttime, {_START} + {_SECONDS} AS endtime
        FROM bid GROUP BY ALL""",
    "q18": """
        SELECT auction, bidder, price, channel, url, date_time, extra FROM bid
        QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) = 1""",
    "q19": """
        SELECT auction, bidder, price, channel, date_time FROM bid
        QUALIFY row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time) <= 10""",
    "q22": """
        SELECT auction, bidder, price, channel, nullif(split_part(url, '/', 4), '') AS dir1,
            nullif(split_part(url, '/', 5), '') AS dir2, nullif(split_part(url, '/', 6), '') AS dir3
        FROM bid""",
}
"""The queries by name."""
