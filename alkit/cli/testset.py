"""The test set of a campaign: images and labels in folders of their own, which are never trained on.

Its images are read as those of the campaign's pool: tiles are cut out of large images, and slices out of volumes, and
each of them is an image of the test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit._files import without_tilde
from alkit.cli.known_labels import FOLDERS, MaskForm, label_oracle, masks_in
from alkit.cli.naming import naming
from alkit.errors import ConfigurationError, DataError, ResumeError
from alkit.record.choices import TEST_SET

if TYPE_CHECKING:
    from alkit.oracles.simulated import LabelOracle, MaskOracle
    from alkit.pools.base import PoolBase
    from alkit.protocols import Pool
    from alkit.record.store import Store
    from alkit.values.label_spec import LabelSpec
    from alkit.values.progress import Report

OWN = ("pattern", "exclude", "groups")
"""Parameters of a pool that say which files it has, or what is known about them: those of the test set are its own."""


@dataclass(frozen=True)
class Tested:
    """Images and their oracle, and where a record finds the labels."""

    pool: PoolBase
    oracle: MaskOracle | LabelOracle
    known: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments ``test`` and ``oracle`` of :meth:`alkit.Experiment.fit`."""
        return {"test": self.pool, "oracle": self.oracle}


def read_test_set(
    pool: PoolBase,
    places: tuple[Path, str],
    spec: LabelSpec,
    form: MaskForm,
    report: Report,
    groups: str | None = None,
) -> Tested:
    """Return the test set in some folders, read as the campaign's pool is, after a check of its masks or labels.

    Parameters
    ----------
    pool:
        The campaign's pool.
    places:
        The folder of images or volumes, and where their masks or labels are; see
        :meth:`alkit.cli.source.TestSet.places`.
    spec:
        The classes.
    form:
        The form of the masks.
    report, groups:
        See :class:`alkit.ImagePool`.

    Raises
    ------
    DataError
        An image is identical to one of the campaign's pool, or its group is one of the pool's.
    LabelError
        A test image has no label that can be used.
    """
    from alkit.pools.base import whole_pool
    from alkit.pools.groups import check_groups_apart
    from alkit.pools.identical import check_contents
    from alkit.pools.tiles.pool import TilePool

    whole, (images, labels) = whole_pool(pool), places
    usual = {entry.name: entry.default for entry in fields(whole)}
    if "path" not in usual:
        raise ConfigurationError("--test-images can be used only with --images or --volumes")
    own = {name: usual[name] for name in OWN if name in usual} | {"groups": groups, "report": report}
    sized = {} if isinstance(whole, TilePool) else {"size": pool.shape[1:]}
    test = replace(whole, path=str(images), **own, **sized)
    if test.shape != pool.shape:
        raise DataError(
            f"the images in {images} must have the channels of the images of the pool",
            got=test.shape[0],
            expected=pool.shape[0],
            hint="--grayscale" if 1 in (test.shape[0], pool.shape[0]) and "grayscale" in usual else None,
        )
    check_contents(pool, test)
    check_groups_apart(pool, test)
    if spec.per == "image":
        table = labels if labels == FOLDERS else str(without_tilde(labels).absolute())
        with naming({"labels": "--test-labels"}):
            classes: LabelOracle = _label_oracle(table, spec, test)
            classes.check(test.ids)
        return Tested(test, classes, {"labels": table})
    option = "--test-masks" if "grayscale" in usual else "--test-labels"
    found = masks_in(test, labels, form.mask_pattern, option)
    oracle = form.oracle(found, spec.classes, spec.ignore, option)
    oracle.check_labels(test, report)
    values = None if oracle.values is None else cast(Mapping[int, int], oracle.values)
    masks = {
        "masks": str(without_tilde(labels).absolute()),
        "pattern": form.mask_pattern if not isinstance(found, str) else _plain(oracle.pattern),
        "values": None if values is None else sorted([value, id] for value, id in values.items()),
        "threshold": oracle.threshold,
        "instances": oracle.instances,
    }
    return Tested(test, oracle, {"masks": masks})


def _plain(pattern: str | Sequence[str]) -> str | list[str]:
    return pattern if isinstance(pattern, str) else list(pattern)


