"""The card of a model: what it is, where it comes from, how it is used without alkit, and what it cannot do.

References
----------
Mitchell et al. "Model Cards for Model Reporting". FAT* 2019.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alkit.configuration.forms import Written
from alkit.trained.model import TrainedModel
from alkit.values.queries import State
from alkit.values.rounds import measured_on

Card = dict[str, Any]
"""What ``card.json`` holds: numbers, text, lists and dictionaries of these."""

MOST_METRICS = 4
"""Columns of figures in the text; the JSON has them all."""


def card(
    model: TrainedModel,
    *,
    network: str,
    parameters: int,
    free: Sequence[str],
    files: Mapping[str, str],
    versions: Mapping[str, str],
    now: datetime,
) -> Card:
    """Return all there is to say of an exported model, as JSON can hold it.

    Parameters
    ----------
    network:
        What it is, in words.
    parameters:
        Numbers learnt.
    free:
        Axes of the input that may have any length: of ``batch``, ``height`` and ``width``.
    files:
        By name the SHA-256 of each file of the model.
    versions:
        Of the software it was made with.
    now:
        When it is exported, with a time zone.
    """
    origin, (channels, height, width) = model.origin, model.shape
    last = origin.history[-1]
    reading = None
    if model.reading is not None:
        reading = {"grayscale": model.reading.grayscale, "scale": model.reading.scale}
    found: Card = {
        "exported": now.isoformat(timespec="seconds"),
        "versions": dict(versions),
        "files": dict(files),
        "model": {
            "network": network,
            "parameters": parameters,
            "input": {"channels": channels, "height": height, "width": width, "free": list(free)},
        },
        "classes": list(model.spec.classes),
        "ignore": model.spec.ignore,
        "per": model.spec.per,
        "data": {"images": origin.images, "reading": reading},
        "labels": {
            "trained_on": last.n_labels,
            "held_out": last.n_held_out,
            "pseudo_labels": last.n_pseudo,
            "answers": len(origin.used),
            "annotators": len({answer.annotator for answer in origin.used}),  # and not who: the card is passed on
            "came_later": sum(one.state in (State.ANSWERED, State.STALE) for one in origin.standings),
        },
        "seed": origin.seed,
        **origin.declared,
        "measured_on": measured_on(origin.history, tested=origin.tested),
        "rounds": [
            {
                "round": result.round,
                "labels": result.n_labels,
                "held_out": result.n_held_out,
                "pseudo_labels": result.n_pseudo,
                "metrics": dict(result.metrics),
                "agreement": result.agreement,
            }
            for result in origin.history
        ],
    }
    return {**found, "limits": limits(found)}


def limits(card: Card) -> list[str]:
    """Return what somebody who uses the model should not expect of it, a sentence or two each."""
    labels, shape, free = card["labels"], card["model"]["input"], card["model"]["input"]["free"]
    strategy = _name(card["strategy"])
    found = [
        f"It learnt from images that a strategy ({strategy}) chose: they are no random sample of the pool.",
        "It knows images such as the pool's and no others. Of one from another device, place or population it says "
        "something all the same, and nothing in what it says tells that it does not know.",
        "Its probabilities were not calibrated: 0.9 need not be right nine times out of ten.",
    ]
    if card["measured_on"] is None:
        found.append("It was never measured: there are no figures of how good it is.")
    elif card["measured_on"] == "hold-out":
        n = labels["held_out"]
        found.append(
            f"Its figures are those of labels of the campaign that were held out, {n} for the last round. The strategy "
            "chose these images too, so on a random sample the figures may be others."
        )
    else:
        found.append("Its figures are those of a test set, of which the record says no more.")
    if labels["pseudo_labels"]:
        found.append(f"{labels['pseudo_labels']} of its labels are an earlier model's predictions and nobody's answer.")
    if labels["came_later"]:
        found.append(f"{labels['came_later']} images were answered or corrected after it was trained.")
    if card["data"]["reading"] is not None:
        found.append("Each image is squashed to the working size whole; small things may vanish, proportions change.")
    if "height" in free:
        found.append(
            f"It was trained at {shape['width']} x {shape['height']} pixels. It takes other sizes that the network can "
            "divide, and nobody has measured what it is worth there."
        )
    return found


def card_text(card: Card) -> str:
    """Return a card as Markdown, with a sample of Python that runs without alkit."""
    labels, shape = card["labels"], card["model"]["input"]
    pool = f"{card['data']['images']} images, read at {shape['width']} x {shape['height']} pixels"
    classes = [f"{number} {name}" for number, name in enumerate(card["classes"])]
    facts = [
        f"What it says: of each {card['per']} the probability of {', '.join(classes)}.",
        f"Model: {card['model']['network']}, {card['model']['parameters']} parameters.",
        f"Pool: {pool}.",
        f"Labels: {labels['trained_on']} trained on, {labels['held_out']} held out to measure on, "
        f"{labels['pseudo_labels']} pseudo-labels besides. They come from {labels['answers']} answers by "
        f"{labels['annotators']} annotator{'' if labels['annotators'] == 1 else 's'}.",
        f"Strategy: {_name(card['strategy'])}. Learner: {_name(card['learner'])}. Seed: {card['seed']}.",
        f"Exported: {card['exported']}, with "
        f"{', '.join(f'{name} {number}' for name, number in card['versions'].items())}.",
    ]
    if card["ignore"] is not None:
        facts.insert(
            1, f"Pixels that annotators gave the value {card['ignore']} were neither learnt from nor measured."
        )
    told = {key: card[key] for key in ("strategy", "initial", "learner")}
    parts = [
        f"# A model of {', '.join(card['classes'])}",
        _list(facts),
        "## Files",
        _files(card),
        "## Use",
        preparation(card),
        f"```python\n{sample(card)}```",
        "## Figures",
        _figures(card),
        "## Limits",
        _list(card["limits"]),
        "## As written in the record",
        f"```json\n{json.dumps(told, indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def preparation(card: Card) -> str:
    """Say in words how an image becomes the model's input."""
    shape, reading = card["model"]["input"], card["data"]["reading"]
    size = f"{shape['width']} x {shape['height']} pixels"
    free = shape["free"]
    tensor = f"float32, (batch, {shape['channels']}, {shape['height']}, {shape['width']})"
    lengths = f"Of any length: {', '.join(free)}." if free else "It takes one image at a time."
    if "height" not in free:
        lengths += " Height and width are fixed."
    if reading is None:
        return f"The input is {tensor}, with values in [0, 1], as the pool of the campaign had them. {lengths}"
    colours = "one channel, gray by ITU-R 601-2 luma" if reading["grayscale"] else "three channels, red, green and blue"
    scale = {
        "minmax": "the image's least value becomes 0 and its greatest 1, all channels together (a constant image: 0)",
        "full": "0 stays 0 and the greatest value of the type, 255 or 65535, becomes 1",
    }[reading["scale"]]
    return (
        f"Turn the image as its EXIF orientation says; make it {colours}; resize it whole to {size} by Pillow's "
        f"bicubic filter; scale it: {scale}. The input is {tensor}. {lengths}"
    )


