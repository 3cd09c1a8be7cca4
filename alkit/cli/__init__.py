"""The command line, with one module per command. An error is printed as one line; with ``--debug``, as a traceback."""

from __future__ import annotations

import errno
import functools
import gc
import sys
import traceback
from types import TracebackType
from typing import Any

import typer

import alkit
from alkit.cli import (
    add,
    ask,
    assign,
    change,
    check,
    compare,
    demo,
    export,
    features,
    fit,
    importing,
    learners,
    new_strategy,
    page,
    predict,
    remove,
    repair,
    review,
    run,
    serve,
    start,
    status,
    strategies,
    take_back,
    tell,
)
from alkit.cli.printing import clean_messages, echo
from alkit.cli.surroundings import shield
from alkit.cli.usage import is_usage_error, options_of, tidy_help, usage_message
from alkit.cli.wording import for_command_line
from alkit.errors import AlkitError
from alkit.report.progress import StoppedError

app = typer.Typer(
    name="alkit",
    help="Active learning for image annotation: selects the images that are most worth labelling.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"alkit {alkit.__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version of alkit and exit."
    ),
) -> None:
    """Options of every command. :func:`main` handles ``--debug``, which may stand anywhere on the command line."""


CAMPAIGN = "Campaigns with annotators"
PLUGINS = "Strategies, feature extractors and learners"
TRIAL = "Simulations, with masks that exist already"

app.command("start", rich_help_panel=CAMPAIGN)(start.start)
app.command("change", rich_help_panel=CAMPAIGN)(change.change)
app.command("ask", rich_help_panel=CAMPAIGN)(ask.ask)
app.command("tell", rich_help_panel=CAMPAIGN)(tell.tell)
app.command("import", rich_help_panel=CAMPAIGN)(importing.import_labels)
app.command("add", rich_help_panel=CAMPAIGN)(add.add)
app.command("remove", rich_help_panel=CAMPAIGN)(remove.remove)
app.command("status", rich_help_panel=CAMPAIGN)(status.status)
app.command("page", rich_help_panel=CAMPAIGN)(page.page)
app.command("serve", rich_help_panel=CAMPAIGN)(serve.serve)
app.command("fit", rich_help_panel=CAMPAIGN)(fit.fit)
app.command("review", rich_help_panel=CAMPAIGN)(review.review)
app.command("reject", rich_help_panel=CAMPAIGN)(take_back.reject)
app.command("withdraw", rich_help_panel=CAMPAIGN)(take_back.withdraw)
app.command("assign", rich_help_panel=CAMPAIGN)(assign.assign)
app.command("predict", rich_help_panel=CAMPAIGN)(predict.predict)
app.command("export", rich_help_panel=CAMPAIGN)(export.export)
app.command("check", rich_help_panel=CAMPAIGN)(check.check)
app.command("repair", rich_help_panel=CAMPAIGN)(repair.repair)
app.command("demo", rich_help_panel=TRIAL)(demo.demo)
app.command("run", rich_help_panel=TRIAL)(run.run)
app.command("compare", rich_help_panel=TRIAL)(compare.compare)
app.command("strategies", rich_help_panel=PLUGINS)(strategies.strategies)
app.command("features", rich_help_panel=PLUGINS)(features.features)
app.command("learners", rich_help_panel=PLUGINS)(learners.learners)
app.command("new-strategy", rich_help_panel=PLUGINS)(new_strategy.new_strategy)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with 0 only on success."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    # Imports and the rows of a record create objects that stay. The default looks through all of them again and again.
    gc.set_threshold(10_000, 10, 10)
    # A file name may be invalid Unicode, and a terminal may lack characters.
    if callable(reconfigure := getattr(sys.stdout, "reconfigure", None)):
        reconfigure(errors="backslashreplace")
    command = _command()
    typed = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    try:
        shield()
        with clean_messages():
            code = command.main(typed, prog_name="alkit", standalone_mode=False)
    except typer.Abort:
        _fail("stopped")
    except StoppedError as reason:
        _fail(str(reason), 130)
    except Exception as reason:
        if debug:
            sys.excepthook = _print_traceback
            raise
        if isinstance(reason, AlkitError):
            _fail(for_command_line(str(reason), options_of(command, arguments), options_of(command, ["start"])))
        if is_usage_error(reason):
            _fail(usage_message(reason), 2)
        if isinstance(reason, OSError) and (refused := _refused(reason)) is not None:
            _fail(refused)
        from alkit.oracles.labelstudio.secrets import without_secrets

        what = f"unexpected {type(reason).__name__}: {without_secrets(str(reason))}"
        _fail(f"{what} (this is a bug in alkit; --debug shows the traceback)")
    if code == 130:  # Typer's code for Ctrl-C
        _fail("stopped", 130)
    sys.exit(code or 0)


@functools.cache
def _command() -> Any:
    """Return the commands with all their options."""
    command = typer.main.get_command(app)
    tidy_help(command)
    return command


def _print_traceback(kind: type[BaseException], reason: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without secrets and control characters."""
    from alkit.oracles.labelstudio.secrets import without_secrets

    lines = "".join(traceback.format_exception(kind, reason, trace)).splitlines()
    echo(*map(without_secrets, lines), err=True)


def _refused(reason: OSError) -> str | None:
    """Return a message about an error of the system that is not alkit's; None if it is another error.

    Whatever a command reads or writes can be out of reach or on a full disk, and so can its own output.
    """
    if reason.filename is None:
        full = reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        return f"the output cannot be written ({reason.strerror}); what was done is kept" if full else None
    if reason.errno in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EIO,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    ):
        return f"cannot read or write {reason.filename} ({reason.strerror})"
    return None


def _fail(message: str, code: int = 1) -> None:
    echo(f"alkit: {message}", err=True)
    sys.exit(code)
