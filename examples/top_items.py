"""The items with the most orders in each minute, as a SQL query over a stream that is out of order.

    python examples/top_items.py

It writes an hour of made-up orders into `orders/` first, of which some come up to ten seconds late, and prints the
pipeline that the query becomes. The same query as a job is `top_items.toml`.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from arrowstream import Pipeline, Sink, Source

ORDERS = "orders/orders.parquet"
TOP = "out/top_items.parquet"
ROWS = 20_000

QUERY = """
SELECT window_start AS minute, item, orders, revenue
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY orders DESC, revenue DESC) AS place
    FROM (
        SELECT o.window_start, o.window_end, i.name AS item, count(*) AS orders, sum(o.quantity * i.price) AS revenue
        FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(at), INTERVAL '1' MINUTE)) AS o
        JOIN items AS i ON o.item = i.id
        GROUP BY o.window_start, o.window_end, i.name
    )
)
WHERE place <= 3
"""


def write_orders(path: str = ORDERS, seed: int = 7) -> None:
    """Write orders in the order in which they come, always the same ones for a seed."""
    draw = random.Random(seed)
    start = datetime(2026, 1, 1, 9)
    rows = []
    for _ in range(ROWS):
        at = draw.uniform(0, 3600)
        rows.append(
            (at + draw.uniform(0, 10), start + timedelta(seconds=at), draw.randrange(8), draw.randint(1, 5))
        )
    rows.sort()
    Path(path).parent.mkdir(exist_ok=True)
    frame = pl.DataFrame([row[1:] for row in rows], ["at", "item", "quantity"], orient="row")
    frame.write_parquet(path)


def items() -> pl.DataFrame:
    """The table that orders are looked up in."""
    names = ("tea", "mint", "mug", "spoon", "sugar", "lemon", "pot", "cup")
    return pl.DataFrame({"id": range(8), "name": names, "price": [4, 2, 9, 3, 1, 1, 25, 7]})


def main() -> None:
    """Write the orders, then run the query over them."""
    write_orders()
    items().write_parquet("orders/items.parquet")
    orders = Source.from_file(ORDERS).with_event_time("at", lateness="10s")
    pipeline = (
        Pipeline.sql(QUERY, orders=orders, items=items()).sink(Sink.to_file(TOP, overwrite=True)).build()
    )
    print(pipeline.explain())
    report = pipeline.run_sync()
    print(f"{report.rows_in:,} orders in, {report.rows_out:,} top items out: {TOP}")


if __name__ == "__main__":
    main()
