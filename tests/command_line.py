"""The commands of the command line, called in this process."""

from typer.testing import CliRunner

from arrowstream.cli.commands import app


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr of a command; raise what it does not catch."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
