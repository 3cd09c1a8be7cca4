"""Tokens, and how they are kept out of messages, logs, records and tracebacks.

A server may repeat a token: in an error, in the data of a task, or in a header that a library logs.
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from typing import Any
from urllib.parse import quote

TOKEN = "ALKIT_LABEL_STUDIO_TOKEN"
"""Name of the environment variable that holds the token."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts that are this machine: no proxy leads there, and nobody else reads along."""

LONG = 16
"""Least length of a token that is looked for in all texts. A shorter one could be a part of any word."""

LIBRARIES = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""Loggers of the HTTP libraries. At the level DEBUG they log the headers of answers."""

_issued: deque[str] = deque(maxlen=8)  # access tokens of this process; a server accepts one for minutes


def remember_token(access: str) -> None:
    """Keep an access token that a server has issued out of all later texts."""
    if len(access) >= LONG and access not in _issued:
        _issued.append(access)


def without_secrets(text: str, *more: str) -> str:
    """Return a text with ``...`` in place of every token, and of the user name and password in an address.

    Parameters
    ----------
    text:
        The text.
    more:
        Further tokens.

    Examples
    --------
    >>> without_secrets("the proxy http://anna:geheim@proxy:3128 refused abc", "abc")
    'the proxy http://...@proxy:3128 refused ...'
    """
    for token in dict.fromkeys((os.environ.get(TOKEN, "").strip(), *_issued, *more)):
        for form in {token, quote(token, safe="")} - {""}:
            text = re.sub(re.escape(form), "...", text, flags=re.IGNORECASE)
    # What has no @ is matched as well, so that the time grows with the length of the text and not with its square.
    return re.sub(r"://([^@\s'\"]+)(@?)", lambda found: "://...@" if found[2] else found[0], text)


def cleaned(value: Any, *more: str) -> Any:
    """Return a value of JSON without tokens in its texts.

    >>> cleaned({"a": ["0123456789abcdef", 1]}, "0123456789abcdef")
    {'a': ['...', 1]}
    """
    tokens = [one for one in (os.environ.get(TOKEN, "").strip(), *_issued, *more) if len(one) >= LONG]
    if not tokens:
        return value
    pattern = re.compile("|".join(map(re.escape, tokens)), re.IGNORECASE)

    def clean(inner: Any) -> Any:
        if isinstance(inner, str):
            return pattern.sub("...", inner)
        if isinstance(inner, list):
            return [clean(entry) for entry in inner] if any(isinstance(e, str | list | dict) for e in inner) else inner
        if isinstance(inner, dict):
            return {pattern.sub("...", key): clean(entry) for key, entry in inner.items()}
        return inner

    return clean(value)


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


def clean_logs() -> None:
    """Keep tokens out of the logs of the HTTP libraries."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _WithoutSecrets) for one in logger.filters):
            logger.addFilter(_WithoutSecrets())
