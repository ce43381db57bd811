"""What stands for pylibcudf.strings."""

from pylibcudf.strings.side_type import SideType

from fake_gpu.plc.strings import attributes, case, combine, convert, find, padding, replace, slice, strip

__all__ = [
    "SideType",
    "attributes",
    "case",
    "combine",
    "convert",
    "find",
    "padding",
    "replace",
    "slice",
    "strip",
]
