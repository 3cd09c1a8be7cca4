"""The test set of a campaign: images and masks in folders of their own, which are never trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alkit._files import without_tilde
from alkit.errors import ConfigurationError, DataError, ResumeError
from alkit.record.settings import TEST_SET

if TYPE_CHECKING:
    from alkit.oracles.simulated import MaskOracle
    from alkit.pools.folder import ImagePool
    from alkit.protocols import Pool
    from alkit.record.store import Store
    from alkit.values.progress import Report


def read_test_set(pool: Pool, images: Path, oracle: MaskOracle, report: Report, groups: str | None = None) -> ImagePool:
    """Return the pool of the test images, read as those of the campaign's pool are, after a check of their masks.

    Raises
    ------
    DataError
        An image is identical to one of the campaign's pool, or its group is one of the pool's.
    LabelError
        A test image has no mask that can be used.
    """
    from alkit.pools.folder import ImagePool
    from alkit.pools.groups import check_groups_apart
    from alkit.pools.identical import check_contents

    if not isinstance(pool, ImagePool):
        raise ConfigurationError("--test-images can be used only with --images")
    height, width = pool.shape[1:]
    test = ImagePool(
        str(images),
        size=(height, width),
        grayscale=pool.grayscale,
        fit=pool.fit,
        pages=pool.pages,
        scale=pool.scale,
        groups=groups,
        report=report,
    )
    if test.shape != pool.shape:
        raise DataError(
            "--test-images must have the channels of the images of the pool",
            got=test.shape[0],
            expected=pool.shape[0],
            hint="--grayscale" if 1 in (test.shape[0], pool.shape[0]) else None,
        )
    check_contents(pool, test)
    check_groups_apart(pool, test)
    oracle.check_labels(test, report)
    return test


def save_test_set(record: Store, test: ImagePool, oracle: MaskOracle) -> None:
    """Record the test set of a campaign.

    Raises
    ------
    ResumeError
        The record has another test set, and a round was measured on it.
    """
    from alkit.configuration.forms import written_form
    from alkit.record.grouping import groups_form
    from alkit.record.settings import describe

    values = None if oracle.values is None else cast(Mapping[int, int], oracle.values)
    masks = {
        "masks": str(without_tilde(str(oracle.masks)).absolute()),
        "pattern": oracle.pattern if isinstance(oracle.pattern, str) else list(oracle.pattern),
        "values": None if values is None else sorted([value, id] for value, id in values.items()),
        "threshold": oracle.threshold,
        "instances": oracle.instances,
    }
    form = {"images": written_form(test), "masks": masks, "test": describe(test)}
    if test._grouping is not None:
        form["groups"] = groups_form(test)
    before = record.fact(TEST_SET)
    if before is not None and "groups" in before:
        form.setdefault("groups", before["groups"])
    if {**(before or {}), "groups": None} != {**form, "groups": None} and record.rounds():
        was = "none" if before is None else f"{before['test']['images']} images"
        raise ResumeError(
            f"{record.path} has a committed round, so its test set cannot change any more",
            got=f"{form['test']['images']} images in {test.path}",
            expected=was,
            hint="the recorded test set, or another store",
        )
    record.revise(TEST_SET, lambda before: form)


def recorded_test_set(record: Store, pool: Pool, report: Report) -> dict[str, Any]:
    """Return the arguments ``test`` and ``oracle`` of :meth:`alkit.Experiment.fit`; none without a test set.

    Raises
    ------
    DataError
        The folder of its images or masks does not exist any more.
    ResumeError
        Its images are not those that were recorded.
    """
    from alkit.cli.named_places import check_images
    from alkit.configuration.construct import build
    from alkit.oracles.simulated import MaskOracle
    from alkit.record.grouping import grouping_from
    from alkit.record.settings import Settings, describe

    if (form := record.fact(TEST_SET)) is None:
        return {}
    for kind, folder in (("images", form["images"]["with"]["path"]), ("masks", form["masks"]["masks"])):
        if not without_tilde(folder).is_dir():
            raise DataError(
                f"the folder of test {kind} {folder} does not exist any more",
                hint="put it back, or make a link to it there",
            )
        check_images(record, folder, named=False)
    height, width = pool.read(list(pool.ids)[:1]).shape[-2:]
    test = build({**form["images"], "with": {**form["images"]["with"], "size": [height, width]}}, "pool")
    if "groups" in form:
        test = test._with_grouping(grouping_from(form["groups"]))
    found, expected = describe(test), form["test"]
    resized = any(found[side] != expected[side] for side in ("height", "width"))  # by alkit change
    if found != expected and not (resized and found["images"] == expected["images"]):
        raise ResumeError(
            f"the test images in {test.path} are not those that {record.path} was created with",
            got=f"{found['images']} images",
            expected=f"{expected['images']} images with the recorded content",
            hint="restore them",
        )
    if resized:
        record.revise(TEST_SET, lambda before: {**form, "test": found})
    spec, masks = Settings(record).spec, dict(form["masks"])
    values = masks.pop("values")
    named = None if values is None else dict(values)
    return {"test": test, "oracle": MaskOracle(**masks, values=named, classes=spec.classes, ignore=spec.ignore)}
