"""Python imports this at its start, in each process of a run: modules of arrowstream come with their probes."""

import builtins
import marshal
import mmap
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

FOLDER = Path(os.environ["ARROWSTREAM_PROBES"])


class Probed(SourceFileLoader):
    """Loads a module from its code with probes, or from its source where that is another checkout's."""

    def get_code(self, fullname: str) -> CodeType | None:
        with (FOLDER / fullname).open("rb") as file:
            code: CodeType = marshal.load(file)
        return code if code.co_filename == self.path else super().get_code(fullname)


class Finder:
    """Finds modules where the others find them."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "arrowstream" and (FOLDER / fullname).exists():
            for finder in sys.meta_path:
                if finder is not self and (spec := finder.find_spec(fullname, path, target)):
                    if type(spec.loader) is SourceFileLoader:
                        spec.loader = Probed(spec.loader.name, spec.loader.path)
                    return spec
        return None


with (FOLDER / "reached").open("r+b") as reached:
    # Shared: what a process has noted stays, even if it is killed.
    builtins._probes = mmap.mmap(reached.fileno(), 0)  # type: ignore[attr-defined]
sys.meta_path.insert(0, Finder())
