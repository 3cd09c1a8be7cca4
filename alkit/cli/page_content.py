"""What the page of a campaign shows, from the options of ``alkit page`` and ``alkit serve``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from alkit.cli import options

if TYPE_CHECKING:
    from alkit.pages.campaign import Campaign, Memory
    from alkit.record.store import Store


@dataclass(frozen=True)
class Content:
    """Options that leave parts of a page out."""

    worst: Annotated[
        int, typer.Option(help="Number of worst predictions to show; 0: none, and the model is not loaded.")
    ] = 6
    map: Annotated[bool, typer.Option(help="Draw the map of the pool.")] = True
    pictures: Annotated[
        bool, typer.Option(help="Show pictures of images; without them, the page can go where the images may not.")
    ] = True
    images: options.Images = None
    learner: options.OwnLearner = None


def gathered(record: Store, name: str, content: Content, memory: Memory | None = None) -> Campaign:
    """Return the campaign in an open record, with what its page shall show, and what earlier pages have made.

    Raises
    ------
    ConfigurationError
        ``--images`` was given, but the pool of the record is not a folder; there is no such learner; or a number is
        out of range.
    """
    from alkit._files import without_tilde
    from alkit.checks import check_integer
    from alkit.cli.named_places import is_named_folder
    from alkit.cli.records import folder_of, moved
    from alkit.cli.wording import left_out_in_words, warning_for_command_line
    from alkit.errors import ConfigurationError
    from alkit.pages.campaign import Wishes, gather
    from alkit.record.settings import Settings
    from alkit.trained.typed import typed_learner

    check_integer("--worst", content.worst, least=0)
    settings, images = Settings(record), content.images
    learner = None if content.learner is None else typed_learner(content.learner, record.path)
    if images is None:
        declared = settings.declared.get("pool")
        form = declared if (folder := folder_of(declared)) and is_named_folder(record, folder) else None
    else:
        form = moved(settings.declared.get("pool"), str(without_tilde(images).absolute()))
        if form is None:
            raise ConfigurationError(
                "--images can be used only if the pool of the record is a folder of images", got=f"--images {images}"
            )
    made_by = "alkit start" if settings.schedule is None else "alkit run"
    return gather(
        record,
        name,
        Wishes(content.worst, content.map, content.pictures, form, learner),
        words=lambda warning: warning_for_command_line(warning, made_by),
        left_out=left_out_in_words,
        memory=memory,
    )
