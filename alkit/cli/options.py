"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

CHOICE, NETWORK, PEOPLE = "Which images are selected", "The learner and its training", "People and their answers"
TEST = "A test set in folders of its own"
"""Headings under which the help of the longer commands lists their options."""

Strategy = Annotated[
    str,
    typer.Option(
        help="Strategy that `alkit strategies` lists, or a TOML file that describes one. If it needs features and "
        "brings none of its own, it gets those of --features.",
        rich_help_panel=CHOICE,
    ),
]
Initial = Annotated[str | None, typer.Option(help="Another strategy for the start set.", rich_help_panel=CHOICE)]
Features = Annotated[
    str | None,
    typer.Option(
        help="Feature extractor that `alkit features` lists; default: pretrained if it is installed, but "
        "reconstruction for ssl-cluster and --warm-start.",
        rich_help_panel=CHOICE,
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        help="Parameter of the strategy, such as clusters=5; of the feature extractor, such as features.lr=0.01; or of "
        "the learner, such as learner.batch=4. Repeat it for more.",
        metavar="KEY=VALUE",
        rich_help_panel=CHOICE,
    ),
]
Learner = Annotated[
    str | None,
    typer.Option(
        help="Learner that `alkit learners` lists, or MODULE:NAME of a class or function that makes one, which ask and "
        "fit need again; default: segmentation for masks, classification for classes.",
        rich_help_panel=NETWORK,
    ),
]
OwnLearner = Annotated[
    str | None,
    typer.Option(
        help="Learner of the record, if alkit cannot make it by itself: MODULE:NAME of a class, or of a function "
        "without parameters that returns the learner; or a name that `alkit learners` lists.",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Settings of the learner of masks: strong (default) learns from few labels, by a pre-trained encoder and "
        "augmentation; paper trains a plain U-Net.",
        rich_help_panel=NETWORK,
    ),
]
Widths = Annotated[
    str | None,
    typer.Option(
        help="Channels of the levels of a U-Net without a pre-trained encoder; default: 32,64,128,256,512.",
        rich_help_panel=NETWORK,
    ),
]
Steps = Annotated[
    str | None,
    typer.Option(
        help="Training steps of the first round and of later rounds; default: 300,300 in the recipe strong.",
        rich_help_panel=NETWORK,
    ),
]
Epochs = Annotated[
    str | None,
    typer.Option(
        help="Epochs of the first round and of later rounds, in place of steps; default: 30,10 in the recipe paper.",
        rich_help_panel=NETWORK,
    ),
]
Lr = Annotated[
    float | None,
    typer.Option(help="Learning rate; default: 0.001 for segmentation.", rich_help_panel=NETWORK),
]
PretextEpochs = Annotated[
    int | None,
    typer.Option(
        help="Largest number of epochs of self-supervised training; default: 100 for reconstruction.",
        rich_help_panel=NETWORK,
    ),
]
Members = Annotated[
    int | None,
    typer.Option(
        help="Train an ensemble of so many models; default: 5 for strategies that need an ensemble, else 1 model.",
        rich_help_panel=NETWORK,
    ),
]
WarmStart = Annotated[
    bool,
    typer.Option(
        "--warm-start", help="Start the learner from the weights of the feature extractor.", rich_help_panel=NETWORK
    ),
]


def _size(value: int | None) -> int | None:
    if value is not None and value < 1:
        raise typer.BadParameter(f"must be an integer >= 1: got {value}")
    return value


