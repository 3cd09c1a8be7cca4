"""One model trained on several devices: torch's DistributedDataParallel, one process for each.

References
----------
Li et al. "PyTorch Distributed: Experiences on Accelerating Data Parallel Training". VLDB 2020.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alkit._files import temporary_folder
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer
from alkit.configuration.forms import runtime
from alkit.errors import ConfigurationError
from alkit.learners.members import PackedLabelled, pack_labelled
from alkit.learners.named import check_learner
from alkit.protocols import Labelled, Learner, Predictor
from alkit.sharing.arithmetic import Arithmetic
from alkit.sharing.loaded_code import agree, check_code, loaded_code, used_code, warn_of_changes
from alkit.sharing.named_folders import NamedFolders
from alkit.sharing.placing import place_learner
from alkit.sharing.travelling import ModelFile, check_received, check_travels, open_model, pack_model
from alkit.sharing.workers import safe_imports
from alkit.values.progress import Progress, Report, quiet

PATIENCE = datetime.timedelta(minutes=10)
"""Time after which a process that waits for the others gives up."""


@checked_except("processes", "devices")
@dataclass(frozen=True)
class DataParallel:
    """Trains one model on several devices of this machine, with the gradients averaged over the processes.

    Parameters
    ----------
    learner:
        A learner that trains a network of torch, such as :class:`alkit.SegmentationLearner`. Its `batch` is the size of
        the whole batch, of which each process computes a share.
    processes:
        Number of processes, at least 2. It changes the last bits of the weights, so a record keeps it.
    devices:
        Device of each process. Default: ``cuda:0``, ``cuda:1`` and so on, or the CPU if there is no such GPU. It is not
        part of an experiment's configuration.

    Raises
    ------
    ConfigurationError
        `processes` is not an integer >= 2, `devices` are not as many, or `learner` is not a learner or has no device.

    Notes
    -----
    Images are changed by the learner's `augment` before the batch is divided, so a batch has the same images as in one
    process. Three things differ: batch normalisation sees the share of one process, and the running statistics are
    those of the first process; dropout draws masks for the share; and a loss that is not a mean over pixels, such as
    Dice, is the mean over the shares. Without them, the weights are those of one process, up to rounding.

    The same number of processes gives the same weights again, on devices of one kind.

    Examples
    --------
    >>> from alkit import SegmentationLearner
    >>> DataParallel(SegmentationLearner(epochs=(10, 2)), processes=2, devices=("cpu", "cpu")).processes
    2
    """

    learner: Learner
    processes: int = 2
    devices: Sequence[str] | None = runtime(None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "processes", check_integer("processes", self.processes, least=2))
        check_learner("learner", self.learner)
        place_learner(self.learner, "cpu")
        if self.devices is not None:
            named = isinstance(self.devices, Sequence) and not isinstance(self.devices, str)
            if (
                not named
                or len(self.devices) != self.processes
                or not all(isinstance(one, str) for one in self.devices)
            ):
                raise ConfigurationError(
                    f"devices must name {self.processes} devices, one for each process", got=repr(self.devices)
                )

    @checked
    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> Predictor:
        """Train on all labels, in several processes.

        Raises
        ------
        ConfigurationError
            The learner cannot be fitted, or cannot be sent to other processes.
        """
        import joblib

        arithmetic = Arithmetic.of_this_process()
        with temporary_folder() as folder:
            packed = pack_labelled(self.learner, labelled, folder)
            earlier = None if previous is None else pack_model(previous, self.learner, folder)
            given = [
                _Rank(rank, self.processes, device, folder, arithmetic) for rank, device in enumerate(self._places())
            ]
            check_travels(self.learner, packed, earlier)
            warn_of_changes()
            code = loaded_code()
            folders = NamedFolders()
            jobs = (joblib.delayed(_train)(folders, rank, self.learner, packed, rng, earlier, code) for rank in given)
            with safe_imports(), joblib.parallel_config("loky", n_jobs=self.processes):
                try:
                    found = joblib.Parallel(batch_size=1, pre_dispatch="all")(jobs)
                except BrokenExecutor as reason:
                    check_received(reason)
                    raise
            for _, _, used in found:
                agree(used)
            dumped, said, _ = found[0]
        for step in json.loads(said):
            report(Progress(*step))
        return self.learner.loads(dumped)

    @checked
    def loads(self, dumped: bytes) -> Predictor:
        """Return the predictor whose ``dumps`` returned these bytes."""
        return self.learner.loads(dumped)

    def _places(self) -> list[str]:
        import torch

        if self.devices is not None:
            return list(self.devices)
        if torch.cuda.device_count() >= self.processes:
            return [f"cuda:{number}" for number in range(self.processes)]
        return ["cpu"] * self.processes


@dataclass(frozen=True)
class _Rank:
    """One of the processes: its number, how many there are, its device, where they meet, and how they compute."""

    number: int
    count: int
    device: str
    folder: Path
    arithmetic: Arithmetic


def _train(
    folders: NamedFolders,
    rank: _Rank,
    learner: Learner,
    labelled: PackedLabelled,
    rng: np.random.Generator,
    previous: ModelFile | None,
    code: Mapping[str, str],
) -> tuple[bytes, str, dict[str, str] | None]:
    """Train together with the other processes.

    The first returns the bytes of the model, its reports as JSON, and the code that it used; others the code only.
    """
    import torch
    from torch import distributed

    check_code(code)
    said: list[Any] = []

    def report(step: Progress) -> None:
        said.append((step.stage, step.done, step.total, dict(step.detail)))

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the processes are on one machine
    on_gpu = rank.device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(torch.device(rank.device))
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=(rank.folder / "meeting").as_uri(),
        rank=rank.number,
        world_size=rank.count,
        timeout=PATIENCE,
    )
    try:
        with rank.arithmetic.applied():
            earlier = None if previous is None else open_model(previous)
            model = place_learner(learner, rank.device).fit(labelled, rng, earlier, report)
            distributed.barrier()
    finally:
        distributed.destroy_process_group()
    check_code(code)  # again, because the learner may have loaded a module
    used = used_code(in_worker=True)
    return (model.dumps(), json.dumps(said), used) if rank.number == 0 else (b"", "", used)
