"""Entry point of the command line ``arrowstream``, whose libraries come with the extra ``cli``.

Without that extra it prints one line and exits with 2::

    arrowstream: the command line needs the extra 'cli', ...: pip install 'arrowstream[cli]'
"""

from __future__ import annotations

import sys
from importlib import import_module

from arrowstream.terminal import missing_cli


def main() -> None:
    """Run the command line that `sys.argv` holds; see `arrowstream.cli.commands` for exit codes."""
    try:
        import_module("rich")  # used only after a run, which is too late to find it missing
        from arrowstream.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "click", "rich"):
            raise
        lacking = missing_cli("the command line")
        print(f"arrowstream: {lacking.what}: {lacking.hint}", file=sys.stderr)
        sys.exit(2)
    app(prog_name="arrowstream")


if __name__ == "__main__":  # python -m arrowstream.cli.main
    main()
