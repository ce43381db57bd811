"""Casts of decimals, by pyarrow: of one scale to another, cut off towards zero."""

import pyarrow as pa
from pylibcudf import traits
from pylibcudf.types import DataType

from fake_gpu.types import arrow_type


def cast(array: pa.Array, source: DataType, target: DataType) -> pa.Array:
    """Cast from or to a decimal.

    Raises
    ------
    NotImplementedError
        The cast overflows, or is between decimals and floats: there the fake knows no device's answer.
    """
    if traits.is_floating_point(source) or traits.is_floating_point(target):
        raise NotImplementedError("the fake casts decimals to and from integers and decimals only")
    try:
        return array.cast(arrow_type(target), safe=False)
    except pa.ArrowInvalid as error:
        raise NotImplementedError(f"the fake lets no decimal overflow: {error}") from error