def sample(card: Card) -> str:
    """Return Python that predicts one image without alkit: it reads ``image.png``, or else ``images.npy``."""
    return "\n".join([*_imports(card), "", *_prepared(card), *_run(card), *_result(card)]) + "\n"


def _imports(card: Card) -> list[str]:
    names = ["numpy as np", "torch"] if "model.pt2" in card["files"] else ["numpy as np", "onnxruntime"]
    images = ["from PIL import Image, ImageOps"] if card["data"]["reading"] is not None else ["from PIL import Image"]
    return [f"import {name}" for name in sorted(names)] + images


def _prepared(card: Card) -> list[str]:
    shape, reading = card["model"]["input"], card["data"]["reading"]
    resize = f"resize(({shape['width']}, {shape['height']}), Image.Resampling.BICUBIC)"
    if reading is None:
        return [
            "inputs = np.load('images.npy')[:1]  # float32 in [0, 1], as the pool of the campaign had them",
            "size = inputs.shape[:1:-1]",
        ]
    lines = ["image = ImageOps.exif_transpose(Image.open('image.png'))", "size = image.size"]
    if reading["grayscale"]:
        lines += [
            "deep = image.mode.startswith('I;16')  # 16 bits, and not 8",
            "gray = Image.fromarray(np.float32(image)) if deep else image.convert('RGB').convert('L')",
            f"pixels = np.rint(np.float32(gray.{resize})).clip(0, 65535)[None]",
        ]
    else:
        lines += [f"pixels = np.float32(image.convert('RGB').{resize}).transpose(2, 0, 1)"]
    if reading["scale"] == "minmax":
        lines += ["pixels = (pixels - pixels.min()) / max(pixels.max() - pixels.min(), 1)"]
    else:
        lines += [f"pixels = pixels / {'(65535 if deep else 255)' if reading['grayscale'] else '255'}"]
    return [*lines, "inputs = np.ascontiguousarray(pixels[None], np.float32)"]


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
    if card["per"] == "image":
        return [f"print({card['classes']!r}[probabilities.argmax()], probabilities.max())"]
    return [
        "planes = [Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR) for plane in probabilities]",
        "Image.fromarray(np.argmax(planes, axis=0).astype(np.uint8)).save('mask.png')  # class ids",
    ]


def _files(card: Card) -> str:
    about = {
        "model.safetensors": "weights and buffers by name, a state dict",
        "model.pt2": "a program of `torch.export`: images in, probabilities out",
        "model.onnx": "the same as ONNX: input `images`, output `probabilities`",
    }
    rows = [f"`{name}`: {about[name]}. SHA-256 {digest}" for name, digest in card["files"].items()]
    return _list([*rows, "`card.json`: this card, for programs"])


def _figures(card: Card) -> str:
    rounds = card["rounds"]
    names = list(dict.fromkeys(name for result in reversed(rounds) for name in result["metrics"]))[:MOST_METRICS]
    rows = [["round", "labels", "held out", "pseudo-labels", *names]]
    rows += [["---:"] * len(rows[0])]
    for result in rounds:
        figures = [f"{result['metrics'][name]:.3f}" if name in result["metrics"] else "" for name in names]
        counts = [result[key] for key in ("round", "labels", "held_out", "pseudo_labels")]
        rows.append([*map(str, counts), *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _name(form: Written) -> str:
    """Name what a written form is of."""
    if not isinstance(form, dict):
        return str(form)
    if "partial" in form:
        return _name(form["partial"])
    name = form.get("is") or form.get("named") or form.get("opaque") or "unknown"
    return str(name).rpartition(":")[2]
