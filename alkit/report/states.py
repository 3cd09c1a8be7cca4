"""The states of queries in words."""

from __future__ import annotations

from alkit.values.queries import State

MEANINGS = {
    State.PENDING: "selected, not sent yet",
    State.ASKED: "sent, no answer yet",
    State.PARTIAL: "some of the wanted annotators have answered",
    State.ANSWERED: "labelled, not trained on yet",
    State.CONSUMED: "the last model was trained or evaluated on it",
    State.STALE: "revised since a model was trained on it",
    State.SKIPPED: "will not be labelled",
    State.REJECTED: "sent back, not answered again yet",
    State.CANCELLED: "withdrawn without a label",
}
