"""The `datasetgan` command."""

import sys

import typer

from datasetgan.cli import demo, generators, project, stages
from datasetgan.cli.console import print_error
from datasetgan.errors import DatasetGANError

__all__ = ["app", "main"]

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
        app()
    except DatasetGANError as error:
        print_error(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        print_error("interrupted. The same command goes on where it stopped.")
        sys.exit(130)
