"""``alkit check``: verify everything in a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from alkit.cli.expanding import expand
from alkit.cli.printing import count, count_rows, echo, quote
from alkit.cli.stores import Record


@expand
def check(store: Record) -> None:
    """Verify every row and every file of a record, and its backups. Nothing is changed.

    Other commands verify only what they read. The exit code is 1 if the record is damaged. Images that were left out
    when the images were last read are listed with the reasons; images are not read again.

    [dim]Example:[/dim]

    [cyan]alkit check campaign.db[/cyan]
    """
    from alkit.cli.records import record_at
    from alkit.cli.remove import unfinished_in_words
    from alkit.cli.wording import left_out_in_words
    from alkit.record.check import check as check_record
    from alkit.record.check import check_server
    from alkit.record.later_backups import later_backups
    from alkit.record.removing import REMOVED, unfinished_removals
    from alkit.record.settings import Settings

    with record_at(store) as record:  # which migrates a record of an earlier schema
        found = (
            check_record(record.path, record.database.copy, record.contents)
            if isinstance(record.path, Path)
            else check_server(record.database, record.contents)
        )
        if isinstance(record.path, Path) and not found.damage:
            found = replace(found, damage=tuple(later_backups(record.path, record.database.copy or record.path)))
        left_out = {} if found.damage else Settings(record).unusable
        unfinished = [] if found.damage else unfinished_removals(record.fact(REMOVED))
    counts = count_rows(found.rows)
    for sentence in found.damage:
        echo(f"damaged: {sentence}")
    for sentence in found.damaged_backups:
        echo(f"damaged backup: {sentence}")
    if found.damaged_backups:
        echo("Delete the damaged backups; `alkit ask` makes new ones.")
    if found.damage:
        echo(f"{store}: {count(len(found.damage), 'damaged part')}. Intact: {counts}.")
        echo(f"Next: alkit repair {quote(store)} --out repaired.db, which saves everything that is intact.")
    if found.damage or found.damaged_backups:
        raise typer.Exit(1)
    for line in unfinished_in_words(store, unfinished):
        echo(line)
    for id, reason in left_out.items():
        echo(f"left out: image {id!r}: {left_out_in_words(reason)}")
    echo(f"{store}: {counts}, {count(found.files, 'file')}. Everything is intact.")
    echo(f"Next: alkit status {quote(store)}")
