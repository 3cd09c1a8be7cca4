"""Loggers whose messages are one line without control characters, because they name files and answers of strangers."""

from __future__ import annotations

import logging

from alkit.errors import one_line


class OneLine(logging.Filter):
    """Makes a message one line that cannot steer a terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the message, and keep it."""
        record.msg, record.args = one_line(record.getMessage()), ()
        return True


def logger(name: str) -> logging.Logger:
    r"""Return the logger of this name, in which every message is one line.

    >>> record = logging.makeLogRecord({"msg": "%s is damaged", "args": ("a\n\x1b[2J.png",)})
    >>> logger("alkit.example").filter(record), record.getMessage()
    (True, 'a \\x1b[2J.png is damaged')
    """
    found = logging.getLogger(name)
    if not any(isinstance(one, OneLine) for one in found.filters):
        found.addFilter(OneLine())
    return found
