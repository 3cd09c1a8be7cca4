"""How far the annotators agree, and the images that they dispute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alkit.pages.campaign import Campaign
from alkit.pages.thumbnails import seen, side_by_side, with_mask
from alkit.pages.words import counted, listed, number, person, short
from alkit.pools.frames import frames_of
from alkit.record.label_files import LabelFiles
from alkit.report.blocks import AnyBlock, Columns, Gallery, Note, Shot
from alkit.report.page import Table, Text

MOST = 12
"""Greatest number of disputed images that are listed."""

FEW = 3
"""With more classes, the table of pairs has the whole width."""

SHOWN, MOST_LABELS, LONGEST = 4, 3, 170
"""Greatest numbers of disputed images and of labels of one that are drawn, and the pixels of the longer side."""

MEASURES = {"dice": "Dice", "kappa": "Cohen's kappa"}


def agreement(campaign: Campaign) -> list[AnyBlock]:
    """Return the blocks about the agreement of annotators."""
    told = campaign.summary
    if told.not_compared is not None:
        return [Note(f"Labels are not compared: {short(told.not_compared)}")]
    found = told.agreement
    if found is None:
        return [
            Text(
                "No image has labels of several people, so nobody can say how far they agree. Let two people label "
                "some images, such as those of an audit set."
            )
        ]
    measure, disputed = MEASURES[found.measure], set(found.disputed)
    mean = "" if found.mean is None else f" They agree by {found.mean:.2f} ({measure}) in the mean."
    decided = {image.id for image in found.images if image.agreement < found.below} & found.settled
    settled = f" Of {counted(len(decided), 'more image')} the label is decided." if decided else ""
    blocks: list[AnyBlock] = [
        Text(
            f"{counted(len(found.images), 'image')} {'has' if len(found.images) == 1 else 'have'} labels of several "
            f"people.{mean} {counted(len(disputed), 'image')} with an agreement below {found.below:g} "
            f"{'is' if len(disputed) == 1 else 'are'} disputed.{settled}"
        )
    ]
    classes = list(found.by_class) if len(found.by_class) > 1 else []
    pairs = sorted(found.pairs, key=lambda pair: (pair.agreement is None, pair.agreement or 0.0, pair.annotators))
    rows = [
        [
            listed([person(name) for name in pair.annotators]),
            number(pair.images),
            "" if pair.agreement is None else f"{pair.agreement:.2f}",
            *("" if (own := pair.by_class.get(name)) is None else f"{own:.2f}" for name in classes),
        ]
        for pair in pairs
    ]
    tables: list[AnyBlock] = [
        Table(["annotators", "images", measure, *map(short, classes)], rows, "Pairs of annotators, the least first.")
    ]
    if disputed:
        listed_images = [image for image in found.images if image.id in disputed][:MOST]
        more = f" The first {MOST} of {len(disputed)}." if len(disputed) > MOST else ""
        tables.append(
            Table(
                ["disputed image", "agreement", "annotators"],
                [
                    [short(image.id, 80), f"{image.agreement:.2f}", listed([person(name) for name in image.annotators])]
                    for image in listed_images
                ],
                f"Disputed images, the least agreement first.{more}",
                words=(2,),
            )
        )
    blocks += [Columns(tables)] if len(classes) <= FEW else tables
    shots = list(_shots(campaign, found.disputed[:SHOWN])) if campaign.spec and campaign.spec.per == "pixel" else []
    if shots:
        blocks.append(Gallery(shots, "The labels of the most disputed images, after the image itself.", wide=True))
    return blocks


def _shots(campaign: Campaign, ids: Sequence[str]) -> Iterator[Shot]:
    """Yield disputed images with the masks of their annotators."""
    there, files = set(campaign.ids), LabelFiles(campaign.record)
    for id in ids:
        if campaign.pool is None or id not in there:
            continue
        answers = [answer for answer in campaign.labels.get(id, ()) if answer.label and not answer.source][:MOST_LABELS]
        (frame,) = frames_of(campaign.pool, [id])
        picture, _ = seen(campaign.pool.read([id])[0], frame, LONGEST)
        masks = [files.read(answer.label) for answer in answers if answer.label]
        both = [with_mask(picture, mask, frame, campaign.settings.spec) for mask in masks]
        whole = side_by_side([picture, *both])
        if (source := campaign.budget.picture(whole)) is not None:
            names = listed([person(answer.annotator) for answer in answers])
            alt = f"Image {short(id, 60)} and its labels by {names}"
            yield Shot(source, whole.shape[1], whole.shape[0], alt, short(id, 60), [f"labels by {names}"])
