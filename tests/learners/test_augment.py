"""Random changes of training images: the same for image and mask, and by the generator alone."""

import pytest
import torch

from alkit.errors import ConfigurationError
from alkit.learners import Augment
from alkit.testing.worlds import unchanged_generators

OFF = {"flips": False, "quarter_turns": False}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=64, height=8, width=8):
    images = torch.rand(n, 2, height, width, generator=generator(1))
    return images, (1000 * images[:, 0]).long()  # each mask value is that of one pixel


def forms(images):
    """Return the eight forms of each image by their number of quarter turns, plain and mirrored."""
    return {
        (mirrored, turns): torch.rot90(images.flip(-1) if mirrored else images, turns, (-2, -1))
        for mirrored in (False, True)
        for turns in range(4)
    }


def found_forms(augment, images, masks):
    """Return the forms that images took, after a check that the masks took the same ones."""
    changed, moved = augment(images, masks, generator())
    found = set()
    for row in range(len(images)):
        (form,) = (form for form, image in forms(images).items() if torch.equal(image[row], changed[row]))
        assert torch.equal(forms(masks)[form][row], moved[row])
        found.add(form)
    return found


TURNED = {(False, turns) for turns in range(4)}
FLIPPED = {(False, 0), (True, 0), (True, 2), (False, 2)}


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "expected"),
    [
        (True, True, {(mirrored, turns) for mirrored in (False, True) for turns in range(4)}),
        (True, False, FLIPPED),
        (False, True, TURNED),
        (False, False, {(False, 0)}),
    ],
    ids=["both", "flips", "turns", "neither"],
)
def test_flips_and_turns_give_exactly_their_forms_to_image_and_mask(flips, quarter_turns, expected):
    assert found_forms(Augment(flips, quarter_turns), *batch()) == expected


def test_images_that_are_not_square_are_turned_by_half_a_turn():
    images, masks = batch(height=4, width=6)
    changed, moved = Augment(flips=False)(images, masks, generator())
    half = [torch.equal(one, two.flip(-1, -2)) for one, two in zip(changed, images, strict=True)]
    assert 10 < sum(half) < 54
    assert all(done or torch.equal(one, two) for done, one, two in zip(half, changed, images, strict=True))
    assert moved.shape == masks.shape


@pytest.mark.parametrize("kind", ["affine", "elastic"])
def test_image_and_mask_move_together_and_no_new_class_arises(kind):
    ball = (torch.stack(torch.meshgrid(*[torch.arange(48)] * 2, indexing="ij")) - 20).pow(2).sum(0) < 150
    masks = ball.long().expand(32, 48, 48).clone()
    masks[:, :3] = 255
    images = (masks == 1).float()[:, None]
    changed, moved = Augment(**OFF, **{kind: 0.15})(images, masks, generator())
    assert set(moved.unique().tolist()) <= {0, 1, 255}
    assert ((changed[:, 0] > 0.5) == (moved == 1)).float().mean() > 0.99
    assert ((moved == 1) != (masks == 1)).float().mean(dim=(1, 2)).median() > 0.01


def test_a_shift_takes_pixels_from_outside_as_the_mirror_image_at_the_border():
    images = torch.arange(16.0).expand(1, 1, 16, 16).contiguous()
    for seed in range(20):
        changed, _ = Augment(**OFF, affine=0.2)(images, torch.zeros(1, dtype=torch.long), generator(seed))
        assert changed.min() >= 0
        assert changed.max() <= 15


def test_intensity_changes_brightness_and_contrast_and_no_mask():
    images, masks = batch()
    changed, same = Augment(**OFF, intensity=0.3)(images, masks, generator())
    shift = (changed - images).mean(dim=(1, 2, 3))
    ratio = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert shift.abs().max() <= 0.3001
    assert shift.abs().max() > 0.2
    assert 0.69 < ratio.min() < 0.8
    assert 1.2 < ratio.max() < 1.31
    assert torch.equal(same, masks)


def test_classes_stay_as_they_are():
    images, _ = batch()
    classes = torch.arange(64)
    changed, same = Augment(affine=0.1, elastic=0.1, intensity=0.1)(images, classes, generator())
    assert torch.equal(same, classes)
    assert not torch.equal(changed, images)


def test_the_changes_depend_on_the_generator_alone():
    augment, (images, masks) = Augment(affine=0.1, elastic=0.1, intensity=0.1), batch()
    with unchanged_generators():
        one, two, other = (augment(images, masks, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])
    assert one[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "value"), [("affine", 0.6), ("elastic", -0.1), ("intensity", 1.0)])
def test_a_strength_out_of_range_is_an_error_that_names_it(name, value):
    with pytest.raises(ConfigurationError, match=rf"^{name} must be a number in .*: got"):
        Augment(**{name: value})


@pytest.mark.parametrize(
    ("shape", "targets", "kind", "words"),
    [
        ((2, 1, 4, 4, 4), (2, 4, 4, 4), torch.float32, r"images must be.*\(2, 1, 4, 4, 4\)"),
        ((2, 4, 4), (2, 4, 4), torch.float32, "images must be"),
        ((0, 1, 4, 4), (0, 4, 4), torch.float32, "images must be"),
        ((2, 1, 0, 4), (2, 0, 4), torch.float32, "images must be"),
        ((2, 1, 4, 4), (2, 4, 4), torch.int64, "images must be.*int64"),
        ((2, 1, 4, 4), (3, 4, 4), torch.float32, "targets must be"),
        ((2, 1, 4, 4), (2, 5, 5), torch.float32, "targets must be"),
        ((2, 1, 4, 4), (2, 1, 4, 4), torch.float32, "targets must be"),
        ((2, 1, 4, 4), (), torch.float32, "targets must be"),
    ],
)
def test_images_and_targets_of_another_shape_are_refused(shape, targets, kind, words):
    with pytest.raises(ConfigurationError, match=words):
        Augment(affine=0.1)(torch.zeros(shape, dtype=kind), torch.zeros(targets), generator())
