"""The card of a model: its description, its origin, how to use it without alkit, and its limits.

References
----------
Mitchell et al. "Model Cards for Model Reporting". FAT* 2019.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alkit.configuration.forms import Written
from alkit.errors import one_line
from alkit.evaluation.fitness import SUBJECT, about_model, without_fix
from alkit.report.truth import other_labels
from alkit.trained.model import TrainedModel
from alkit.trained.sample import Card, fit_of, sample
from alkit.values.audit import AuditFigures
from alkit.values.queries import State
from alkit.values.rounds import RoundResult, measured_on

BITS, NUMBERS = {"|u1": 8, "<u2": 16}, ("<f4",)
"""Bits of integer pixels by their type, and types of other pixels."""

MOST_METRICS = 4
"""Greatest number of metrics in the text. The JSON contains all of them."""


def card(
    model: TrainedModel,
    *,
    network: str,
    parameters: int,
    free: Sequence[str],
    files: Mapping[str, str],
    versions: Mapping[str, str],
    now: datetime,
    free_onnx: Sequence[str] | None = None,
) -> Card:
    """Return the card of an exported model, as a value for JSON.

    Parameters
    ----------
    model:
        The model.
    network:
        Description of the network.
    parameters:
        Number of parameters.
    free:
        Axes of the input that can have any length: some of ``batch``, ``height`` and ``width``.
    files:
        SHA-256 of each file of the model, by name.
    versions:
        Versions of the software, by name.
    now:
        Time of the export, with a time zone.
    free_onnx:
        The same axes of ``model.onnx``, which can be fewer; None if they are the same.
    """
    origin, (channels, height, width) = model.origin, model.shape
    last = origin.history[-1]
    reading: dict[str, object] | None = None
    own = model.reading
    # Other channels than gray and colours, pages, and numbers need more than the sample code can say.
    if own is not None and channels in (1, 3) and own.pages is None and own.type not in NUMBERS:
        reading = {"grayscale": own.grayscale, "scale": own.scale}
        if own.scale == "full" and own.type is not None:
            reading["bits"] = BITS[own.type]
        if own.fit != "squash":
            reading["fit"] = own.fit
    shape = {"channels": channels, "height": height, "width": width, "free": list(free)}
    if free_onnx is not None and list(free_onnx) != list(free):
        shape["free_onnx"] = list(free_onnx)
    found: Card = {
        "exported": now.isoformat(timespec="seconds"),
        "versions": dict(versions),
        "files": dict(files),
        "model": {
            "network": network,
            "parameters": parameters,
            "input": shape,
        },
        "classes": list(model.spec.classes),
        "ignore": model.spec.ignore,
        "per": model.spec.per,
        **({"multiple": True} if model.spec.multiple else {}),
        "data": {"images": origin.images, "reading": reading},
        "labels": {
            "trained_on": last.n_labels,
            **_unasked(last),
            "held_out": last.n_held_out,
            "pseudo_labels": last.n_pseudo,
            "answers": len(origin.used),
            "annotators": len({answer.annotator for answer in origin.used}),  # no names, because the card is shared
            "came_later": sum(one.state in (State.ANSWERED, State.STALE) for one in origin.standings),
        },
        "seed": origin.seed,
        **origin.declared,
        "measured_on": measured_on(origin.history, tested=origin.tested),
        **({"best": True} if origin.best else {}),
        **({"unfit": unfit} if (unfit := _unfit(last)) else {}),
        "rounds": [
            {
                "round": result.round,
                "labels": result.n_labels,
                **_unasked(result),
                "held_out": result.n_held_out,
                "pseudo_labels": result.n_pseudo,
                "metrics": dict(result.metrics),
                **_shown(result, tested=origin.tested),
                **({"other_labels": labels} if (labels := other_labels(result)) else {}),
                **({} if result.audit is None else {"audit": _audit(result.audit)}),
                "agreement": result.agreement,
            }
            for result in origin.history
        ],
    }
    return {**found, "limits": limits(found)}


def _shown(result: RoundResult, *, tested: bool) -> dict[str, Any]:
    """Return the metrics as they are shown: with an interval; those of few images without one are missing."""
    shown = {name: result.figure_text(name, tested=tested) for name in result.metrics}
    plain = {name: f"{value:.3f}" for name, value in result.metrics.items()}
    return {} if shown == plain else {"shown": {name: text for name, text in shown.items() if text is not None}}


def _unfit(result: RoundResult) -> list[str]:
    """Return why the model is not fit, in sentences that name no image, because the card is shared."""
    return [
        without_fix(warning) for warning in about_model(result.warnings) if not warning.startswith(f"{SUBJECT}fails")
    ]


def _audit(audit: AuditFigures) -> dict[str, Any]:
    """Return the figures on an audit set without its images."""
    form = audit.written()
    return {name: form[name] for name in ("drawn", "of", "skipped", "disputed", "main", "figures")} | {
        "measured": audit.measured
    }


def _unasked_text(labels: Mapping[str, int]) -> str:
    """Return how many of the labels nobody asked for, in words."""
    n = labels.get("unasked", 0)  # cards of earlier versions lack it
    return f" ({n} of them existed before and were not asked for)" if n else ""


def _unasked(result: RoundResult) -> dict[str, int]:
    """Return the number of labels that nobody asked for, if there are any."""
    return {"unasked": result.n_unasked} if result.n_unasked else {}


FITS = {
    "squash": "Each image is resized to the working size. Small objects may disappear, and proportions change.",
    "pad": "Images larger than the working size are shrunk to it. Small objects may disappear.",
    "crop": "The model sees the middle of an image, resized to the working size. Small objects may disappear, and the "
    "prediction outside of it is the background.",
}
"""A limit for each way in which images become images of the working size."""


def limits(card: Card) -> list[str]:
    """Return the limits of the model, each in a sentence or two."""
    labels, shape, free = card["labels"], card["model"]["input"], card["model"]["input"]["free"]
    strategy = _name(card["strategy"])
    found = [
        f"A strategy ({strategy}) selected the images that the model was trained on. They are not a random sample of "
        "the pool.",
        "The model was trained only on images like those of the pool. It also gives predictions for images from other "
        "devices, places or populations, without a sign that they may be wrong.",
        "The probabilities are not calibrated: predictions with a probability of 0.9 may be correct more or less often "
        "than nine times out of ten.",
    ]
    if card["measured_on"] is None:
        found.append("The model was never evaluated, so there are no metrics.")
    elif card["measured_on"] == "audit set":
        found.append(
            "The metrics are measured on an audit set: images drawn at random from the pool, labelled like others and "
            "never trained on. The intervals have a confidence of 95 %."
        )
    elif card["measured_on"] == "hold-out":
        n = labels["held_out"]
        found.append(
            f"The metrics are measured on labels of the campaign that were held out, {n} for the last round. The "
            "strategy selected these images too, so the metrics may differ on a random sample."
        )
    else:
        found.append("The metrics are measured on a test set. The record does not describe this test set further.")
    found += [
        f"Before round {result['round']}, the {result['other_labels']} were other ones, so the metrics of the rounds "
        "before cannot be compared with those of this round and later ones."
        for result in card["rounds"]
        if "other_labels" in result
    ]
    if card.get("best") and card["measured_on"] is not None:
        found.append(
            "The model is that of the round with the best metric among those that were kept. The metric was measured "
            "on the same images, so it may be too good."
        )
    found += card.get("unfit", [])
    if labels["pseudo_labels"]:
        found.append(f"{labels['pseudo_labels']} of the labels are predictions of an earlier model, not answers.")
    if labels["came_later"]:
        found.append(f"{labels['came_later']} images were answered or corrected after the model was trained.")
    if card["data"]["reading"] is not None:
        found.append(FITS[fit_of(card)])
    if "height" in free:
        found.append(
            f"The model was trained at {shape['width']} x {shape['height']} pixels. It accepts other sizes that fit "
            "the network, but it was not evaluated at these sizes."
        )
    return found


def card_text(card: Card) -> str:
    """Return a card as Markdown, with sample code in Python that runs without alkit."""
    labels, shape = card["labels"], card["model"]["input"]
    pool = f"{card['data']['images']} images, read at {shape['width']} x {shape['height']} pixels"
    names = [_literal(name) for name in card["classes"]]
    classes = names if card.get("multiple") else [f"{number} {name}" for number, name in enumerate(names)]
    facts = [
        _output(card, classes),
        f"Model: {_literal(card['model']['network'])}, {card['model']['parameters']} parameters.",
        f"Pool: {pool}.",
        f"Labels: {labels['trained_on']} for training{_unasked_text(labels)}, {labels['held_out']} held out for "
        f"evaluation, and {labels['pseudo_labels']} pseudo-labels. The labels come from {labels['answers']} answers by "
        f"{labels['annotators']} annotator{'' if labels['annotators'] == 1 else 's'}.",
        f"Strategy: {_literal(_name(card['strategy']))}. Learner: {_literal(_name(card['learner']))}. "
        f"Seed: {card['seed']}.",
        f"Exported: {card['exported']}, with "
        f"{', '.join(f'{name} {number}' for name, number in card['versions'].items())}.",
    ]
    if card["ignore"] is not None:
        facts.insert(
            1, f"Pixels with the value {card['ignore']} in a mask were used neither for training nor for evaluation."
        )
    declared = {key: card[key] for key in ("strategy", "initial", "learner")}
    parts = [
        f"# A model of {', '.join(names)}",
        _list(facts),
        "## Files",
        _files(card),
        "## Use",
        preparation(card),
        f"```python\n{sample(card)}```",
        "## Metrics",
        _figures(card),
        "## Limits",
        _list([_literal(limit) for limit in card["limits"]]),
        "## As written in the record",
        f"```json\n{json.dumps(declared, indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _output(card: Card, classes: Sequence[str]) -> str:
    if card.get("multiple"):
        return (
            f"Output: for each image, the probabilities that it has {', '.join(classes)}. It can have several, or none."
        )
    return f"Output: for each {card['per']}, the probabilities of {', '.join(classes)}."


def preparation(card: Card) -> str:
    """Describe in words how to prepare an image as the model's input."""
    shape, reading = card["model"]["input"], card["data"]["reading"]
    size = f"{shape['width']} x {shape['height']} pixels"
    free = shape["free"]
    tensor = f"float32, (batch, {shape['channels']}, {shape['height']}, {shape['width']})"
    lengths = f"Axes of any length: {', '.join(free)}." if free else "The input is one image at a time."
    if "height" not in free:
        lengths += " Height and width are fixed."
    elif "height" not in shape.get("free_onnx", free):
        alone = "" if "batch" in shape["free_onnx"] else ", and is one image at a time"
        lengths += f" The input of model.onnx has a fixed height and width{alone}."
    if reading is None:
        return f"The input is {tensor}, with values in [0, 1], as in the pool of the campaign. {lengths}"
    colours = "one channel (gray by ITU-R 601-2 luma)" if reading["grayscale"] else "three channels (red, green, blue)"
    greatest = {
        None: "the greatest value of the type, 255 or 65535,",
        8: "255, the greatest value of 8 bits, which the images must have,",
        16: "65535, the greatest value of 16 bits, which the images must have,",
    }[reading.get("bits")]
    scale = {
        "minmax": "map its least value over all channels to 0 and its greatest to 1 (a constant image to 0)",
        "full": f"map 0 to 0 and {greatest} to 1",
    }[reading["scale"]]
    fitted = {
        "squash": f"resize it, without a crop, to {size} by Pillow's bicubic filter",
        "pad": f"shrink it, if it is larger, until it fits into {size}, by Pillow's bicubic filter, and pad it evenly "
        "to that size with its mirror image",
        "crop": f"cut out the largest rectangle in its middle that has the proportions of {size}, and resize it to "
        "that size by Pillow's bicubic filter",
    }[fit_of(card)]
    return (
        f"Rotate the image by its EXIF orientation; convert it to {colours}; {fitted}; {scale}. The input is {tensor}. "
        f"{lengths}"
    )


