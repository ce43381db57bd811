"""Compiles the loops of arrowstream that numba compiles; other processes find the machine code that is kept."""

from importlib import import_module
from pkgutil import walk_packages

import arrowstream.io
from arrowstream.io.compiled import Compiled


def main() -> None:
    """Compile what the modules of `arrowstream.io` define."""
    modules = [
        import_module(found.name) for found in walk_packages(arrowstream.io.__path__, "arrowstream.io.")
    ]
    loops = {each for module in modules for each in vars(module).values() if isinstance(each, Compiled)}
    kept = [loop.machine_code for loop in loops]
    print(f"{len(kept)} compiled loops are kept")


if __name__ == "__main__":
    main()
