import base64
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from alkit import LabelSpec
from alkit.errors import LabelError
from alkit.oracles.labelstudio.regions import KINDS, PREFIX, data_url, mask_of, regions_of

SPEC = LabelSpec(("skin", "lesion", "hair"), ignore=255)
SIZE = (4, 5)

shapes = array_shapes(min_dims=2, max_dims=2, max_side=12)
masks = arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 2, 255]))


def plane(*pixels):
    painted = np.zeros(SIZE, bool)
    for row, column in pixels:
        painted[row, column] = True
    return painted


def region(painted, label="lesion", kind="bitmask", **changes):
    mask = np.where(painted, 1, 0).astype(np.uint8)
    (drawn,) = regions_of(mask, LabelSpec(("background", label)), kind)
    return {**drawn, **changes}


def bitmask(url):
    return region(plane((0, 0)), value={"imageDataURL": url, "bitmasklabels": ["lesion"]})


def png(pixels, mode):
    file = BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(file, "PNG")
    return PREFIX + base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("kind", KINDS)
@given(mask=masks)
def test_regions_of_a_mask_give_the_same_mask_holes_and_ignored_pixels_included(kind, mask):
    np.testing.assert_array_equal(mask_of(regions_of(mask, SPEC, kind), SPEC, mask.shape), mask)


def test_an_annotation_without_regions_is_background():
    assert mask_of([], SPEC, (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert regions_of(np.zeros((2, 3), np.uint8), SPEC, "bitmask") == []


@pytest.mark.parametrize("kinds", [("bitmask", "brush"), ("polygon", "bitmask"), ("brush", "polygon")])
def test_regions_of_one_label_are_united_whatever_their_kind(kinds):
    one, other = plane((0, 0), (1, 1)), plane((1, 1), (2, 2))
    drawn = [part for kind, painted in zip(kinds, (one, other), strict=True) for part in parts(painted, kind)]
    np.testing.assert_array_equal(mask_of(drawn, SPEC, SIZE), one | other)


def parts(painted, kind):
    return regions_of(painted.astype(np.uint8), LabelSpec(("background", "lesion")), kind)


@pytest.mark.parametrize(("order", "seen"), [(1, [2, 1, 1, 0, 0]), (-1, [2, 2, 1, 0, 0])])
def test_a_region_that_is_drawn_later_covers_an_earlier_one(order, seen):
    drawn = [region(plane((0, 0), (0, 1)), "hair"), region(plane((0, 1), (0, 2)), "lesion")]
    assert mask_of(drawn[::order], SPEC, SIZE)[0].tolist() == seen


@pytest.mark.parametrize(("order", "seen"), [(1, [2, 2, 0, 0, 0]), (-1, [255, 2, 0, 0, 0])])
def test_ignored_pixels_are_covered_like_every_class(order, seen):
    drawn = [region(plane((0, 0)), "ignored"), region(plane((0, 0), (0, 1)), "hair")]
    assert mask_of(drawn[::order], SPEC, SIZE)[0].tolist() == seen


def test_a_region_of_the_background_hides_no_other():
    drawn = [region(plane((0, 0)), "skin"), region(plane((0, 0), (0, 1)), "lesion")]
    assert mask_of(drawn, SPEC, SIZE)[0].tolist() == [1, 1, 0, 0, 0]


def test_a_soft_edge_is_painted_if_its_alpha_is_at_least_128():
    alpha = [[0, 127, 128, 255, 1]] * 4
    drawn = bitmask(png(np.stack([np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE), alpha], -1), "RGBA"))
    assert mask_of([drawn], SPEC, SIZE)[0].tolist() == [0, 0, 1, 1, 0]


def test_remarks_and_relations_draw_nothing():
    remarks = [
        {"type": "choices", "from_name": "quality", "value": {"choices": ["blurred"]}},
        {"type": "textarea", "value": {"text": ["?"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    ]
    assert mask_of([*remarks, region(plane((0, 0)))], SPEC, SIZE).sum() == 1


WRONG = {
    "rotated by 90 degrees": (region(plane((0, 0)), image_rotation=90), "rotated while it was labelled: got 90"),
    "a rectangle": (
        region(plane((0, 0)), type="rectanglelabels"),
        "must be a bitmask, brush or polygon: got rectanglelabels",
    ),
    "no type": (region(plane((0, 0)), type=None), "must be a bitmask, brush or polygon: got None"),
    "no label": (region(plane((0, 0)), value={"imageDataURL": data_url(plane())}), "must have one label: got none"),
    "two labels": (
        region(plane((0, 0)), value={"imageDataURL": data_url(plane()), "bitmasklabels": ["lesion", "hair"]}),
        "must have one label: got",
    ),
    "an unknown label": (region(plane((0, 0)), "leison"), "must be a class: got 'leison'.*Try: 'lesion'"),
    "no value": (region(plane((0, 0)), value=None), "must have one label"),
    "no size": (region(plane((0, 0)), original_width=None), "must state the size of its image"),
    "another size": (region(plane((0, 0)), original_width=4), r"must have the size of its image: got \(4, 5\)"),
    "no url": (bitmask(None), "must be a PNG as data URL"),
    "another format": (bitmask("data:image/jpeg;base64,AAAA"), "must be a PNG as data URL"),
    "no base64": (bitmask(PREFIX + "???"), "must be a PNG as data URL"),
    "half a file": (bitmask(data_url(plane())[:60]), "bitmask"),
    "no alpha": (bitmask(png(np.ones(SIZE), "L")), "must have alpha: got the mode L"),
    "an open polygon": (
        {
            **region(plane((0, 0)), kind="polygon"),
            "value": {"points": [[0, 0], [9, 9], [0, 9]], "closed": False, "polygonlabels": ["lesion"]},
        },
        "is open",
    ),
    "two points": (
        {
            **region(plane((0, 0)), kind="polygon"),
            "value": {"points": [[0, 0], [9, 9]], "polygonlabels": ["lesion"]},
        },
        "at least 3 points",
    ),
    "points of text": (
        {**region(plane((0, 0)), kind="polygon"), "value": {"points": "no", "polygonlabels": ["lesion"]}},
        "must have points",
    ),
    "no code": (
        {**region(plane((0, 0)), kind="brush"), "value": {"format": "rle", "brushlabels": ["lesion"]}},
        "must hold a list of bytes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_region_that_cannot_be_read_without_loss_is_refused(case):
    wrong, message = WRONG[case]
    with pytest.raises(LabelError, match=message):
        mask_of([region(plane((1, 1))), wrong], SPEC, SIZE)


@pytest.mark.parametrize(
    ("change", "shown"), [({"to_name": "atlas"}, "atlas, image"), ({"item_index": 1}, "image, image, page 1")]
)
def test_regions_on_another_image_of_the_task_are_refused(change, shown):
    with pytest.raises(LabelError, match=f"all regions must be drawn on one image: got {shown}"):
        mask_of([region(plane((1, 1))), {**region(plane((2, 2))), **change}], SPEC, SIZE)


def test_regions_of_images_of_different_sizes_are_refused():
    (other,) = regions_of(np.ones((2, 2), np.uint8), LabelSpec(("background", "lesion")), "bitmask")
    with pytest.raises(LabelError, match=r"size of one image: got \[\(2, 2\), \(4, 5\)\]"):
        mask_of([region(plane((0, 0))), other], SPEC, SIZE)


@pytest.mark.parametrize("result", [None, {"a": 1}, ["a"], 3, ""])
def test_a_result_that_is_not_a_list_of_regions_is_refused(result):
    with pytest.raises(LabelError, match="must be a list of regions"):
        mask_of(result, SPEC, SIZE)