def _files(card: Card) -> str:
    about = {
        "model.safetensors": "weights and buffers by name, a state dict",
        "model.pt2": "a `torch.export` program that maps images to probabilities",
        "model.onnx": "the same in ONNX format, with the input `images` and the output `probabilities`",
    }
    rows = [f"`{name}`: {about[name]}. SHA-256 {digest}" for name, digest in card["files"].items()]
    return _list([*rows, "`card.json`: this card, for programs"])


def _figures(card: Card) -> str:
    rounds = card["rounds"]
    names = list(dict.fromkeys(name for result in reversed(rounds) for name in result["metrics"]))[:MOST_METRICS]
    rows = [["round", "labels", "held out", "pseudo-labels", *map(_literal, names)]]
    rows += [["---:"] * len(rows[0])]
    for result in rounds:
        plain = {name: f"{value:.3f}" for name, value in result["metrics"].items()}
        shown = result.get("shown", plain)
        figures = [shown.get(name, "").replace("[", "\\[") for name in names]
        counts = [result[key] for key in ("round", "labels", "held_out", "pseudo_labels")]
        rows.append([*map(str, counts), *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _literal(text: str) -> str:
    """Return a text from a record as Markdown that shows it, without HTML, links or code.

    >>> print(_literal("<b>skin</b> | [a](b)"))
    \\<b>skin\\</b> \\| \\[a](b)
    """
    return re.sub(r"[\\`<\[|]", r"\\\g<0>", one_line(text))


def _name(form: Written) -> str:
    """Return the name of the class or function in a written form."""
    if not isinstance(form, dict):
        return str(form)
    if "partial" in form:
        return _name(form["partial"])
    name = form.get("is") or form.get("named") or form.get("opaque") or "unknown"
    return str(name).rpartition(":")[2]
