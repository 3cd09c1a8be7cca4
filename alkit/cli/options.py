"""Options that several commands have, each described once."""

from pathlib import Path
from typing import Annotated

import typer

CHOICE, NETWORK, PEOPLE = "Which images are chosen", "The network and its training", "People and their answers"
"""Under these headings the longer commands list their options."""

Strategy = Annotated[
    str,
    typer.Option(
        help="A name that `alkit strategies` lists, or a TOML file that describes one. If it needs features and "
        "brings none of its own, it gets those of the learner's network after self-supervised training.",
        rich_help_panel=CHOICE,
    ),
]
Size = Annotated[int | None, typer.Option(help="Working size in pixels; default: the images' own.")]
Seed = Annotated[int, typer.Option(help="All chance comes from it.")]
Initial = Annotated[str | None, typer.Option(help="Another strategy for the first round.", rich_help_panel=CHOICE)]
Classes = Annotated[str, typer.Option(help="Class names, the background first.")]
Grayscale = Annotated[bool, typer.Option(help="Read the images as grayscale.")]
Widths = Annotated[str, typer.Option(help="Channels of the U-Net's levels.", rich_help_panel=NETWORK)]
Epochs = Annotated[str, typer.Option(help="Epochs of the first round and of later ones.", rich_help_panel=NETWORK)]
Lr = Annotated[float, typer.Option(help="Learning rate.", rich_help_panel=NETWORK)]
PretextEpochs = Annotated[
    int, typer.Option(help="At most so many epochs of self-supervised training.", rich_help_panel=NETWORK)
]
Members = Annotated[
    int, typer.Option(help="Models of the ensemble, for strategies that need one.", rich_help_panel=NETWORK)
]
WarmStart = Annotated[
    bool, typer.Option(help="Start the learner from the self-supervised weights.", rich_help_panel=NETWORK)
]
Param = Annotated[
    list[str] | None, typer.Option(help="A parameter of the strategy, key=value.", rich_help_panel=CHOICE)
]
Images = Annotated[
    Path | None, typer.Option(help="Where the campaign's images lie now, if they were moved; it is remembered.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Ignore = Annotated[int | None, typer.Option(help="Mask value that does not count.")]
Url = Annotated[str | None, typer.Option(help="Address of Label Studio; its token is in ALKIT_LABEL_STUDIO_TOKEN.")]
Project = Annotated[
    str | None, typer.Option(help="Title or number of the project in Label Studio; default: the record's name.")
]


def class_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas between them.

    >>> class_names("skin, lesion")
    ('skin', 'lesion')
    """
    return tuple(name.strip() for name in text.split(","))
