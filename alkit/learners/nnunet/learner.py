"""nnU-Net as a learner of masks.

References
----------
Isensee, Jaeger, Kohl, Petersen, Maier-Hein. "nnU-Net: a self-configuring method for deep learning-based biomedical
image segmentation". Nature Methods 18, 2021.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from alkit._files import cache_folder, make_folder
from alkit.arguments.checked import checked, checked_except
from alkit.checks import check_integer, check_number
from alkit.configuration.forms import runtime, written_form
from alkit.errors import ConfigurationError
from alkit.learners.made_up import MadeUp
from alkit.learners.nnunet.folders import DATASET, digest, splits, write_dataset
from alkit.learners.nnunet.model import NNUNetPredictor, Placement, read_model
from alkit.learners.nnunet.process import Process
from alkit.protocols import Labelled, Predictor
from alkit.rng import Stream
from alkit.values.label_spec import Images, LabelSpec
from alkit.values.progress import Progress, Report, quiet


@checked_except("folds", "epochs", "iterations")
@dataclass(frozen=True)
class NNUNetLearner:
    """Trains nnU-Net version 2 on masks of 2D images, in a process of its own; its folds are members of an ensemble.

    Parameters
    ----------
    folds:
        Number of models, at least 1. Each is trained on all labels but one part of them, as in a cross-validation. One
        model is trained on all labels.
    epochs:
        Number of epochs, at least 1.
    iterations:
        Training steps per epoch, at least 1.
    trainer:
        Name of a trainer of nnU-Net, such as ``nnUNetTrainerNoMirroring``. Trainers of your own lie in the folder
        ``training/nnUNetTrainer`` of nnunetv2, and their names begin with ``nnUNetTrainer``.
    memory:
        Memory of the GPU, in GB, that nnU-Net plans the network and the batch for; above 0.
    device:
        ``auto``, ``cpu``, ``cuda`` or ``mps``. It is not part of an experiment's configuration.
    python:
        Interpreter with nnunetv2. Default: that of this process. It is not part of an experiment's configuration.
    processes:
        Number of processes that prepare the images. It is not part of an experiment's configuration.
    save_every:
        Number of epochs between two checkpoints. It is not part of an experiment's configuration.
    cache:
        Folder of trainings that are not finished; default: alkit's cache. It is not part of an experiment's
        configuration.

    Raises
    ------
    ConfigurationError
        A number is out of range, or `trainer` is not the name of a trainer.

    Notes
    -----
    Each round plans, prepares the images and trains from the start; the last round's model is not used. Pixels with the
    ignore value get the ignore label of nnU-Net. The models of a record are weights and plans, and no pickle.

    On a CPU, the same labels, seed and number of threads give the same model. A killed training continues from its last
    checkpoint, and gives the model that it would have given; it begins again if the version of nnU-Net or torch, or the
    file of the trainer, has changed. These checkpoints are files of torch in the cache, which
    nnU-Net reads: nobody else should be able to write there.

    Deviations: nnU-Net trains for 1000 epochs, which is often too long for a round of active learning. Images have no
    spacing, so nothing is resampled. Images are augmented in the training process, and not in processes beside it,
    which would make the training random.

    Examples
    --------
    >>> NNUNetLearner(folds=3, epochs=50).members
    3
    """

    folds: int = 5
    epochs: int = 100
    iterations: int = 250
    trainer: str = "nnUNetTrainer"
    memory: float = 8.0
    device: str = runtime("auto")
    python: str | None = runtime(None)
    processes: int = runtime(1)
    save_every: int = runtime(5)
    cache: str | None = runtime(None)

    def __post_init__(self) -> None:
        for name in ("folds", "epochs", "iterations", "processes", "save_every"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), least=1))
        check_number("memory", self.memory, 0, open_ends="(")
        if not re.fullmatch(r"nnUNetTrainer\w*", self.trainer, re.ASCII):
            raise ConfigurationError(
                "trainer must be the name of a trainer of nnU-Net", got=repr(self.trainer), hint="'nnUNetTrainer'"
            )
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise ConfigurationError(
                "device must be auto, cpu, cuda or mps for nnU-Net",
                got=repr(self.device),
                hint="device='cuda', and the variable CUDA_VISIBLE_DEVICES for one of several",
            )

    @property
    def members(self) -> int:
        """Number of models."""
        return self.folds

    @property
    def batch(self) -> int:
        """Number of images that a rehearsal trains on."""
        return 2

    @checked
    def fit(
        self,
        labelled: Labelled,
        rng: np.random.Generator,
        previous: Predictor | None = None,
        report: Report = quiet,
    ) -> NNUNetPredictor:
        """Train one model for each fold on all labels.

        Parameters
        ----------
        labelled:
            Images and masks to learn from.
        rng:
            One number is drawn from it; all randomness depends on this number.
        previous:
            The last round's model, which is not used.
        report:
            Called after each epoch with the progress and the loss.

        Raises
        ------
        ConfigurationError
            The labels are not masks, or nnU-Net fails: the message contains the end of its log.
        LabelError
            The masks have no pixel of another class than the first.
        MissingDependencyError
            nnunetv2 is not installed.
        """
        if labelled.spec.per != "pixel":
            raise ConfigurationError(
                "NNUNetLearner needs masks", got="one class per image", hint="ClassificationLearner"
            )
        stream = Stream.from_rng(rng)
        name = digest(labelled, written_form(self), written_form(labelled.spec), stream.seed, torch.get_num_threads())
        trainings = make_folder(cache_folder(self.cache) / "nnunet")
        folder = trainings / name[:32]
        with FileLock(f"{folder}.lock"):
            folder.mkdir(exist_ok=True)
            if not (ready := folder / "raw.done").exists():
                write_dataset(folder, labelled)
                ready.touch()
            model = self._train(folder, len(labelled.ids), stream, report)
            shutil.rmtree(folder)
        Path(f"{folder}.lock").unlink(missing_ok=True)
        return model

    @checked
    def loads(self, dumped: bytes) -> NNUNetPredictor:
        """Return the predictor whose ``dumps`` returned these bytes."""
        return read_model(dumped, self._placement)

    @checked
    def try_training(self, images: Images, spec: LabelSpec) -> NNUNetPredictor:
        """Train for one step on `images` with made-up labels, and return the model.

        Raises
        ------
        ConfigurationError
            The labels are not masks, or nnU-Net fails.
        MissingDependencyError
            nnunetv2 is not installed.
        """
        small = replace(self, epochs=1, iterations=1, folds=min(self.folds, 2))
        return small.fit(MadeUp(images, spec), np.random.default_rng(0))

    @property
    def _placement(self) -> Placement:
        return Placement(self.device, self.python)

    def _train(self, folder: Path, count: int, stream: Stream, report: Report) -> NNUNetPredictor:
        job = {
            "task": "train",
            "folder": str(folder),
            "dataset": DATASET,
            "splits": splits(count, self.folds, stream.child("splits")),
            "seed": stream.seed,
            "epochs": self.epochs,
            "iterations": self.iterations,
            "trainer": self.trainer,
            "memory": self.memory,
            "device": self.device,
            "processes": self.processes,
            "save_every": self.save_every,
            "threads": torch.get_num_threads(),
        }
        process = Process(job, folder, self.python)
        try:
            for message in process.messages():
                if message.get("stage") == "fit":
                    done = message["fold"] * self.epochs + message["epoch"]
                    loss = {"loss": message["loss"]} if "loss" in message else {}
                    report(Progress("fit", done, self.folds * self.epochs, loss))
        finally:
            process.close()
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_text("utf-8"))
        weights = [torch.load(folder / f"fold_{fold}.pt", weights_only=True) for fold in range(self.folds)]
        return NNUNetPredictor(used_facts(facts), tuple(weights), self._placement)


def used_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with the configuration that was trained, without those that nnU-Net has planned besides."""
    plans = facts["plans"]
    return {**facts, "plans": {**plans, "configurations": {"2d": plans["configurations"]["2d"]}}}
