"""How an experiment is shown at a prompt and in a notebook: by its rounds, without reading its queries."""

from __future__ import annotations

from alkit.errors import AlkitError
from alkit.experiment.parts import Parts
from alkit.record.grouping import recorded_groups_in_words, recorded_rules, rules_in_words
from alkit.values.shown import MOST_ROWS, count, html_table


def as_text(parts: Parts) -> str:
    """Return one line about an experiment."""
    try:
        rounds, counts = parts.store.outline()
        done = (
            f"{count(len(rounds), 'round')}, {count(rounds[-1].n_labels, 'label')}"
            if rounds
            else count(counts["answers"], "answer")
        )
    except AlkitError as reason:  # a prompt must not fail with its record
        done = f"its record cannot be read: {reason}"
    names = f"{type(parts.strategy).__name__}, {type(parts.learner).__name__}"
    return f"Experiment({str(parts.store.path)!r}: {done}; {names}, {count(len(parts.ids), 'image')})"


def as_html(parts: Parts) -> str:
    """Return the rounds of an experiment as a table."""
    notes = [f"{type(parts.strategy).__name__}, {type(parts.learner).__name__}, {count(len(parts.ids), 'image')}"]
    try:
        rounds, counts = parts.store.outline()
        notes += recorded_groups_in_words(parts.store)
        notes += [f"Rules of selection: {rules_in_words(rules)}."] if (rules := recorded_rules(parts.store)) else []
    except AlkitError as reason:
        return html_table(f"Experiment {parts.store.path}", notes=[*notes, f"Its record cannot be read: {reason}"])
    metrics = list(dict.fromkeys(name for result in rounds for name in result.metrics))
    header = ("round", "labels", *metrics, "seconds")
    rows = [
        (result.round, result.n_labels, *map(result.metrics.get, metrics), sum(result.seconds.values()))
        for result in rounds[-MOST_ROWS:]
    ]
    notes += [f"{count(counts['queries'], 'query')}, {count(counts['answers'], 'answer')}"]
    notes += [f"Round {rounds[-1].round}: {warning}" for warning in rounds[-1].warnings] if rounds else []
    return html_table(f"Experiment {parts.store.path}", header, rows, total=len(rounds), notes=notes)
