"""Seeded events: of every 50, one is a person, three are auctions and 46 are bids, as in the suite's generator.

Ids count up in the order of event time. Half of the bids go to one of the newest hundred auctions, which changes with
each hundred, and three quarters come from one person in a hundred; the others are spread over the newest ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

START = datetime(2026, 1, 1, 10, 59, 30)
LATENESS_S = 4
"""The most event time by which an event may be out of order."""
LONGEST_AUCTION_S = 20
"""The longest time from the beginning of an auction to its end."""

_EVENTS, _AUCTIONS, _BIDS = 50, 3, 46
_FIRST_ID, _NEW_AUCTIONS, _NEW_PERSONS = 1_000, 100, 1_000
_FIRST_NAMES = (
    "Peter",
    "Paul",
    "Luke",
    "John",
    "Saul",
    "Vicky",
    "Kate",
    "Julie",
    "Sarah",
    "Deiter",
    "Walter",
)
_LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
_CITIES = (
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
)
_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
_HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """The three streams.

    Parameters
    ----------
    count
        Number of events, of all kinds.
    per_second
        Events in a second of event time.
    seed
        Of the random numbers.
    disorder
        Whether events come out of order, by less than `LATENESS_S`.
    """

    count: int
    per_second: int = 10_000
    seed: int = 0
    disorder: bool = False

    @cached_property
    def persons(self) -> pl.DataFrame:
        """Persons who have registered."""
        epoch, random = np.arange(0, self.count, _EVENTS) // _EVENTS, self._random(1)
        count = len(epoch)
        first, last = _chosen(random, _FIRST_NAMES, count), _chosen(random, _LAST_NAMES, count)
        frame = pl.DataFrame(
            {
                "id": _FIRST_ID + epoch,
                "name": first + " " + last,
                "email_address": last + "@" + first + ".com",
                "credit_card": pl.Series(random.integers(10**15, 10**16, count)).cast(pl.String),
                "city": _chosen(random, _CITIES, count),
                "state": _chosen(random, _STATES, count),
                "date_time": self._times(epoch * _EVENTS),
                "extra": _text(random, count),
            }
        )
        return self._ordered(frame, random)

    @cached_property
    def auctions(self) -> pl.DataFrame:
        """Auctions that have begun."""
        number, random = self._events(1, _AUCTIONS), self._random(2)
        count, epoch = len(number), number // _EVENTS
        first_bid = _prices(random, count)
        times = self._times(number)
        frame = pl.DataFrame(
            {
                "id": _FIRST_ID + epoch * _AUCTIONS + number % _EVENTS - 1,
                "item_name": "item " + _text(random, count),
                "description": _text(random, count),
                "initial_bid": first_bid,
                "reserve": first_bid + _prices(random, count),
                "date_time": times,
                "expires": times
                + pl.Series(random.integers(1_000_000, LONGEST_AUCTION_S * 1_000_000, count)).cast(
                    pl.Duration("us")
                ),
                "seller": _FIRST_ID + _recent(random, epoch, _NEW_PERSONS, hot=0.75),
                "category": 10 + random.integers(0, 5, count),
                "extra": _text(random, count),
            }
        )
        return self._ordered(frame, random)

    @cached_property
    def bids(self) -> pl.DataFrame:
        """Bids on auctions."""
        number, random = self._events(1 + _AUCTIONS, _BIDS), self._random(3)
        count, epoch = len(number), number // _EVENTS
        channel = random.integers(0, 10_000, count)
        hot = random.random(count) < 0.5
        names = pl.Series([*_HOT_CHANNELS, *(f"channel-{each}" for each in range(10_000))])
        path = pl.Series(random.integers(0, 1 << 40, count))
        frame = pl.DataFrame(
            {
                "auction": _FIRST_ID
                + _recent(random, epoch * _AUCTIONS + _AUCTIONS - 1, _NEW_AUCTIONS, hot=0.5),
                "bidder": _FIRST_ID + _recent(random, epoch, _NEW_PERSONS, hot=0.75),
                "price": _prices(random, count),
                "channel": names.gather(np.where(hot, channel % 4, channel + 4)),
                "path": path,
                "date_time": self._times(number),
                "extra": _text(random, count),
            }
        ).with_columns(
            pl.concat_str(
                pl.lit("https://www.nexmark.com/"),
                pl.col("path") % 977,
                pl.lit("/"),
                pl.col("path") % 4441,
                pl.lit("/"),
                pl.col("path") % 131,
                pl.lit("/item.htm?query=1"),
                pl.when(pl.col("path") % 10 > 0)
                .then(pl.concat_str(pl.lit("&channel_id="), "path"))
                .otherwise(pl.lit("")),
            ).alias("url")
        )
        columns = ("auction", "bidder", "price", "channel", "url", "date_time", "extra")
        return self._ordered(frame.select(columns), random)

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def _events(self, first: int, many: int) -> Numbers:
        """The numbers of the events of one kind, which are `many` of each 50, from the one with number `first`."""
        numbers = np.arange(self.count)
        offset = numbers % _EVENTS
        return numbers[(offset >= first) & (offset < first + many)]

    def _times(self, numbers: Numbers) -> pl.Series:
        start = int(START.timestamp() * 1_000_000) if START.tzinfo else _microseconds(START)
        return pl.Series(start + numbers * 1_000_000 // self.per_second).cast(pl.Datetime("us"))

    def _ordered(self, frame: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
        """In the order in which events come."""
        if not self.disorder:
            return frame
        late = pl.Series("late", random.integers(0, LATENESS_S * 1_000_000, frame.height))
        arrival = frame["date_time"].to_physical() + late
        return frame.with_columns(arrival.alias("arrival")).sort("arrival").drop("arrival")


def _microseconds(time: datetime) -> int:
    return int((time - datetime(1970, 1, 1)).total_seconds()) * 1_000_000


def _recent(random: np.random.Generator, newest: Numbers, many: int, hot: float) -> Numbers:
    """Numbers up to `newest`: with probability `hot` the last full hundred, else one of the `many` newest."""
    cold = newest - np.minimum(random.integers(0, many, len(newest)), newest)
    return np.where(random.random(len(newest)) < hot, newest // 100 * 100, cold)


def _prices(random: np.random.Generator, count: int) -> Numbers:
    return (10 ** (random.random(count) * 6) * 100).astype(np.int64)


def _chosen(random: np.random.Generator, words: tuple[str, ...], count: int) -> pl.Series:
    return pl.Series(words).gather(random.integers(0, len(words), count))


def _text(random: np.random.Generator, count: int) -> pl.Series:
    """Texts of some 40 characters."""
    number = pl.Series(random.integers(0, 1 << 40, count))
    return number.cast(pl.String) + "abc" + (number * 7919).cast(pl.String) + (number % 1009).cast(pl.String)
