"""The whitelist of Polars' functions that look at one row only, by their names in serialised expressions.

Any other function is refused. `ROW_WISE` gives, for every family of functions, those whose result in a row depends
on that row alone. `WITHIN_A_LIST` adds those that look at several values but are sound inside ``list.eval``, where
the values are those of one row. `REASONS` says why the most common of the rest are refused, and what to write
instead.
"""

from __future__ import annotations


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


ROW_WISE: dict[str, frozenset[str]] = {
    "": _names(
        "Abs AsStruct Atan2 Ceil Clip Coalesce Cut Erf Erfc Exp FillNull Floor Hash Log Log1p",
        "MaxHorizontal MeanHorizontal MinHorizontal Negate Rechunk Reinterpret RepeatBy Replace",
        "ReplaceStrict Round RoundSF Sign SumHorizontal ToPhysical Truncate FillNullWithStrategy Bin",
    ),
    "Trigonometry": _names(
        "ArcCos ArcCosh ArcSin ArcSinh ArcTan ArcTanh Cos Cosh Cot Degrees Radians Sin Sinh Tan Tanh"
    ),
    "Pow": _names("Cbrt Generic Sqrt"),
    "Bitwise": _names("CountOnes CountZeros LeadingOnes LeadingZeros TrailingOnes TrailingZeros"),
    "Boolean": _names(
        "AllHorizontal AnyHorizontal IsBetween IsClose IsFinite IsIn IsInfinite IsNan IsNotNan IsNotNull",
        "IsNull Not",
    ),
    # Polars 2 writes functions of `sql_expr` that follow the rules of SQL in this way.
    "Sql": _names("Binary IsIn Round ToFloat"),
    "Business": _names("AddBusinessDay BusinessDayCount IsBusinessDay"),
    "Range": _names("DateRanges DatetimeRanges IntRanges LinearSpaces TimeRanges"),
    "BinaryExpr": _names(
        "Base64Decode Base64Encode Contains EndsWith Get Head HexDecode HexEncode Reinterpret Size Slice",
        "StartsWith Tail",
    ),
    "Categorical": _names("EndsWith LenBytes LenChars Slice StartsWith To"),
    "StringExpr": _names(
        "Base64Decode Base64Encode ConcatHorizontal Contains ContainsAny CountMatches EndsWith EscapeRegex",
        "Extract ExtractAll ExtractGroups ExtractMany Find FindMany Format Head HexDecode HexEncode",
        "JsonPathMatch LenBytes LenChars Lowercase Normalize PadEnd PadStart Replace",
        "ReplaceMany Reverse Slice Split SplitExact SplitN SplitRegex StartsWith StripChars StripCharsEnd",
        "StripCharsStart StripPrefix StripSuffix Strptime Tail Titlecase ToDecimal ToInteger Uppercase",
        "ZFill",
    ),
    "TemporalExpr": _names(
        "BaseUtcOffset CastTimeUnit Century Combine ConvertTimeZone DSTOffset Date Datetime",
        "DatetimeFunction Day DaysInMonth Duration Hour IsLeapYear IsoYear Microsecond Millennium",
        "Millisecond Minute Month MonthEnd MonthStart Nanosecond OffsetBy OrdinalDay Quarter Replace",
        "ReplaceTimeZone Round Second Time TimeStamp ToString TotalDays TotalHours TotalMicroseconds",
        "TotalMilliseconds TotalMinutes TotalNanoseconds TotalSeconds Truncate Week WeekDay WithTimeUnit",
        "Year",
    ),
    "StructExpr": _names(
        "Drop FieldByName JsonEncode MapFieldNames PrefixFields RenameFields SelectFields SuffixFields",
        "WithFields",
    ),
    "ListExpr": _names(
        "All Any ArgMax ArgMin Concat Contains CountMatches Diff DropNulls Gather GatherEvery Get Join",
        "Length Max Mean Median Min NUnique Reverse SetOperation Shift Slice Sort Std Sum ToArray ToMap",
        "ToStruct Unique Var",
    ),
    "ArrayExpr": _names(
        "All Any ArgMax ArgMin Concat Contains CountMatches Dot Get Join Length Max Mean Median Min",
        "NUnique Reverse Shift Slice Sort Std Sum ToList ToStruct Unique Var",
    ),
    "MapExpr": _names("ContainsKey Entries Get Keys Length Values"),
}

