"""Error messages in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

VALUE = r"""('[^']*'|"[^"]*"|[^\s,;.()]+)"""
COMMANDS = "ask|tell|fit|withdraw|reject"


def for_command_line(message: str, options: Mapping[str, str]) -> str:
    """Rewrite an error message in the words of the command line: parameters as options, and methods as commands.

    Parameters
    ----------
    message:
        Message of an :class:`alkit.AlkitError`, in the words of Python.
    options:
        Options of the command by name of the parameter.

    Examples
    --------
    >>> for_command_line("all images must have the same size. Try: size=256 to resize them.", {"size": "--size"})
    'all images must have the same size. Try: --size 256 to resize them.'
    >>> for_command_line("rounds must be an integer >= 0: got -1", {"rounds": "--rounds"})
    '--rounds must be an integer >= 0: got -1'
    >>> for_command_line("a.png has 16 bits per pixel. Try: grayscale=True.", {"grayscale": "--grayscale"})
    'a.png has 16 bits per pixel. Try: --grayscale.'
    >>> for_command_line("warm_start must have a network. Try: warm_start=None.", {"warm_start": "--warm-start"})
    '--warm-start must have a network. Try: no --warm-start.'
    >>> for_command_line("the model is older than the labels. Try: fit() first.", {})
    'the model is older than the labels. Try: alkit fit first.'
    """
    what, separator, hint = message.partition(". Try: ")
    hint = re.sub(rf"(?<![\w.])(?:experiment\.)?({COMMANDS})\(\)", r"alkit \1", hint)
    if "features" in options:
        hint = hint.replace("alkit.Reconstruction()", f"{options['features']} reconstruction")
    if not options:
        return what + separator + hint
    names = "|".join(map(re.escape, options))
    what = re.sub(rf"^({names})(?= must )", lambda found: options[found[1]], what)

    def as_option(found: re.Match[str]) -> str:
        option = options[found[1]]
        return {"True": option, "None": f"no {option}"}.get(found[2], f"{option} {found[2]}")

    return what + separator + re.sub(rf"(?<![\w.-])({names})={VALUE}", as_option, hint)
