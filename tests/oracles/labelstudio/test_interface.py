from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alkit import LabelSpec
from alkit.errors import ConfigurationError
from alkit.oracles.labelstudio.interface import TAGS, Tags, interface, tags_of
from alkit.oracles.labelstudio.regions import KINDS
from alkit.pictures.colours import CLASS_COLOURS, rgb
from alkit.pictures.files import prelabel_png
from alkit.pictures.overlay import overlay

SPEC = LabelSpec(("skin", "lesion", "hair"), ignore=255)
IMAGE = '<Image name="img" value="$picture"/>'


def config_of(*controls):
    return f"<View>{IMAGE}{''.join(controls)}</View>"


def control(*labels, tag="BitmaskLabels", to="img", name="drawn"):
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    return f'<{tag} name="{name}" toName="{to}">{inside}</{tag}>'


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_interface_offers_every_class_except_the_background(kind):
    config = interface(SPEC, kind)
    assert tags_of(config, SPEC, kind) == Tags("label", "image", "image")
    view = ElementTree.fromstring(config)
    assert [label.get("value") for label in view.find(TAGS[kind])] == ["lesion", "hair", "ignored"]
    assert len({label.get("background") for label in view.iter("Label")}) == 3


def test_a_class_has_the_same_colour_in_label_studio_in_pre_labels_and_on_overlays():
    view = ElementTree.fromstring(interface(SPEC, "bitmask"))
    offered = {label.get("value"): label.get("background") for label in view.iter("Label")}
    prelabel = Image.open(BytesIO(prelabel_png(np.array([[1, 2, 255]], np.uint8), SPEC))).convert("RGB")
    assert offered == {"lesion": CLASS_COLOURS[0], "hair": CLASS_COLOURS[1], "ignored": "#ffffff"}
    assert [prelabel.getpixel((n, 0)) for n in range(3)] == [rgb(one) for one in offered.values()]
    assert tuple(overlay(np.zeros((1, 1, 9), np.uint8), np.array([[0] * 4 + [2] * 5], np.uint8))[0, 4]) == rgb(
        CLASS_COLOURS[1]
    )


@given(st.lists(st.text("ab<>&\"' äß", min_size=1).filter(str.strip), min_size=2, max_size=5, unique=True))
def test_class_names_can_have_any_characters(classes):
    spec = LabelSpec(tuple(classes))
    assert tags_of(interface(spec, "brush"), spec, "brush") == Tags("label", "image", "image")


def test_an_existing_interface_is_used_if_it_offers_the_classes():
    own = config_of(control("nothing", name="a"), control("hair", "lesion", "ignored", "ruler", name="b"))
    assert tags_of(own, SPEC, "bitmask") == Tags("b", "img", "picture")


@pytest.mark.parametrize(
    "own",
    [
        config_of(),
        config_of(control("lesion", "hair")),
        config_of(control("lesion", "hair", "ignored", tag="BrushLabels")),
        config_of(control("lesion", "hair", "ignored", to="elsewhere")),
        config_of(control("lesion", "hair", "ignored")).replace("$picture", "picture.png"),
    ],
)
def test_an_interface_that_does_not_offer_the_classes_is_refused(own):
    with pytest.raises(ConfigurationError, match="expected BitmaskLabels of lesion, hair, ignored on an image"):
        tags_of(own, SPEC, "bitmask")


def test_an_interface_that_is_not_xml_is_refused():
    with pytest.raises(ConfigurationError, match="must be XML"):
        tags_of("<View>", SPEC, "bitmask")
