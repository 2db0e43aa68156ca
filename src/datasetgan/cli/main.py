"""The `datasetgan` command."""

import re
import sys

import typer
from typer.exceptions import TyperException

from datasetgan.cli import demo, generators, project, stages
from datasetgan.cli.console import print_error
from datasetgan.errors import DatasetGANError, unknown_name

__all__ = ["app", "main"]

_INTERRUPTED = 130
_CHOICE = re.compile(
    r"for '(?P<option>[^']+)'.*'(?P<value>.*)' is not one of (?P<valid>.+)\.$", re.DOTALL
)

app = typer.Typer(
    name="datasetgan",
    help="Paint a few images of a generator, then sample labelled images without end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
project.register(app)
stages.register(app)
generators.register(app)
demo.register(app)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from datasetgan import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake ends with one message and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except DatasetGANError as error:
        print_error(str(error))
        sys.exit(2)
    except TyperException as error:
        print_error(_described(error.format_message()))
        sys.exit(2)
    if code == _INTERRUPTED:
        print_error("interrupted. The same command goes on where it stopped.")
    sys.exit(code or 0)


def _described(message: str) -> str:
    """Return what is wrong with an option in the words of the other messages."""
    if (choice := _CHOICE.search(message)) is None:
        return message
    option, value, valid = choice.group("option", "value", "valid")
    names = [name.strip(" '") for name in valid.split(",")]
    return unknown_name(f"value of {option}", value, names)
