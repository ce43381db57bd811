"""The CUDA libraries, for all modules of this folder: importing this module imports them.

Other modules reach a library through this one at each call (``cuda.plc.unary.is_null(...)``), so that calls are
checked against the libraries' own types, and tests can put others in their place.
"""

import cupy
import cupyx
import pylibcudf as plc
import rmm.pylibrmm.stream

__all__ = ["cupy", "cupyx", "plc", "rmm"]
