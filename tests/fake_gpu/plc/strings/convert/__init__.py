"""What stands for pylibcudf.strings.convert."""

from fake_gpu.plc.strings.convert import convert_booleans, convert_integers

__all__ = ["convert_booleans", "convert_integers"]
