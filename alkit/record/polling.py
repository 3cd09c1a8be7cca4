"""Poll an oracle, and tell its answers from anything else that it returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alkit.arguments.returned import check_returned
from alkit.arguments.words import found
from alkit.errors import OracleError
from alkit.protocols import Oracle
from alkit.values.answers import Answer


def poll(oracle: Oracle) -> tuple[list[Answer], BaseException | None]:
    """Return the answers that an oracle has now, and an error if it returned something else, too, or failed after them.

    A Ctrl-C that comes after some answers is such an error.

    Raises
    ------
    OracleError
        The oracle did not return a collection.
    """
    returned = oracle.poll()
    check_returned(oracle, "poll", returned, Iterable[Any], OracleError)
    answers, strange = list[Answer](), None
    iterator = iter(returned)
    while True:
        try:
            answer = next(iterator)
        except StopIteration:
            break
        except BaseException as reason:
            if not answers:
                raise
            # The oracle may not give the answers before it again.
            return answers, (strange or reason) if isinstance(reason, Exception) else reason
        if isinstance(answer, Answer) and isinstance(answer.id, str):
            answers.append(answer)
        else:
            wrong = f"an answer with the id {found(answer.id)}" if isinstance(answer, Answer) else found(answer)
            strange = strange or OracleError(
                f"{type(oracle).__name__}.poll must return answers",
                got=wrong,
                expected="alkit.Answer(id, label) with the id of an image",
            )
    return answers, strange
