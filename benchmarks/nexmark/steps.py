"""The queries as builders.

Each chooses its columns before the event time, so that a file is asked for these alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from arrowstream import Builder
from benchmarks.nexmark.generator import LATENESS_S

_WINDOW, _EVERY = "10s", "2s"
_BID = ("auction", "bidder", "price", "date_time", "extra")
_PRICE = pl.col("price")
_LOW, _HIGH = _PRICE < 10_000, _PRICE >= 1_000_000
_RANKS = {"rank1": _LOW, "rank2": (_PRICE >= 10_000) & (_PRICE < 1_000_000), "rank3": _HIGH}
_DAY = pl.col("date_time").dt.strftime("%Y-%m-%d")
_MINUTE = pl.col("date_time").dt.strftime("%H:%M")
_HOT = ("apple", "google", "facebook", "baidu")


@dataclass(frozen=True)
class Tables:
    """The streams, and the table of q13."""

    person: Builder
    auction: Builder
    bid: Builder
    side_input: pl.DataFrame


def _timed(stream: Builder, *columns: str) -> Builder:
    """Some columns of a stream, with event time."""
    return stream.select(*columns, "date_time").with_event_time("date_time", lateness=LATENESS_S)


def q0(tables: Tables) -> Builder:
    """All bids."""
    return tables.bid.select(*_BID)


def q1(tables: Tables) -> Builder:
    """Prices in another currency."""
    return tables.bid.select(*_BID).with_columns(price=_PRICE * 0.908)


def q2(tables: Tables) -> Builder:
    """Bids on some auctions."""
    return tables.bid.filter(pl.col("auction") % 123 == 0).select("auction", "price")


def q3(tables: Tables) -> Builder:
    """Who sells in a category and in some states."""
    persons = tables.person.filter(pl.col("state").is_in(["OR", "ID", "CA"])).select(
        "id", "name", "city", "state"
    )
    auctions = tables.auction.filter(pl.col("category") == 10).select("id", "seller")
    return auctions.join(persons, left_on="seller", right_on="id").select("name", "city", "state", "id")


def q4(tables: Tables) -> Builder:
    """The mean of the highest bids of a category."""
    highest = _bids_in_time(tables).reduce(by=["id", "category"], final=_PRICE.max())
    return highest.reduce(by="category", mean=pl.col("final").mean())


def q5(tables: Tables) -> Builder:
    """The auctions with the most bids in a window."""
    counts = (
        _timed(tables.bid, "auction")
        .window(_WINDOW, every=_EVERY, on="date_time", by="auction")
        .agg(num=pl.len())
    )
    most = pl.col("auction").filter(pl.col("num") == pl.col("num").max())
    best = counts.window(_EVERY, on="window_start").agg(most, num=pl.col("num").max())
    return best.explode("auction").select("auction", num=pl.col("num").cast(pl.Int64))


def q6(tables: Tables) -> Builder:
    """The mean of the last ten selling prices of a seller, and of the one before."""
    mean = _PRICE.sort_by("date_time", "id").rolling_mean(11, min_samples=1)
    means = _winning(tables).reduce(by="seller", auction=pl.col("id").sort_by("date_time", "id"), mean=mean)
    return means.explode("auction", "mean")


def q7(tables: Tables) -> Builder:
    """The highest bids of a window."""
    highest = pl.col(*_BID).filter(_PRICE.eq(_PRICE.max()))
    bids = _timed(tables.bid, "auction", "bidder", "price", "extra").with_columns(at="date_time")
    found = bids.window(_WINDOW, on="at").agg(highest).explode(*_BID)
    return found.select("auction", "price", "bidder", "date_time", "extra")


def q8(tables: Tables) -> Builder:
    """Persons who have registered and begun an auction in one window."""
    persons = (
        _timed(tables.person, "id", "name").window(_WINDOW, on="date_time", by=["id", "name"]).agg(n=pl.len())
    )
    sellers = _timed(tables.auction, "seller").window(_WINDOW, on="date_time", by="seller").agg(n=pl.len())
    both = persons.join(
        sellers.select("seller", "window_start"),
        left_on="id",
        right_on="seller",
        within="0s",
        time="window_start",
    )
    return both.select("id", "name", starttime="window_start")


def q9(tables: Tables) -> Builder:
    """The winning bid of each auction."""
    return _winning(tables).select("id", "bidder", "price", "date_time")


def q10(tables: Tables) -> Builder:
    """All bids with the day and the minute that name their folder."""
    return tables.bid.select(*_BID, dt=_DAY, hm=_MINUTE)


def q11(tables: Tables) -> Builder:
    """Bids in a session of a person."""
    sessions = (
        _timed(tables.bid, "bidder")
        .window(session=_WINDOW, on="date_time", by="bidder")
        .agg(bid_count=pl.len())
    )
    return _counted(sessions)


def q12(tables: Tables) -> Builder:
    """Bids of a person in a window."""
    return _counted(
        _timed(tables.bid, "bidder").window(_WINDOW, on="date_time", by="bidder").agg(bid_count=pl.len())
    )


def q13(tables: Tables) -> Builder:
    """Bids with a value that is looked up."""
    bids = tables.bid.select("auction", "bidder", "price", "date_time", key=pl.col("auction") % 10_000)
    return bids.join(tables.side_input, on="key").drop("key")


def q14(tables: Tables) -> Builder:
    """Bids in a range of prices, with a kind of time and a count of characters."""
    dollars, hour = _PRICE * 0.908, pl.col("date_time").dt.hour()
    kind = (
        pl.when((hour >= 8) & (hour <= 18))
        .then(pl.lit("dayTime"))
        .when((hour <= 6) | (hour >= 20))
        .then(pl.lit("nightTime"))
        .otherwise(pl.lit("otherTime"))
    )
    count = pl.col("extra").str.count_matches("c", literal=True).cast(pl.Int64)
    bids = tables.bid.filter((dollars > 1_000_000) & (dollars < 50_000_000))
    return bids.select(
        "auction", "bidder", dollars, "date_time", "extra", bid_time_type=kind, c_counts=count
    ).select("auction", "bidder", "price", "bid_time_type", "date_time", "extra", "c_counts")


def q15(tables: Tables) -> Builder:
    """Bids, bidders and auctions of a day, by ranges of prices."""
    return _days(tables.bid, [])


def q16(tables: Tables) -> Builder:
    """The same for each channel, with the last minute."""
    return _days(tables.bid, ["channel"], minute=pl.col("minute").max())


def q17(tables: Tables) -> Builder:
    """Bids and prices of an auction in a day."""
    bids = tables.bid.select("auction", "price", day=_DAY)
    prices = {
        "min_price": _PRICE.min(),
        "max_price": _PRICE.max(),
        "avg_price": _PRICE.mean(),
        "sum_price": _PRICE.sum(),
    }
    ranks = {f"{name}_bids": condition.cast(pl.Int64).sum() for name, condition in _RANKS.items()}
    return bids.group_by("auction", "day").agg(total_bids=pl.len().cast(pl.Int64), **ranks, **prices)


def q18(tables: Tables) -> Builder:
    """The last bid of a person on an auction."""
    return tables.bid.top_k(1, by="date_time", per=["bidder", "auction"])


def q19(tables: Tables) -> Builder:
    """The ten highest bids on each auction."""
    bids = tables.bid.select("auction", "bidder", "price", "channel", "date_time")
    return bids.top_k(10, by=["price", "date_time"], reverse=[False, True], per="auction")


def q20(tables: Tables) -> Builder:
    """Bids with their auction, of one category."""
    auctions = (
        tables.auction.filter(pl.col("category") == 10).drop("extra").rename({"date_time": "auction_time"})
    )
    columns = ("auction", "bidder", "price", "channel", "url", "bid_time", "item_name", "description")
    return (
        tables.bid.rename({"date_time": "bid_time"})
        .join(auctions, left_on="auction", right_on="id")
        .select(*columns, "initial_bid", "reserve", "auction_time", "expires", "seller", "category")
    )


def q21(tables: Tables) -> Builder:
    """Bids with the id of their channel."""
    channel, found = (
        pl.col("channel").str.to_lowercase(),
        pl.col("url").str.extract("(&|^)channel_id=([^&]*)", 2),
    )
    bids = tables.bid.filter((found != "") | channel.is_in(_HOT))
    number = channel.replace_strict(
        dict(zip(_HOT, "0123", strict=True)), default=None, return_dtype=pl.String
    )
    return bids.select("auction", "bidder", "price", "channel", channel_id=pl.coalesce(number, found))


def q22(tables: Tables) -> Builder:
    """Bids with the folders of their address."""
    parts = pl.col("url").str.split("/")
    folders = {f"dir{n}": parts.list.get(n + 2, null_on_oob=True) for n in (1, 2, 3)}
    return tables.bid.select("auction", "bidder", "price", "channel", **folders)


def _counted(windows: Builder) -> Builder:
    count = pl.col("bid_count").cast(pl.Int64)
    return windows.select("bidder", count, starttime="window_start", endtime="window_end")


def _days(bids: Builder, by: list[str], **others: pl.Expr) -> Builder:
    columns = bids.select(*by, "price", "bidder", "auction", day=_DAY, minute=_MINUTE)
    columns = columns.with_columns(
        **{
            f"{rank}_{of}": pl.when(where).then(of)
            for rank, where in _RANKS.items()
            for of in ("bidder", "auction")
        }
    )
    ranks = {f"{name}_bids": condition.cast(pl.Int64).sum() for name, condition in _RANKS.items()}
    counts: dict[str, pl.Expr] = {}
    for of in ("bidder", "auction"):
        counts[f"total_{of}s"] = pl.col(of).n_unique().cast(pl.Int64)
        for rank in _RANKS:
            column = pl.col(f"{rank}_{of}")
            # Rows of other ranks are null, which counts as one more value.
            counts[f"{rank}_{of}s"] = column.n_unique().cast(pl.Int64) - (column.null_count() > 0).cast(
                pl.Int64
            )
    return columns.group_by(*by, "day").agg(**others, total_bids=pl.len().cast(pl.Int64), **ranks, **counts)


def _bids_in_time(tables: Tables) -> Builder:
    auctions = _timed(tables.auction, "id", "category", "seller", "expires")
    bids = _timed(tables.bid, "auction", "bidder", "price").rename({"date_time": "bid_time"})
    both = auctions.join(
        bids, left_on="id", right_on="auction", within=("0s", "20s"), time=("date_time", "bid_time")
    )
    return both.filter(pl.col("bid_time") <= pl.col("expires"))


def _winning(tables: Tables) -> Builder:
    bids = _bids_in_time(tables).drop("date_time").rename({"bid_time": "date_time"})
    return bids.top_k(1, by=["price", "date_time"], reverse=[False, True], per="id")


QUERIES: dict[str, Callable[[Tables], Builder]] = {
    each.__name__: each
    for each in (
        *(q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11),
        *(q12, q13, q14, q15, q16, q17, q18, q19, q20, q21, q22),
    )
}
"""The queries by name."""
