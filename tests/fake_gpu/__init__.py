"""A GPU made of numpy and pyarrow, with the functions of pylibcudf, rmm and CuPy and a device's manners.

`Machine` is one computer with one GPU; its attributes `plc`, `rmm` and `cupy` stand for the packages. Handles
(columns, tables, scalars) hold pyarrow arrays, and the functions compute on them **as libcudf does**, which is
not always as Polars does: IEEE comparisons of NaN, C's integer division, wrap-around. Where libcudf's source
was read, the file is named in a comment. What the fake lacks is missing (an AttributeError), or raises
NotImplementedError: it never answers with another semantics.

What a device minds, the machine minds (`machine.violations`, in words; most raise as well):

- a call without a stream (AssertionError), with a handle of another machine (ValueError);
- a column used on a stream that has not waited for the stream it is made on (AssertionError);
- a host record let go while its asynchronous upload may still read it;
- memory freed on the stream it was made on, while another stream may still use it.

Uploads read host memory as late as they may: when the data is first used, or its stream synchronised.
"""

from fake_gpu.machine import Machine

__all__ = ["Machine"]