CONDITIONAL: dict[str, frozenset[str]] = {
    "": _names("Bin FillNullWithStrategy Hash Replace ReplaceStrict ToPhysical"),
    "Boolean": _names("IsIn"),
    "Sql": _names("IsIn"),
    "Business": _names("AddBusinessDay BusinessDayCount IsBusinessDay"),
    "StringExpr": _names("ContainsAny ExtractMany FindMany ReplaceMany Strptime"),
    "ListExpr": _names("Mean Sum"),
    "ArrayExpr": _names("Sum"),
}
"""Functions of `ROW_WISE` that look at one row only with some arguments and types, which the plan's check knows."""

WITHIN_A_LIST: dict[str, frozenset[str]] = {
    "": _names(
        "ArgMax ArgMin ArgSort ArgUnique ArgWhere CumCount CumMax CumMin CumProd CumSum Diff DropNans",
        "DropNulls Entropy EwmMean EwmStd EwmVar GatherEvery Interpolate Kurtosis Mode NullCount PctChange",
        "PeakMax PeakMin Product Quantile RLEID Rank Reverse RollingExpr Shift Skew TopK Unique",
    ),
    "Bitwise": _names("And Or Xor"),
    "Boolean": _names(
        "All Any HasNulls IsDuplicated IsEmpty IsFirstDistinct IsLastDistinct IsSorted IsUnique"
    ),
    "Range": _names("IntRange"),
}

ONE_VALUE: dict[str, frozenset[str]] = {
    "": _names("ArgMax ArgMin Entropy Kurtosis NullCount Product Quantile Skew"),
    "Bitwise": _names("And Or Xor"),
    "Boolean": _names("All Any HasNulls IsEmpty IsSorted"),
}
"""Functions of `WITHIN_A_LIST` that give one value for all values of a list."""

SCAN = "a running value goes into scan(...)"
WINDOW = "an aggregate goes into window(...) or reduce(...)"
SO_FAR = {"Sum": "cum_sum", "Min": "cum_min", "Max": "cum_max", "Count": "cum_count", "Product": "cum_prod"}
"""The running forms of aggregates."""
STEP = "make it a step of its own: .filter(...) or .explode(...)"
ORDER = "a stream has no end to sort or compare against: do it inside window(...).agg(...)"
LIMIT = "to stop after some rows use run(limit=...) or preview(...)"
RANDOM = "the result would differ from run to run: draw the numbers before they enter the stream"
PYTHON = (
    "the engine cannot see into Python functions: write it as Polars expressions, with pl.sum_horizontal(...) and "
    "its like in place of fold and reduce, and "
    'pl.struct("a", (pl.col("a") + pl.col("b")).alias("b")) in place of cum_sum_horizontal("a", "b")'
)
JSON = (
    "Polars reads the texts of a batch as one array, where a broken one may join the next: json_path_match() gives a "
    'single value; map(fn, frame="polars") with pl.read_ndjson(...) reads objects, a line each'
)
NUMBER = "rows have no number in a stream: put one into the source, or count with scan(...)"

REASONS: dict[str, str] = {
    **dict.fromkeys(
        _names(
            "CumCount CumMax CumMin CumProd CumSum Diff EwmMean EwmMeanBy EwmStd EwmSum EwmSumBy EwmVar",
            "Interpolate InterpolateBy PctChange RLE RLEID Shift FillNullWithStrategy IsFirstDistinct",
            "IsLastDistinct PeakMax PeakMin Cumulative",
        ),
        SCAN,
    ),
    **dict.fromkeys(
        _names(
            "Agg Len All Any And Or Xor HasNulls NullCount NUnique ApproxNUnique ApproxQuantile ArgMax",
            "ArgMin Entropy Hist IsEmpty IsSorted Kurtosis MaxBy MinBy Mode Quantile Skew",
            "UniqueCounts ValueCounts Correlation RollingExpr RollingExprBy ConcatVertical Rolling",
            "LowerBound UpperBound",
        ),
        WINDOW,
    ),
    **{name: f"{WINDOW}; {running}() in scan(...) gives it so far" for name, running in SO_FAR.items()},
    **dict.fromkeys(
        _names(
            "Sort SortBy Rank TopK TopKBy ArgSort ArgUnique Unique IsUnique IsDuplicated QCut Reverse",
            "SearchSorted IndexOf Gather GatherEvery SetSortedFlag",
        ),
        ORDER,
    ),
    **dict.fromkeys(_names("Filter DropNulls DropNans ArgWhere Explode"), STEP),
    **dict.fromkeys(_names("IntRange DateRange DatetimeRange TimeRange LinearSpace Repeat"), NUMBER),
    **dict.fromkeys(_names("Over Window"), "per-group values go into reduce(by=...) or scan(by=...)"),
    "AnonymousFunction": PYTHON,
    "JsonDecode": JSON,
    "Slice": LIMIT,
    "Random": RANDOM,
    "Sample": RANDOM,
}
"""The text to write instead, by the name of the refused node or function."""
