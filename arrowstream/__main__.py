"""Entry point of ``python -m arrowstream``: the command line, where its script is not on the path."""

from arrowstream.cli.main import main

main()