Size = Annotated[
    int | None,
    typer.Option(callback=_size, help="Working size in pixels; default: the size of the images."),
]
Fit = Annotated[
    Literal["squash", "pad", "crop"],
    typer.Option(
        help="How images of other proportions become images of --size: squash changes their proportions, pad keeps "
        "them and fills the rest, crop cuts the borders off. pad without --size takes the size of the largest image.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Classes = Annotated[str, typer.Option(help="Class names, for masks the background first.")]
Grayscale = Annotated[bool, typer.Option("--grayscale", help="Read the images as grayscale.")]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images", "--volumes", help="Folder of the images or volumes, if they were moved; the record remembers it."
    ),
]
Round = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|best",
        help="The model of this round, or of the one with the best main metric, if the record keeps it (--keep); "
        "default: the last one.",
    ),
]
Keep = Annotated[
    Literal["last", "best", "all"] | None,
    typer.Option(
        help="Which models of earlier rounds stay in the record beside the last one: last (none of them; default), "
        "best (by the main metric) or all.",
    ),
]
Instructions = Annotated[
    Path | None,
    typer.Option(
        help="Text file with what annotators should know. Label Studio shows it before the first image; in a folder it "
        "is instructions.txt. An empty file removes it.",
        rich_help_panel=PEOPLE,
    ),
]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.")]
Workers = Annotated[
    str | None,
    typer.Option(
        help="Who computes features, scores, predictions and the members of an ensemble: a number of processes, -1 for "
        "one per core; or devices, one process for each, such as cuda:0,cuda:1. Results are the same. Default: 1.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads that the computations of the record use; default: 1 for small images, else one per core."
    ),
]
Ignore = Annotated[
    int | None,
    typer.Option(help="Mask value of pixels that do not count; with --multiple, 255 lets classes be unknown."),
]
Multiple = Annotated[
    bool, typer.Option("--multiple", help="An image can have several of the classes, or none (multi-label).")
]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Metrics, the main one first. Of masks: dice,iou,hd95,surface_dice,ece; of classes: "
        "accuracy,balanced_accuracy,f1,recall,auroc,ece; with --multiple: "
        "f1,micro_f1,exact_match,balanced_accuracy,recall,auroc,average_precision,ece."
    ),
]
MaskPattern = Annotated[
    str,
    typer.Option(
        help="File name of a mask: {id} is the id of the image, * any text, {class} a class with files of its own. "
        "Commas separate several.",
    ),
]
Threshold = Annotated[
    float | None, typer.Option(help="Mask values from this number on mean the second class, and lower ones the first.")
]
Values = Annotated[
    str | None,
    typer.Option(help="Mask value of each class, such as 0,60,120; or pairs, such as 0=skin,128=lesion,255=ignored."),
]
Instances = Annotated[
    bool, typer.Option("--instances", help="Mask values other than 0 are numbers of instances of the second class.")
]
TestImages = Annotated[
    Path | None,
    typer.Option(
        help="Folder of test images, which are never trained on; each round is measured on them. They are read as the "
        "images of the pool, and cut into tiles if those are.",
        rich_help_panel=TEST,
    ),
]
TestVolumes = Annotated[
    Path | None,
    typer.Option(
        help="Folder of test volumes, if the pool is of volumes; their slices are measured.", rich_help_panel=TEST
    ),
]
TestMasks = Annotated[Path | None, typer.Option(help="Folder of the masks of --test-images.", rich_help_panel=TEST)]
TestLabels = Annotated[
    str | None,
    typer.Option(
        help="Folder of the labels of --test-volumes; or, for one class per image, a CSV file or folders, as --labels "
        "of `alkit run`.",
        rich_help_panel=TEST,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(help="Pattern of the file names of the images; ** matches any folders. Default: all files."),
]
Pages = Annotated[
    str | None,
    typer.Option(help="What the pages of a TIFF are: channels of one image, or frames, which are images of their own."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Pattern of files to leave out, such as '*_mask.*' or the name of a folder. Repeat it for more."),
]
Groups = Annotated[
    str | None,
    typer.Option(
        help="Which images belong together, such as those of a patient: a CSV file with the columns id, the group, and "
        "others that describe the images; or a pattern of ids, such as '{group}/*'. A group is on one side of the test "
        "set and the hold-out. The record keeps the groups.",
        metavar="FILE",
    ),
]
Kinds = Annotated[
    str | None,
    typer.Option(
        help="Column of the file of --groups: the first metric is measured over each of its values too, such as sites.",
        metavar="COLUMN",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        help="Select only these images: ids, patterns of ids such as 'ward3/*', or values of a column of --groups such "
        "as site=A. Commas separate several.",
        rich_help_panel=CHOICE,
    ),
]
Never = Annotated[list[str] | None, typer.Option(help="Never select these images, as --only.", rich_help_panel=CHOICE)]
First = Annotated[
    list[str] | None, typer.Option(help="Select these images before all others, as --only.", rich_help_panel=CHOICE)
]
MaxPerGroup = Annotated[
    int | None, typer.Option(help="Most images of a group in one round.", rich_help_panel=CHOICE, min=0)
]
MaxPerParent = Annotated[
    int | None, typer.Option(help="Most images of a volume or large image in one round.", rich_help_panel=CHOICE, min=0)
]
Url = Annotated[
    str | None,
    typer.Option(
        help="Address of Label Studio, also in ALKIT_LABEL_STUDIO_URL; its token is in ALKIT_LABEL_STUDIO_TOKEN."
    ),
]
Project = Annotated[
    str | None, typer.Option(help="Title or number of the project in Label Studio; default: the name of the record.")
]


def read_workers(text: str | None) -> int | tuple[str, ...] | None:
    """Return the workers in a text: a number, or devices with commas between them.

    >>> read_workers("2"), read_workers("cuda:0,cuda:1"), read_workers(None)
    (2, ('cuda:0', 'cuda:1'), None)
    """
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return class_names(text)


def read_round(text: str | None) -> int | Literal["best"] | None:
    """Return the round in a text: a number, or ``best``.

    >>> read_round("3"), read_round("best"), read_round(None)
    (3, 'best', None)
    """
    if text is None:
        return None
    if text == "best":
        return "best"
    if not text.isdecimal():
        from alkit.errors import ConfigurationError

        raise ConfigurationError("--round must be the number of a round, or best", got=repr(text))
    return int(text)


def class_names(text: str) -> tuple[str, ...]:
    """Return the names in a text with commas between them.

    >>> class_names("skin, lesion")
    ('skin', 'lesion')
    """
    return tuple(name.strip() for name in text.split(","))
