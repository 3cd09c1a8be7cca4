"""Sample code in the card of a model: how to predict an image without alkit."""

from __future__ import annotations

from typing import Any

Card = dict[str, Any]
"""Content of ``card.json``: numbers, strings, lists and dictionaries."""


def sample(card: Card) -> str:
    """Return Python code that predicts one image without alkit. It reads ``image.png`` or ``images.npy``."""
    return "\n".join([*_imports(card), "", *_prepare(card), *_run(card), *_result(card)]) + "\n"


def _imports(card: Card) -> list[str]:
    names = ["numpy as np", "torch"] if "model.pt2" in card["files"] else ["numpy as np", "onnxruntime"]
    images = ["from PIL import Image, ImageOps"] if card["data"]["reading"] is not None else ["from PIL import Image"]
    fractions = ["from fractions import Fraction", ""] if fit_of(card) != "squash" else []
    return [*fractions, *(f"import {name}" for name in sorted(names)), *images]


def _prepare(card: Card) -> list[str]:
    shape, reading = card["model"]["input"], card["data"]["reading"]
    if reading is None:
        return [
            "inputs = np.load('images.npy')[:1]  # float32 in [0, 1], as in the pool of the campaign",
            "size = inputs.shape[:1:-1]",
        ]
    fit, whole = fit_of(card), f"({shape['width']}, {shape['height']})"
    resize = f"resize({'inner' if fit == 'pad' else whole}, Image.Resampling.BICUBIC)"
    lines = [
        "image = Image.open('image.png')",
        "tags = getattr(image, 'tag_v2', {})  # of a TIFF",
        "deep = 16 in tags.get(258, ()) or ';16' in str(image.tile).replace('BGR;16', '')  # 16 bits instead of 8",
        "image.load()",
        "assert image.mode not in ('I', 'F'), 'save it with 8 bits, or with 16 bits without sign'\n"
        "assert not deep or image.mode.startswith('I;16') and tags.get(262) != 0, 'save it with 8 bits'  # 0 is white"
        if reading["grayscale"]
        else "assert image.mode[0] not in 'IF' and not deep, 'save it with 8 bits'",
        *_bits(reading),
        "image.info = {name: value for name, value in image.info.items() if 'xmp' not in name}  # only EXIF turns it",
        "image = ImageOps.exif_transpose(image)",
        "size = image.size",
        *_fit(fit, whole),
    ]
    if reading["grayscale"]:
        lines += [
            "gray = Image.fromarray(np.float32(image)) if deep else image.convert('RGB').convert('L')",
            f"pixels = np.rint(np.float32(gray.{resize})).clip(0, 65535)[None]",
        ]
    else:
        lines += [f"pixels = np.float32(image.convert('RGB').{resize}).transpose(2, 0, 1)"]
    if fit == "pad":
        lines += [
            "around = [(side, whole - side - part) for side, whole, part in zip(corner, outer, inner)]",
            "pixels = np.pad(pixels, ((0, 0), around[1], around[0]), 'symmetric')",
        ]
    if reading["scale"] == "minmax":
        lines += ["pixels = (pixels - pixels.min()) / max(pixels.max() - pixels.min(), 1)"]
    else:
        lines += [f"pixels = pixels / {'(65535 if deep else 255)' if reading['grayscale'] else '255'}"]
    return [*lines, "inputs = np.ascontiguousarray(pixels[None], np.float32)"]


def _bits(reading: dict[str, Any]) -> list[str]:
    """Return code that refuses gray images of other bits than those of the campaign, if the bits scale the values."""
    if not reading["grayscale"] or "bits" not in reading:
        return []
    return [f"assert {'deep' if reading['bits'] == 16 else 'not deep'}, 'save it with {reading['bits']} bits'"]


def fit_of(card: Card) -> str:
    """Return how images become images of the working size; cards of squashed images do not say it."""
    return str((card["data"]["reading"] or {}).get("fit", "squash"))


def _fit(fit: str, whole: str) -> list[str]:
    """Return code that finds the place of an image in the working size; widths come before heights."""
    if fit == "squash":
        return []
    half = "Fraction(1, 2)"
    if fit == "pad":
        return [
            f"outer = {whole}",
            "factor = min(1, *(Fraction(most, side) for most, side in zip(outer, size)))",
            f"inner = tuple(max(1, int(factor * side + {half})) for side in size)",
            "corner = tuple((most - side) // 2 for most, side in zip(outer, inner))",
        ]
    return [
        f"factor = min(Fraction(side, part) for side, part in zip(size, {whole}))",
        f"inner = tuple(max(1, int(factor * part + {half})) for part in {whole})",
        "corner = tuple((side - part) // 2 for side, part in zip(size, inner))",
        "image = image.crop((*corner, corner[0] + inner[0], corner[1] + inner[1]))",
    ]


def _run(card: Card) -> list[str]:
    if "model.pt2" in card["files"]:
        return [
            "model = torch.export.load('model.pt2').module()",
            "probabilities = model(torch.from_numpy(inputs))[0].numpy()",
        ]
    return [
        "model = onnxruntime.InferenceSession('model.onnx')",
        "probabilities = model.run(None, {'images': inputs})[0][0]",
    ]


def _result(card: Card) -> list[str]:
    if card.get("multiple"):
        return [
            f"classes = {card['classes']!r}",
            "present = [name for name, value in zip(classes, probabilities) if value > 0.5]",
            "print('|'.join(present) or 'none', *probabilities)",
        ]
    if card["per"] == "image":
        return [f"print({card['classes']!r}[probabilities.argmax()], probabilities.max())"]
    fit = fit_of(card)
    place = "corner[1] : corner[1] + inner[1], corner[0] : corner[0] + inner[0]"
    lines = [f"probabilities = probabilities[:, {place}]"] if fit == "pad" else []
    size, end = "inner" if fit == "crop" else "size", "  # class ids"
    lines += [
        f"planes = [Image.fromarray(plane).resize({size}, Image.Resampling.BILINEAR) for plane in probabilities]",
        "mask = np.argmax(planes, axis=0).astype(np.uint8)" if fit == "crop" else "",
    ]
    if fit == "crop":
        lines += ["whole = np.zeros(size[::-1], np.uint8)", f"whole[{place}] = mask"]
    mask = "whole" if fit == "crop" else "np.argmax(planes, axis=0).astype(np.uint8)"
    return [*filter(None, lines), f"Image.fromarray({mask}).save('mask.png'){end}"]
