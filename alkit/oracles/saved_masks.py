"""Read masks as people save them: in colour with equal channels, on a transparent layer, with soft edges, in 16 bits.

A mask is taken only if it can be meant in one way. What was interpreted is said in words, so that nobody is surprised:

- Three equal channels are one channel.
- Colours that are all those of the classes, which ``query.json`` states, are these classes.
- A palette counts by its indices, which are class ids. If its colours or its transparent pixels mean other classes, as
  they do after a program has put the palette into another order, it is refused; if the indices are no class ids, the
  colours count.
- An alpha channel that is opaque everywhere says nothing. On a layer that is transparent where nothing is painted,
  these pixels are class 0, if no painted pixel is. Pixels with an alpha of at least 128 are painted.
- With two classes and without an ignore value: a layer painted in one colour other than black is class 1; so is
  65535 in a mask of 0 and 65535; and gray levels between 0 and white that occur only along edges, as smooth brushes
  make them, are class 1 from half of white on.

Everything else is refused with the reason: photographs, JPEG, layers that are transparent everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import UnidentifiedImageError

from alkit._reading.damage import SIGNATURE
from alkit._reading.images import has_frames, open_image, refuse_damage, upright
from alkit._reading.limits import read_file
from alkit.errors import LabelError
from alkit.labels.masks import LOSSLESS, check_lossless, class_ids, mask_values, palette_of
from alkit.pictures.colours import colour, rgb
from alkit.values.label_spec import LabelSpec, Size, distinct, size_text

PAINTED = 128
"""Lowest alpha of a painted pixel."""

WHITE = {255: 128, 65535: 32768}
"""White of 8 and 16 bits, and the lowest level that counts as painted."""

NEAR = 5
"""Greatest distance in pixels, along rows and columns, of a soft level from both black and white."""

LEAST_LEVELS = 3
"""Fewest soft levels of a smooth edge: fewer may have a meaning of their own, such as a band of doubtful pixels."""

COLOURED = {"RGB": 3, "RGBA": 4, "LA": 2, "PA": 2, "F": 1}
"""Modes of Pillow that strict masks do not have, and their channels."""

Values = npt.NDArray[Any]


def answered_mask(
    content: bytes, name: str, spec: LabelSpec, id: str, sizes: Sequence[Size] = ()
) -> tuple[Values, tuple[str, ...]]:
    """Return the mask in a file that a person saved, ``(h, w)``, and what was interpreted, in words.

    Parameters
    ----------
    content:
        Content of the file.
    name:
        Name of the file in messages.
    spec:
        The classes.
    id:
        Id of the image, for messages.
    sizes:
        Sizes that the mask may have. A picture of another size is not decoded, because colours take much memory. Empty:
        any.

    Raises
    ------
    LabelError
        The file cannot be read, or can be meant in several ways. Values that are not classes are not refused here.

    Examples
    --------
    >>> from PIL import Image
    >>> file = BytesIO()
    >>> Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)).save(file, "PNG")
    >>> mask, remarks = answered_mask(file.getvalue(), "a.png", LabelSpec(("skin", "lesion")), "a")
    >>> mask.tolist(), remarks
    ([[0, 1]], ('its equal channels were read as one',))
    """
    pixels = _coloured(content, name, sizes)
    if pixels is None:
        values, remarks = mask_values(content, name), list[str]()
        if (palette := _palette_of(content, name)) is not None:
            values, remarks = _of_palette(values, palette, name, spec, id)
    elif pixels.ndim == 2:
        values, remarks = _whole_numbers(pixels, name), list[str]()
    else:
        values, remarks = _flat(pixels, name, spec)
    values, more = _hard(values, spec)
    return class_ids(values, spec, id), (*remarks, *more)


def _coloured(content: bytes, name: str, sizes: Sequence[Size]) -> Values | None:
    """Return the pixels of a file in colour, with alpha, or of floating-point numbers; None if it is another one."""
    refusal = partial(_unreadable, name)
    try:
        with refuse_damage(refusal), open_image(BytesIO(content), name, LabelError) as image:
            if image.format not in LOSSLESS or image.mode not in COLOURED or has_frames(image):
                return None
            check_lossless(image, name)
            if sizes and (image.height, image.width) not in sizes and (image.width, image.height) not in sizes:
                raise LabelError(
                    f"{name} has another size than its image",
                    got=size_text((image.height, image.width)),
                    expected=size_text(*sizes),
                    hint="save the mask at the size of its image",
                )
            if ";16" in str(image.tile) and image.mode != "F":
                raise LabelError(
                    f"{name} has 16 bits in each of its channels", hint="save it as one channel, or with 8 bits"
                )
            whole = upright(image, name)
            if "transparency" in whole.info:  # a colour that is transparent
                whole = whole.convert("RGBA")
            return np.asarray(whole.convert("RGBA") if whole.mode == "PA" else whole).copy()
    except LabelError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            return None  # a TIFF of a type that Pillow does not know, or no image
        raise


def check_palette(path: Path, values: Values, spec: LabelSpec, id: str) -> None:
    """Refuse a palette image whose colours, or transparent pixels, mean other classes than its indices.

    Parameters
    ----------
    path:
        The file.
    values:
        Its indices, ``(h, w)``.
    spec, id:
        The classes, and the id of the image for messages.

    Raises
    ------
    LabelError
        It can be read in two ways.
    """
    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(SIGNATURE) and head[25:] != b"\3":  # most masks have no palette
        return
    if (palette := _palette_of(read_file(path), str(path))) is not None:
        _of_palette(values, palette, str(path), spec, id)


def _palette_of(content: bytes, name: str) -> Values | None:
    """Return the colours and the alpha of each index of a palette image, ``(n, 4)``; None for another image."""
    try:
        with refuse_damage(partial(_unreadable, name)), open_image(BytesIO(content), name, LabelError) as image:
            if image.mode != "P":
                return None
            image.load()
            image.apply_transparency()
            colours = np.array(image.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)
            colours[:, :3] = palette_of(image)[: len(colours)]
            return colours
    except LabelError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            return None  # a TIFF of a type that Pillow does not know
        raise


def _of_palette(values: Values, palette: Values, name: str, spec: LabelSpec, id: str) -> tuple[Values, list[str]]:
    """Return the values of a palette image: its indices, or if these are no class ids, what it shows.

    Raises
    ------
    LabelError
        Both can be meant, and are different.
    """
    used = distinct(values).astype(np.intp)
    shown = palette[used[used < len(palette)]][None]  # as an image of one row, which has each index once
    if shown.shape[1] < len(used):
        return values, []
    allowed = [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]
    by_index = class_ids(used.astype(np.uint8)[None], spec, id)
    means_ids = bool(np.isin(by_index, allowed).all())
    try:
        found, remarks = _flat(shown, name, spec)
        by_colour = class_ids(found, spec, id)
        means_colours = bool(np.isin(by_colour, allowed).all())
    except LabelError:
        means_colours = False
    if means_colours and not means_ids:
        ids = np.zeros(256, np.uint8)
        ids[used] = by_colour[0]
        return ids[values], remarks
    # Without colours that mean classes, a layer may be painted with a low alpha everywhere, as overlays are.
    others = by_index != by_colour if means_colours else (shown[..., 3] == 0) & (by_index != 0)
    if means_ids and others.any():
        raise LabelError(
            f"{name} can be read in two ways, because the indices of its palette mean other classes than "
            f"{'its colours' if means_colours else 'its transparent pixels'}",
            hint="save it in RGB, not indexed, or as one channel of class ids",
        )
    return values, []


def _unreadable(name: str, error: Exception) -> LabelError:
    return LabelError(f"{name} cannot be read as a mask", got=error, hint="save it as PNG")


def _whole_numbers(pixels: Values, name: str) -> Values:
    """Return floating-point numbers as integers."""
    if not np.isfinite(pixels).all() or (pixels != np.floor(pixels)).any() or np.abs(pixels).max() > 2**24:
        raise LabelError(f"{name} holds fractions", expected="whole numbers: class ids", hint="save it as integers")
    return pixels.astype(np.int64)


def _flat(pixels: Values, name: str, spec: LabelSpec) -> tuple[Values, list[str]]:
    """Return the values of a picture, ``(h, w, c)``, whose colours can be meant in one way."""
    colours = pixels[..., :3] if pixels.shape[-1] > 2 else np.repeat(pixels[..., :1], 3, axis=-1)
    alpha = pixels[..., -1] if pixels.shape[-1] in (2, 4) else None
    if alpha is None or alpha.min() == 255:
        values, remarks = _of_colours(colours.reshape(-1, 3), name, spec)
        return values.reshape(colours.shape[:2]), remarks if pixels.shape[-1] > 2 else []
    painted = alpha >= PAINTED
    if not (alpha == 255).any():
        raise LabelError(f"{name} has no opaque pixel", hint="paint on it, or save it without its alpha channel")
    inside = colours[painted]
    soft = " (alpha of at least 128 counts as painted)" if ((alpha > 0) & (alpha < 255)).any() else ""
    remark = f"its transparent pixels were read as {spec.classes[0]!r}{soft}"
    values = np.zeros(alpha.shape, np.uint8)
    one = len(spec.classes) == 2 and spec.ignore is None and bool((inside == inside[0]).all())
    if one and inside[0].any():
        values[painted] = 1
        return values, [remark, f"its painted pixels were read as {spec.classes[1]!r}"]
    own, remarks = _of_colours(inside, name, spec)
    if not own.all():
        raise LabelError(
            f"{name} has transparent pixels and black ones, and both can mean {spec.classes[0]!r}",
            hint="save it without its alpha channel",
        )
    values[painted] = own
    return values, [remark, *remarks]


def _of_colours(colours: Values, name: str, spec: LabelSpec) -> tuple[Values, list[str]]:
    """Return the values of some colours, ``(n, 3)``: gray levels, or class ids by the colours of the classes."""
    is_gray = bool((colours == colours[:, :1]).all())
    packed = colours[:, 2].astype(np.uint32)
    packed |= colours[:, 0].astype(np.uint32) << 16
    packed |= colours[:, 1].astype(np.uint32) << 8
    used = distinct(packed).tolist()
    known = _colours_of(spec)
    if is_gray:
        if spec.ignore not in (None, 255) and 0xFFFFFF in used:
            raise LabelError(
                f"{name} can be read in two ways, because white is the colour of ignored pixels and 255",
                hint="save it as one channel of class ids",
            )
        return colours[:, 0], ["its equal channels were read as one"]
    if known is None or not set(used) <= known.keys():
        raise LabelError(
            f"{name} is a picture, not a label map",
            got="3 channels (RGB)",
            expected="one channel of class ids, three equal ones, or only the colours of the classes",
            hint="save it as one channel or as a palette image",
        )
    values = np.zeros(len(packed), np.uint8)
    for value in used:
        values[packed == value] = known[value]
    return values, ["its colours were read as those of the classes"]


def _colours_of(spec: LabelSpec) -> dict[int, int] | None:
    """Return the class id of each colour; None if two classes share one."""
    ids: Sequence[int] = [*range(len(spec.classes)), *([] if spec.ignore is None else [spec.ignore])]
    found: dict[int, int] = {}
    for id in ids:
        red, green, blue = rgb(colour(id, spec))
        found.setdefault(red * 65536 + green * 256 + blue, id)
    return found if len(found) == len(ids) else None


def _hard(values: Values, spec: LabelSpec) -> tuple[Values, list[str]]:
    """Return a gray mask of two classes with a threshold, if it has soft edges only; else the same values."""
    if len(spec.classes) != 2 or spec.ignore is not None or values.dtype == bool or values.dtype.kind not in "iu":
        return values, []
    present = distinct(values)
    white = int(present[-1])
    if white not in WHITE or present[0] < 0 or (white == 255 and set(present.tolist()) <= {0, 255}):
        return values, []
    if present[0] != 0 and len(present) > 1:
        return values, []
    threshold = WHITE[white]
    soft = [value for value in present.tolist() if value not in (0, white)]
    if not soft:
        return (values == white).astype(np.uint8), [f"{white} was read as {spec.classes[1]!r}"]
    if len(soft) < LEAST_LEVELS or not _has_soft_edges(values, white):
        return values, []
    return (values >= threshold).astype(np.uint8), [
        f"its edges are soft: levels of at least {threshold} of {white} were read as {spec.classes[1]!r}"
    ]


def _has_soft_edges(values: Values, white: int) -> bool:
    """Return whether most pixels are black or white, and each level between lies near to both."""
    from scipy.ndimage import maximum_filter1d

    def near(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        for axis in (0, 1):
            plane = maximum_filter1d(plane.view(np.uint8), 2 * NEAR + 1, axis=axis, mode="constant").astype(bool)
        return plane

    black, full = values == 0, values == white
    if 2 * np.count_nonzero(black | full) < values.size:
        return False
    return bool((black | full | (near(black) & near(full))).all())