def save_test_set(record: Store, test: Tested) -> None:
    """Record the test set of a campaign.

    Raises
    ------
    ResumeError
        The record has another test set, and a round was measured on it.
    """
    from alkit.configuration.forms import written_form
    from alkit.record.grouping import groups_form
    from alkit.record.settings import describe

    form = {"images": written_form(test.pool), **test.known, "test": describe(test.pool)}
    if test.pool._grouping is not None:
        form["groups"] = groups_form(test.pool)
    before = record.fact(TEST_SET)
    if before is not None and "groups" in before:
        form.setdefault("groups", before["groups"])
    if {**(before or {}), "groups": None} != {**form, "groups": None} and record.rounds():
        was = "none" if before is None else f"{before['test']['images']} images"
        raise ResumeError(
            f"{record.path} has a committed round, so its test set cannot change any more",
            got=f"{form['test']['images']} images {test.pool._origin()}",
            expected=was,
            hint="the recorded test set, or another store",
        )
    record.revise(TEST_SET, lambda before: form)


def recorded_test_set(record: Store, pool: Pool, report: Report) -> dict[str, Any]:
    """Return the arguments ``test`` and ``oracle`` of :meth:`alkit.Experiment.fit`; none without a test set.

    Raises
    ------
    DataError
        The folder of its images or labels does not exist any more.
    ResumeError
        Its images are not those that were recorded.
    """
    from alkit.cli.named_places import check_images
    from alkit.pools.tiles.pool import is_tiled
    from alkit.record.described import has_far_more_files
    from alkit.record.settings import Settings

    if (form := record.fact(TEST_SET)) is None:
        return {}
    labels = form["labels"] if "labels" in form else form["masks"]["masks"]
    for kind, place in (("images", form["images"]["with"]["path"]), ("masks" if "masks" in form else "labels", labels)):
        if place == FOLDERS and kind == "labels":
            continue
        what = f"the {'table' if kind == 'labels' else 'folder'} of test {kind}"
        if not without_tilde(place).exists():
            raise DataError(f"{what} {place} does not exist any more", hint="put it back, or make a link to it there")
        # A test set is compared after it was read, so that of a stranger could be the whole disk.
        check_images(
            record,
            place,
            named=False,
            what=what,
            described=lambda kind=kind: kind != "images" or not has_far_more_files(form["images"]),  # type: ignore[misc]
        )
    expected = form["test"]
    test, found = _read_again(form, None if is_tiled(pool) else pool.read(list(pool.ids)[:1]).shape[-2:])
    resized = any(found[side] != expected[side] for side in ("height", "width"))  # by alkit change
    same = _read_again(form, (expected["height"], expected["width"]))[1] if resized else found
    if same != expected:
        raise ResumeError(
            f"the test images in {test.path} are not those that {record.path} was created with",
            got=f"{same['images']} images",
            expected=f"{expected['images']} images with the recorded content",
            hint="restore them",
        )
    if resized:
        record.revise(TEST_SET, lambda before: {**form, "test": found})
    return {"test": test, "oracle": _recorded_oracle(form, test, Settings(record).spec)}


def _read_again(form: Mapping[str, Any], size: Sequence[int] | None) -> tuple[Any, Mapping[str, Any]]:
    """Return the images of a recorded test set in a working size, and their description; None for that of tiles."""
    from alkit.configuration.construct import build
    from alkit.record.grouping import grouping_from
    from alkit.record.settings import describe

    sized = {} if size is None else {"size": list(size)}
    test = build({**form["images"], "with": {**form["images"]["with"], **sized}}, "pool")
    if "groups" in form:
        test = test._with_grouping(grouping_from(form["groups"]))
    return test, describe(test)


def _label_oracle(labels: str, spec: LabelSpec, test: PoolBase) -> LabelOracle:
    several, ignore = spec.multiple, spec.ignore
    return label_oracle(labels, spec.classes, test.ids, "--test-labels", multiple=several, ignore=ignore)


def _recorded_oracle(form: Mapping[str, Any], test: PoolBase, spec: LabelSpec) -> MaskOracle | LabelOracle:
    from alkit.oracles.simulated import MaskOracle

    if "labels" in form:
        return _label_oracle(form["labels"], spec, test)
    masks = dict(form["masks"])
    values, pattern = masks.pop("values"), masks["pattern"]
    named = None if values is None else dict(values)
    masks["masks"] = masks_in(test, masks["masks"], pattern if isinstance(pattern, str) else pattern[0], "--test-masks")
    if not isinstance(masks["masks"], str):
        masks.pop("pattern")
    return MaskOracle(**masks, values=named, classes=spec.classes, ignore=spec.ignore)
