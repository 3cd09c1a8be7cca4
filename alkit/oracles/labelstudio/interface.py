"""The labelling interface of a project: the XML that defines what an annotator sees and can draw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape
from xml.etree import ElementTree

from alkit.errors import ConfigurationError
from alkit.oracles.label_names import label_values
from alkit.oracles.labelstudio.regions import Kind
from alkit.pictures.colours import colour
from alkit.values.label_spec import LabelSpec

TAGS: dict[Kind, str] = {"bitmask": "BitmaskLabels", "brush": "BrushLabels", "polygon": "PolygonLabels"}


@dataclass(frozen=True, slots=True)
class Tags:
    """Names in an interface that regions refer to.

    Parameters
    ----------
    control:
        Name of the tag that draws the regions.
    image:
        Name of the tag that shows the image.
    data:
        Key of a task's data that holds the image.
    """

    control: str
    image: str
    data: str


CHOICES = {False: ("single", "single-radio", None), True: ("multiple",)}
"""Values of the attribute `choice` of a tag of classes of images, by whether an image can have several; ours first."""


def interface(spec: LabelSpec, kind: Kind) -> str:
    """Return an interface that offers all classes except the background, class 0; of images, all classes to choose.

    Above the image it shows a task's ``alkit_title``, the image's name and why it was chosen, and ``alkit_note``.

    Parameters
    ----------
    spec:
        The classes.
    kind:
        How annotators draw.

    Examples
    --------
    >>> tags_of(interface(LabelSpec(("skin", "lesion")), "brush"), LabelSpec(("skin", "lesion")), "brush")
    Tags(control='label', image='image', data='image')
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="$alkit_title", size="4")
    ElementTree.SubElement(view, "Header", value="$alkit_note", size="5")
    if spec.per == "image":
        choice = str(CHOICES[spec.multiple][0])
        control = ElementTree.SubElement(view, "Choices", name="label", toName="image", choice=choice)
        for name in spec.classes:
            ElementTree.SubElement(control, "Choice", value=name)
    else:
        control = ElementTree.SubElement(view, TAGS[kind], name="label", toName="image")
    for name in _labels(spec):
        ElementTree.SubElement(control, "Label", value=name, background=colour(label_values(spec)[name], spec))
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def instructions(spec: LabelSpec, told: str = "") -> str:
    """Return what an annotator reads before the first image, as HTML.

    Parameters
    ----------
    spec:
        The classes.
    told:
        What the lead of the campaign tells the annotators, as plain text. It comes first.

    Examples
    --------
    >>> print(instructions(LabelSpec(("skin", "lesion"))))
    <p>Draw <b>lesion</b>. All that is not drawn is <b>skin</b>.</p>
    <p>Submit an image without a drawing if it shows <b>skin</b> only. Skip it if it cannot be labelled.</p>
    """
    if told:
        paragraphs = [escape(part).replace("\n", "<br>") for part in told.split("\n\n") if part.strip()]
        return "\n".join([*(f"<p>{part}</p>" for part in paragraphs), instructions(spec)])
    if spec.per == "image":
        none = "Submit it without a class if it has none of them. " if spec.multiple else ""
        what = "all classes that the image has" if spec.multiple else "the class of the image"
        return f"<p>Choose {what}. {none}Skip it if it cannot be labelled.</p>"
    drawn = ", ".join(f"<b>{escape(name)}</b>" for name in _labels(spec))
    rest = f"<b>{escape(spec.classes[0])}</b>"
    return (
        f"<p>Draw {drawn}. All that is not drawn is {rest}.</p>\n"
        f"<p>Submit an image without a drawing if it shows {rest} only. Skip it if it cannot be labelled.</p>"
    )


def contains(html: str, told: str) -> bool:
    """Whether instructions in HTML contain a text, whatever tags and spaces a server has put between its words.

    >>> contains("<p>Draw the <b>whole</b><br />lesion &amp; halo.</p>", "Draw the whole lesion & halo.")
    True
    """
    return _words(unescape(re.sub(r"<[^<>]*>", " ", html))).find(_words(told)) >= 0


def _words(text: str) -> str:
    return " ".join(text.split())


def tags_of(config: str, spec: LabelSpec, kind: Kind) -> Tags:
    """Return the names that regions of this kind refer to.

    Parameters
    ----------
    config:
        The interface, as XML.
    spec:
        The classes.
    kind:
        How annotators draw.

    Raises
    ------
    ConfigurationError
        The interface is not XML, or it does not offer these classes in this way.
    """
    try:
        view = ElementTree.fromstring(config)
    except (ElementTree.ParseError, UnicodeEncodeError) as reason:
        raise ConfigurationError("the project's labelling interface must be XML", got=reason) from reason
    images = {image.get("name"): image.get("value", "") for image in view.iter("Image")}
    of_images = spec.per == "image"
    tag, item = ("Choices", "Choice") if of_images else (TAGS[kind], "Label")
    names = list(spec.classes) if of_images else _labels(spec)
    wanted, offered = set(names), []
    for control in view.iter(tag):
        labels = [str(label.get("value")) for label in control.iter(item)]
        offered.append(labels)
        image = control.get("toName")
        if of_images and control.get("choice") not in CHOICES[spec.multiple]:
            continue
        if wanted.issubset(labels) and images.get(image, "").startswith("$"):
            return Tags(str(control.get("name")), str(image), images[image][1:])
    raise ConfigurationError(
        "the project's labelling interface does not offer these classes",
        got=" and ".join(f"{tag} of {', '.join(labels) or 'nothing'}" for labels in offered) or f"no {tag}",
        expected=f"{tag} of {', '.join(names)} on an image"
        f"{f', with choice={CHOICES[spec.multiple][0]}' if of_images else ''}",
        hint="change it in the project's settings, or use another project",
    )


def _labels(spec: LabelSpec) -> list[str]:
    return [name for name, value in label_values(spec).items() if value] if spec.per == "pixel" else []
