"""The command, its verbs' frame, and how a result is printed."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from emolib import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and end, where ``--version`` is given."""
    if wanted:
        print(f"emolib {__version__}")
        raise typer.Exit


@app.callback()
def emolib(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Multimodal emotion recognition with bi-directional cross-attention,
    as reproducible notebooks.

    Start with `emolib run`: the whole pipeline on generated data, about ten minutes on two cores.
    """


def verb(examples: str, *, before: str = "") -> Callable[[Any], Any]:
    """A verb of the command; ``examples``, one a line, close its help;
    ``before``: paragraphs that stand before them.
    """
    lines = [f"- `{line}`" for line in examples.split("\n")]
    return app.command(epilog="\n\n".join([*filter(None, [before]), "**Examples:**", *lines]))


def output(result: Any, as_json: bool, text: str) -> None:
    """Print a result for people, or as JSON."""
    print(json.dumps(result, indent=2, default=str) if as_json else text)
