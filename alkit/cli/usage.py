"""Errors in how a command was typed, and the columns of its help, in the words of the other messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

KINDS = {"int": "an integer", "float": "a number", "bool": "true or false"}


def is_usage_error(reason: Exception) -> bool:
    """Whether an error comes from how a command was typed."""
    return callable(getattr(reason, "format_message", None))


def usage_message(reason: Any) -> str:
    """Describe such an error: the option first, then what was found and what must hold, then the fix.

    Parameters
    ----------
    reason:
        Error for which :func:`is_usage_error` is true.
    """
    context, parameter = getattr(reason, "ctx", None), getattr(reason, "param", None)
    fix = f"{context.command_path} --help" if context is not None else "alkit --help"
    if (wrong := getattr(reason, "option_name", None)) is not None and (close := getattr(reason, "possibilities", ())):
        fix = " or ".join(sorted(close))
    if type(reason).__name__ == "NoSuchOption":
        return f"{context.command_path if context else 'alkit'} has no option {wrong}. Try: {fix}."
    if parameter is None:
        text, _, close = str(reason.format_message()).partition(" Did you mean ")
        fix = " or ".join(f"alkit {name}" for name in re.findall(r"'(.+?)'", close)) or fix
        return f"{_sentence(text)}. Try: {fix}."
    name = _name(parameter)
    if type(reason).__name__ == "MissingParameter":
        return f"{name} is missing. Try: {fix}."
    return f"{name} {_must(reason)}"


def _must(reason: Any) -> str:
    """Say what must hold for a value, and what was found."""
    errors = getattr(reason.__cause__, "errors", None)
    if not callable(errors):
        return reason.message if reason.message.startswith("must ") else f"is wrong: {_sentence(reason.message)}"
    (error, *_) = errors()
    kind, text = error["type"], str(error["msg"])
    if listed := re.search(r"is not one of (.+?)\.?$", text):
        must = f"one of {listed[1]}"
    else:
        must = KINDS.get(kind.partition("_")[0], _sentence(text))
    return f"must be {must}: got {error['input']!r}"


def _name(parameter: Any) -> str:
    """Return the first long option of a parameter, or an argument by its name."""
    options: list[str] = [option for option in parameter.opts if option.startswith("-")]
    long = [option for option in options if option.startswith("--")]
    return [*long, *options, f"the argument {parameter.name}"][0]


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def tidy_help(command: Any) -> None:
    """Tidy the help of a command and its subcommands.

    A flag is shown without a type, because it takes no value. Lines of a paragraph are joined, so that the terminal
    breaks them where it must.
    """
    import typer

    for parameter in command.get_params(typer.Context(command)):
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    command.help = re.sub(r"(?<=\S)(?: \\)?\n(?=\S)", " ", command.help or "")
    for below in getattr(command, "commands", {}).values():
        tidy_help(below)


def options_of(command: Any, arguments: Sequence[str]) -> dict[str, str]:
    """Return the options of the subcommand in `arguments`, by the name that the parameter has in Python."""
    commands = getattr(command, "commands", {})
    below = next((commands[word] for word in arguments if word in commands), None)
    options = [option for parameter in below.params for option in parameter.opts] if below is not None else []
    return {option.lstrip("-").replace("-", "_"): option for option in options if option.startswith("-")}
