"""What `reduce` and `GroupBy` compute."""

from typing import Any

from pylibcudf.aggregation import Kind, RankMethod
from pylibcudf.types import Interpolation, NullPolicy

__all__ = ["Aggregation", "Kind", "RankMethod"]


class Aggregation:
    """A function of many values, with what it was given."""

    def __init__(self) -> None:
        raise ValueError("Aggregation should not be constructed directly")

    _kind: Kind
    options: dict[str, Any]

    def kind(self) -> Kind:
        return self._kind


def _made(kind: Kind, **options: Any) -> Aggregation:
    found = Aggregation.__new__(Aggregation)
    found._kind, found.options = kind, options
    return found


def sum() -> Aggregation:
    return _made(Kind.SUM)


def product() -> Aggregation:
    return _made(Kind.PRODUCT)


def min() -> Aggregation:
    return _made(Kind.MIN)


def max() -> Aggregation:
    return _made(Kind.MAX)


def count(null_handling: NullPolicy = NullPolicy.INCLUDE) -> Aggregation:
    return _made(Kind.COUNT_ALL if null_handling == NullPolicy.INCLUDE else Kind.COUNT_VALID)


def any() -> Aggregation:
    return _made(Kind.ANY)


def all() -> Aggregation:
    return _made(Kind.ALL)


def sum_of_squares() -> Aggregation:
    return _made(Kind.SUM_OF_SQUARES)


def mean() -> Aggregation:
    return _made(Kind.MEAN)


def variance(ddof: int = 1) -> Aggregation:
    return _made(Kind.VARIANCE, ddof=ddof)


def std(ddof: int = 1) -> Aggregation:
    return _made(Kind.STD, ddof=ddof)


def median() -> Aggregation:
    return _made(Kind.MEDIAN)


def quantile(quantiles: list[float], interp: Interpolation = Interpolation.LINEAR) -> Aggregation:
    return _made(Kind.QUANTILE, quantiles=quantiles, interp=interp)


def argmax() -> Aggregation:
    return _made(Kind.ARGMAX)


def argmin() -> Aggregation:
    return _made(Kind.ARGMIN)


def nunique(null_handling: NullPolicy = NullPolicy.EXCLUDE) -> Aggregation:
    return _made(Kind.NUNIQUE, null_handling=null_handling)


def nth_element(n: int, null_handling: NullPolicy = NullPolicy.INCLUDE) -> Aggregation:
    return _made(Kind.NTH_ELEMENT, n=n, null_handling=null_handling)
