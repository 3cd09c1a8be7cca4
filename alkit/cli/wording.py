"""Error messages in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

VALUE = r"""('[^']*'|"[^"]*"|[^\s,;.()]+)"""


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Rewrite the parameters in an error message as options.

    Parameters
    ----------
    message:
        Message of an :class:`alkit.AlkitError`, which speaks of parameters of Python.
    options:
        Options of the command by name of the parameter.

    Examples
    --------
    >>> in_options("all images must have the same size. Try: size=256 to resize them.", {"size": "--size"})
    'all images must have the same size. Try: --size 256 to resize them.'
    >>> in_options("rounds must be an integer >= 0: got -1", {"rounds": "--rounds"})
    '--rounds must be an integer >= 0: got -1'
    >>> in_options("a.png has 16 bits per pixel. Try: grayscale=True.", {"grayscale": "--grayscale"})
    'a.png has 16 bits per pixel. Try: --grayscale.'
    """
    if not options:
        return message
    names = "|".join(map(re.escape, options))
    message = re.sub(rf"^({names})(?= must )", lambda found: options[found[1]], message)
    what, separator, hint = message.partition(". Try: ")

    def as_option(found: re.Match[str]) -> str:
        return options[found[1]] if found[2] == "True" else f"{options[found[1]]} {found[2]}"

    return what + separator + re.sub(rf"(?<![\w.-])({names})={VALUE}", as_option, hint)
