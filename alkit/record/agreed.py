"""The configuration that a process has agreed on with a record, which another process may change (decision 67)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from alkit.configuration.forms import Written
from alkit.errors import ResumeError
from alkit.record.changing import changed_settings
from alkit.record.store import Store

T = TypeVar("T")


@dataclass
class Agreed:
    """The configuration that a process goes by.

    Parameters
    ----------
    store:
        The record.
    form:
        The configuration: the learner, the strategies, the terms, and the number, shape and digest of the images. None
        before it is declared.
    metrics:
        The written form of the metrics; None for the defaults.
    """

    store: Store
    form: Written | None = None
    metrics: Written = None

    def checked(self, value: T) -> T:
        """Return a value after :meth:`check`: in a transaction, the configuration stays until it is recorded."""
        self.check()
        return value

    def change(self, pool: Written) -> None:
        """Go by other images, whose description this process has just recorded."""
        self.form = {**(self.form or {}), "pool": pool}

    def accept_removal(self) -> None:
        """Go by the recorded configuration if only one image was removed since it was declared."""
        now, form = self.store.fact("configuration"), self.form
        if form is not None:
            expected = {**form, "pool": {**form["pool"], "images": form["pool"]["images"] - 1, "content": None}}
            if not _differences({**now, "pool": {**now["pool"], "content": None}}, expected):
                self.form = now

    def check_learner(self) -> None:
        """Check that the learner is still the recorded one: another one could read the models otherwise.

        Raises
        ------
        ResumeError
            Another process has changed it.
        """
        if self.form is not None and self.store.fact("configuration")["learner"] != self.form["learner"]:
            self.check()

    def check(self) -> None:
        """Check that the recorded configuration is still the one that was agreed on.

        Raises
        ------
        ResumeError
            Another process has changed it. This one would select, train or take labels by what does not hold any more.
        """
        now, form = self.store.fact("configuration"), self.form
        if form is None or now == form:
            return
        if None in (now["pool"]["content"], form["pool"]["content"]):  # images were missing at a removal
            now, form = ({**one, "pool": {**one["pool"], "content": None}} for one in (now, form))
        if lines := [line.replace(", now ", ", opened with ") for line in _differences(now, form)]:
            raise ResumeError(
                f"the settings of {self.store.path} have changed since it was opened: {'; '.join(lines)}",
                hint="open it again, or repeat the command",
            )


def _differences(recorded: Written, agreed: Written) -> list[str]:
    """Return a line for each setting that differs, also if only the number of images does."""
    other = ["pool: other images"] if recorded["pool"]["images"] != agreed["pool"]["images"] else []
    return changed_settings(recorded, agreed) or other
