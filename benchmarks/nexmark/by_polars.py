"""The queries as Polars runs them, over all rows at once on its streaming engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

_BID = ("auction", "bidder", "price", "date_time", "extra")
_PRICE, _TIME = pl.col("price"), pl.col("date_time")
_RANKS = {
    "rank1": _PRICE < 10_000,
    "rank2": (_PRICE >= 10_000) & (_PRICE < 1_000_000),
    "rank3": _PRICE >= 1_000_000,
}
_DAY, _MINUTE = _TIME.dt.strftime("%Y-%m-%d"), _TIME.dt.strftime("%H:%M")
_START = _TIME.dt.truncate("10s")
_HOT = ("apple", "google", "facebook", "baidu")


@dataclass(frozen=True)
class Tables:
    """The streams, and the table of q13."""

    person: pl.LazyFrame
    auction: pl.LazyFrame
    bid: pl.LazyFrame
    side_input: pl.LazyFrame


def _q3(tables: Tables) -> pl.LazyFrame:
    persons = tables.person.filter(pl.col("state").is_in(["OR", "ID", "CA"]))
    auctions = tables.auction.filter(pl.col("category") == 10).select("id", "seller")
    return auctions.join(persons, left_on="seller", right_on="id").select("name", "city", "state", "id")


def _in_time(tables: Tables) -> pl.LazyFrame:
    auctions = tables.auction.select("id", "category", "seller", "expires", begin="date_time")
    bids = tables.bid.select("auction", "bidder", "price", "date_time")
    return auctions.join(bids, left_on="id", right_on="auction").filter(_TIME.is_between("begin", "expires"))


def _q4(tables: Tables) -> pl.LazyFrame:
    highest = _in_time(tables).group_by("id", "category").agg(final=_PRICE.max())
    return highest.group_by("category").agg(mean=pl.col("final").mean())


def _q5(tables: Tables) -> pl.LazyFrame:
    panes = tables.bid.group_by("auction", pane=_TIME.dt.truncate("2s")).agg(n=pl.len())
    starts = pl.concat_list([pl.col("pane") - pl.duration(seconds=2 * number) for number in range(5)])
    counts = (
        panes.with_columns(start=starts)
        .explode("start")
        .group_by("auction", "start")
        .agg(num=pl.col("n").sum())
    )
    most = counts.group_by("start").agg(most=pl.col("num").max())
    best = counts.join(most, on="start").filter(pl.col("num") == pl.col("most"))
    return best.select("auction", pl.col("num").cast(pl.Int64))


def _winning(tables: Tables) -> pl.LazyFrame:
    ordered = _in_time(tables).sort("price", "date_time", descending=[True, False])
    return ordered.group_by("id").first()


def _q6(tables: Tables) -> pl.LazyFrame:
    mean = _PRICE.rolling_mean(11, min_samples=1).over("seller")
    return (
        _winning(tables)
        .sort("seller", "date_time", "id")
        .select("seller", "id", mean=mean)
        .rename({"id": "auction"})
    )


def _q7(tables: Tables) -> pl.LazyFrame:
    bids = tables.bid.select(*_BID, start=_START)
    highest = bids.group_by("start").agg(most=_PRICE.max())
    best = bids.join(highest, on="start").filter(pl.col("most") == _PRICE)
    return best.select("auction", "price", "bidder", "date_time", "extra")


def _q8(tables: Tables) -> pl.LazyFrame:
    persons = tables.person.select("id", "name", starttime=_START).unique()
    sellers = tables.auction.select("seller", starttime=_START).unique()
    return persons.join(sellers, left_on=["id", "starttime"], right_on=["seller", "starttime"])


def _q11(tables: Tables) -> pl.LazyFrame:
    apart = _TIME.diff() >= pl.duration(seconds=10)
    bids = tables.bid.select("bidder", "date_time").sort("bidder", "date_time")
    begins = (apart | (pl.col("bidder") != pl.col("bidder").shift())).fill_null(True)
    sessions = bids.with_columns(number=begins.cum_sum())
    grouped = sessions.group_by("bidder", "number").agg(
        bid_count=pl.len().cast(pl.Int64),
        starttime=_TIME.min(),
        endtime=_TIME.max() + pl.duration(seconds=10),
    )
    return grouped.drop("number")


def _q12(tables: Tables) -> pl.LazyFrame:
    counts = tables.bid.group_by("bidder", starttime=_START).agg(bid_count=pl.len().cast(pl.Int64))
    end = (pl.col("starttime") + pl.duration(seconds=10)).alias("endtime")
    return counts.select("bidder", "bid_count", "starttime", end)


def _q13(tables: Tables) -> pl.LazyFrame:
    bids = tables.bid.with_columns(key=pl.col("auction") % 10_000)
    return bids.join(tables.side_input, on="key").select("auction", "bidder", "price", "date_time", "value")


def _q14(tables: Tables) -> pl.LazyFrame:
    dollars, hour = _PRICE * 0.908, _TIME.dt.hour()
    kind = (
        pl.when((hour >= 8) & (hour <= 18))
        .then(pl.lit("dayTime"))
        .when((hour <= 6) | (hour >= 20))
        .then(pl.lit("nightTime"))
        .otherwise(pl.lit("otherTime"))
    )
    count = pl.col("extra").str.count_matches("c", literal=True).cast(pl.Int64)
    bids = tables.bid.filter((dollars > 1_000_000) & (dollars < 50_000_000))
    columns = {"bid_time_type": kind, "date_time": _TIME, "extra": pl.col("extra"), "c_counts": count}
    return bids.select("auction", "bidder", dollars, **columns)


def _days(bids: pl.LazyFrame, by: list[str], **others: pl.Expr) -> pl.LazyFrame:
    ranks = {f"{name}_bids": where.sum().cast(pl.Int64) for name, where in _RANKS.items()}
    counts: dict[str, pl.Expr] = {}
    for of in ("bidder", "auction"):
        counts[f"total_{of}s"] = pl.col(of).n_unique().cast(pl.Int64)
        counts |= {
            f"{rank}_{of}s": pl.col(of).filter(where).n_unique().cast(pl.Int64)
            for rank, where in _RANKS.items()
        }
    return bids.group_by(*by, day=_DAY).agg(**others, total_bids=pl.len().cast(pl.Int64), **ranks, **counts)


def _q17(tables: Tables) -> pl.LazyFrame:
    ranks = {f"{name}_bids": where.sum().cast(pl.Int64) for name, where in _RANKS.items()}
    prices = {
        "min_price": _PRICE.min(),
        "max_price": _PRICE.max(),
        "avg_price": _PRICE.mean(),
        "sum_price": _PRICE.sum(),
    }
    return tables.bid.group_by("auction", day=_DAY).agg(total_bids=pl.len().cast(pl.Int64), **ranks, **prices)


def _q19(tables: Tables) -> pl.LazyFrame:
    columns = ("auction", "bidder", "price", "channel", "date_time")
    ordered = tables.bid.select(*columns).sort("price", "date_time", descending=[True, False])
    return ordered.group_by("auction").head(10)


def _q20(tables: Tables) -> pl.LazyFrame:
    auctions = (
        tables.auction.filter(pl.col("category") == 10).drop("extra").rename({"date_time": "auction_time"})
    )
    joined = tables.bid.rename({"date_time": "bid_time"}).join(auctions, left_on="auction", right_on="id")
    return joined.drop("extra")


def _q21(tables: Tables) -> pl.LazyFrame:
    channel, found = (
        pl.col("channel").str.to_lowercase(),
        pl.col("url").str.extract("(&|^)channel_id=([^&]*)", 2),
    )
    number = channel.replace_strict(
        dict(zip(_HOT, "0123", strict=True)), default=None, return_dtype=pl.String
    )
    bids = tables.bid.filter((found != "") | channel.is_in(_HOT))
    return bids.select("auction", "bidder", "price", "channel", channel_id=pl.coalesce(number, found))


def _q22(tables: Tables) -> pl.LazyFrame:
    parts = pl.col("url").str.split("/")
    folders = {f"dir{n}": parts.list.get(n + 2, null_on_oob=True) for n in (1, 2, 3)}
    return tables.bid.select("auction", "bidder", "price", "channel", **folders)


QUERIES: dict[str, Callable[[Tables], pl.LazyFrame]] = {
    "q0": lambda tables: tables.bid.select(*_BID),
    "q1": lambda tables: tables.bid.select(*_BID).with_columns(price=_PRICE * 0.908),
    "q2": lambda tables: tables.bid.filter(pl.col("auction") % 123 == 0).select("auction", "price"),
    "q3": _q3,
    "q4": _q4,
    "q5": _q5,
    "q6": _q6,
    "q7": _q7,
    "q8": _q8,
    "q9": lambda tables: _winning(tables).select("id", "bidder", "price", "date_time"),
    "q10": lambda tables: tables.bid.select(*_BID, dt=_DAY, hm=_MINUTE),
    "q11": _q11,
    "q12": _q12,
    "q13": _q13,
    "q14": _q14,
    "q15": lambda tables: _days(tables.bid, []),
    "q16": lambda tables: _days(tables.bid, ["channel"], minute=_MINUTE.max()),
    "q17": _q17,
    "q18": lambda tables: tables.bid.sort("date_time").group_by("bidder", "auction").last(),
    "q19": _q19,
    "q20": _q20,
    "q21": _q21,
    "q22": _q22,
}
"""The queries by name."""
