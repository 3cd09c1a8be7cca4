"""A valid example of the arguments of every public callable.

Most parameters mean the same everywhere: :data:`COMMON` has an example by the parameter's name. Others stand by address
in :data:`EXAMPLES`. A method's object comes from :data:`OBJECTS`, by the address of its class.
"""

from __future__ import annotations

import datetime
from functools import cached_property, partial

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.naive_bayes import GaussianNB

import alkit
from alkit.record import Recorded
from alkit.rng import Stream
from alkit.testing.learners import Labelled
from alkit.testing.worlds import KitView
from alkit.values import quiet
from tests.support.parts import CLASSES


class Things:
    """Small objects of every kind, made when they are first used and shared by all calls."""

    def __init__(self, folder):
        self.folder = folder
        self.ids = tuple("abcdefgh")
        self.masks = {id: np.full((8, 8), row % 2, np.uint8) for row, id in enumerate(self.ids)}
        self.spec = alkit.LabelSpec(CLASSES)
        pixels = np.random.default_rng(0).integers(256, size=(8, 8, 8), dtype=np.uint8)
        self.pool = alkit.ArrayPool(pixels, ids=self.ids)
        self.test = alkit.ArrayPool(np.zeros((2, 8, 8), np.uint8), ids=("x", "y"))
        known = {**self.masks, "x": self.masks["a"], "y": self.masks["b"]}
        self.oracle = alkit.MaskOracle(known, CLASSES)
        self.labelled = Labelled(self.pool, self.ids[:4], self.masks, self.spec)
        self.learner = alkit.testing.Brightness()
        self.random = alkit.strategy("random")
        self.ranking = alkit.strategies.Uncertainty("entropy")
        self.features = alkit.testing.RowMeans()
        self.pretrained = alkit.features.Pretrained("test_vit", "random", size=32)
        self.embeddings = folder / "embeddings.npz"
        np.savez(self.embeddings, features=np.eye(8), ids=np.array(self.ids))
        self.query = alkit.Query("a", 0, 0, ((8, 8),))
        self.tensor = torch.rand(2, 1, 8, 8)
        self.probabilities = torch.full((2, 2, 8, 8), 0.5)
        self.network = alkit.UNet(1, 2, widths=(2, 4))
        self.predictor = alkit.learners.NetworkPredictor(self.network, 1, 2)
        self.runs = {seed: {10: 0.1 + seed / 100, 20: 0.2, 30: 0.3} for seed in range(6)}
        self.clusters = alkit.values.Clusters(("a", "b", "c"), np.array([0, 0, 1]), np.array([0.1, 0.2, 0.0]), 2)
        self.answer = Recorded("a", "", 1, "skip")
        self.folder.joinpath("images").mkdir()
        alkit.synthetic.lesions(1)
        from PIL import Image

        for id in "ab":
            Image.fromarray(self.masks[id]).save(folder / "images" / f"{id}.png")

    @cached_property
    def volumes(self):
        import nibabel

        (self.folder / "volumes").mkdir()
        array = np.arange(256, dtype=np.int16).reshape(8, 8, 4)
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(self.folder / "volumes" / "v.nii.gz")
        return alkit.VolumePool(self.folder / "volumes", cache=self.folder / "cache")

    @cached_property
    def tiles(self):
        return alkit.TilePool(self.folder / "images", tile=8, grayscale=True, cache=self.folder / "cache")

    @cached_property
    def experiment(self):
        found = alkit.Experiment(
            self.pool, self.learner, self.random, self.folder / "record.db", classes=CLASSES, hold_out=0.0
        )
        found.tell({id: self.masks[id] for id in found.ask(2)})
        found.fit()
        found.ask(2)
        return found

    @cached_property
    def model(self):
        return alkit.trained_model(self.experiment.path, learner=self.learner)

    @cached_property
    def view(self):
        return KitView(self.pool, ["a", "b"], self.learner.fit(self.labelled, np.random.default_rng(0)))

    @cached_property
    def estimated(self):
        masks = {id: np.int64(row % 2) for row, id in enumerate(self.ids)}
        spec = alkit.LabelSpec(CLASSES, per="image")
        labelled = Labelled(self.pool, self.ids[:4], masks, spec)
        return alkit.EstimatorLearner(GaussianNB()).fit(labelled, np.random.default_rng(0))

    @cached_property
    def interval(self):
        return alkit.values.Interval(0.5, 0.4, 0.6, 2, 2)

    @cached_property
    def folder_oracle(self):
        return alkit.FolderOracle(self.folder / "exchange", classes=CLASSES, images=self.pool)


def rows(images):
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


COMMON = {
    "metrics": lambda t: ("dice", "hd95"),
    "batch": lambda t: 2,
    "classes": lambda t: CLASSES,
    "clusters": lambda t: t.clusters,
    "confidence": lambda t: 0.9,
    "device": lambda t: "cpu",
    "devices": lambda t: None,
    "processes": lambda t: 2,
    "workers": lambda t: 1,
    "dropout": lambda t: 0.5,
    "dumped": lambda t: t.learner.fit(t.labelled, np.random.default_rng(0)).dumps(),
    "extractor": lambda t: t.features,
    "features": lambda t: t.features,
    "files": lambda t: None,
    "out_files": lambda t: None,
    "form": lambda t: {"strategy": "x"},
    "generator": lambda t: torch.Generator(),
    "heads": lambda t: None,
    "history": lambda t: t.experiment.history,
    "id": lambda t: "a",
    "ids": lambda t: ("a", "b"),
    "images": lambda t: t.pool.read(["a", "b"]),
    "in_channels": lambda t: 1,
    "k": lambda t: 2,
    "labelled": lambda t: t.labelled,
    "learner": lambda t: t.learner,
    "lr": lambda t: 0.1,
    "maps": lambda t: t.network.encode(t.tensor),
    "mean": lambda t: t.probabilities,
    "mean_entropy": lambda t: torch.zeros(2, 8, 8),
    "members": lambda t: 3,
    "n": lambda t: 1,
    "network": lambda t: alkit.UNet,
    "oracle": lambda t: t.oracle,
    "parameters": lambda t: {},
    "pattern": lambda t: "**/*",
    "poll": lambda t: 0.01,
    "pool": lambda t: t.pool,
    "posterior": lambda t: t.predictor.posterior(t.pool.read(["a", "b"])),
    "precision": lambda t: "32-true",
    "compile": lambda t: False,
    "prediction": lambda t: torch.zeros(2, 8, 8, dtype=torch.int64),
    "predictor": lambda t: t.predictor,
    "prelabels": lambda t: {},
    "previous": lambda t: None,
    "queries": lambda t: [t.query],
    "ranking": lambda t: t.ranking,
    "report": lambda t: quiet,
    "reason": lambda t: "blurred",
    "rng": lambda t: np.random.default_rng(0),
    "runs": lambda t: t.runs,
    "score": lambda t: "entropy",
    "seed": lambda t: 0,
    "size": lambda t: 8,
    "spec": lambda t: t.spec,
    "store": lambda t: t.experiment.path,
    "strategy": lambda t: t.random,
    "step_only": lambda t: False,
    "stream": lambda t: Stream(0),
    "tmp_path": lambda t: t.folder,
    "variance": lambda t: torch.full((2, 2, 8, 8), 0.1),
    "view": lambda t: t.view,
    "wait": lambda t: 0.0,
    "windows": lambda t: 3,
    "flip": lambda t: 0.5,
    "shuffle": lambda t: 0.5,
    "remap": lambda t: 0.5,
    "paint": lambda t: 0.5,
    "inward": lambda t: 0.5,
    "p": lambda t: 0.5,
}

LEARNER = {
    "epochs": lambda t: (1, 1),
    "carry_on": lambda t: True,
    "steps": lambda t: None,
    "augment": lambda t: None,
    "loss": lambda t: "cross-entropy",
    "class_weights": lambda t: None,
    "optimizer": lambda t: "adamw",
    "weight_decay": lambda t: 0.01,
    "schedule": lambda t: None,
    "stop": lambda t: None,
    "average": lambda t: None,
    "freeze": lambda t: 0,
}
ORACLE = {"answer": lambda t: alkit.Answer("a", alkit.SKIP)}
SCHEDULE = {
    "test": lambda t: t.test,
    "test_oracle": lambda t: t.oracle,
    "start": lambda t: 1,
    "rounds": lambda t: 1,
    "batch": lambda t: 1,
    "progress": lambda t: False,
}
TENSORS = {"images": lambda t: t.tensor}
CURVE = {"curve": lambda t: {10: 0.1, 20: 0.3}, "value": lambda t: 0.2}
AGREEMENT = {
    "id": lambda t: "a",
    "annotators": lambda t: ("ann", "bob"),
    "agreement": lambda t: 0.5,
    "by_class": lambda t: {"lesion": 0.5},
}
PAIR = {"a": lambda t: t.runs, "b": lambda t: t.runs, "value": lambda t: 0.2, "labels": lambda t: 10}

REVIEWED = {"query": lambda t: t.query, "annotator": lambda t: "ann", "text": lambda t: "Your label was looked at."}

EXAMPLES = {
    "alkit.ArrayPool": {
        "images": lambda t: np.zeros((2, 8, 8), np.uint8),
        "scale": lambda t: "full",
        "channels": lambda t: None,
        "groups": lambda t: None,
    },
    "alkit.ArrayPool.split": {"test": lambda t: 2},
    "alkit.Answer": {
        "label": lambda t: alkit.SKIP,
        "annotator": lambda t: "ann",
        "revision": lambda t: 1,
        "seconds": lambda t: 1.5,
        "confirmed": lambda t: False,
    },
    "alkit.ClassificationLearner": LEARNER,
    "alkit.DatasetPool": {
        "dataset": lambda t: [t.tensor[0], t.tensor[1]],
        "scale": lambda t: "full",
        "channels": lambda t: "first",
        "groups": lambda t: None,
    },
    "alkit.Dropout": {"draws": lambda t: 2},
    "alkit.EstimatorLearner": {"estimator": lambda t: GaussianNB(), "rows": lambda t: rows},
    "alkit.Experiment": {
        "initial": lambda t: None,
        "annotators": lambda t: 1,
        "join": lambda t: "one",
        "hold_out": lambda t: 0.0,
        "stop_set": lambda t: 0,
        "files": lambda t: None,
        "store": lambda t: None,
        "change": lambda t: False,
        "rules": lambda t: None,
        "keep": lambda t: "all",
        "audit": lambda t: 2,
        "people": lambda t: None,
    },
    "alkit.Experiment.open": {
        "files": lambda t: None,
        "initial": lambda t: None,
        "join": lambda t: None,
        "rules": lambda t: None,
        "people": lambda t: None,
    },
    "alkit.Experiment.export_labels": {
        "out": lambda t: t.folder / "labels",
        "form": lambda t: "masks",
        "per_annotator": lambda t: True,
        "overwrite": lambda t: True,
    },
    "alkit.Experiment.grow": {"clusters": lambda t: "keep"},
    "alkit.Experiment.take_repaired": {"test": lambda t: t.test},
    "alkit.Experiment.remove": {"id": lambda t: "c", "reason": lambda t: "consent withdrawn"},
    "alkit.Experiment.assign": {"to": lambda t: ("ann",), "annotators": lambda t: 1, "days": lambda t: 3.0},
    "alkit.Experiment.top_up": {"hours": lambda t: 1.0},
    "alkit.Experiment.fit": {
        "test": lambda t: t.test,
        "oracle": lambda t: t.oracle,
        "wait_for_answers": lambda t: False,
    },
    "alkit.Experiment.agreement": {"below": lambda t: 0.5},
    "alkit.Experiment.label_quality": {"folds": lambda t: 2},
    "alkit.Experiment.review": {
        "n": lambda t: 1,
        "random": lambda t: 1,
        "by": lambda t: "ann",
        "show_first": lambda t: False,
        "folds": lambda t: 2,
    },
    "alkit.Experiment.decide_disputes": {"disputes": lambda t: alkit.values.Disputes("ignore")},
    "alkit.Experiment.label": {"answer": lambda t: t.answer},
    "alkit.Experiment.receive": {
        "answers": lambda t: [],
        "unasked": lambda t: True,
        "revise": lambda t: True,
        "source": lambda t: "last year",
    },
    "alkit.Experiment.reject": {"annotator": lambda t: None},
    "alkit.Experiment.rounds": SCHEDULE,
    "alkit.Experiment.run": SCHEDULE,
    "alkit.Experiment.evaluate": SCHEDULE,
    "alkit.Experiment.tell": {
        "labels": lambda t: {t.experiment.open_ids[0]: alkit.SKIP},
        "annotator": lambda t: "",
        "revise": lambda t: True,
        "confirmed": lambda t: False,
        "unasked": lambda t: False,
        "source": lambda t: "",
    },
    "alkit.FolderOracle": {
        "instructions": lambda t: "Draw the halo, too.",
        "outbox": lambda t: t.folder / "out",
        "inbox": lambda t: None,
        "images": lambda t: t.pool,
        "queries": lambda t: (),
        "campaign": lambda t: "",
        "also": lambda t: (),
        "empty": lambda t: "unanswered",
        "settle": lambda t: 0.0,
    },
    "alkit.FolderOracle.refused": ORACLE,
    "alkit.FolderOracle.reviewed": REVIEWED,
    "alkit.ImagePool": {
        "path": lambda t: t.folder / "images",
        "exclude": lambda t: "*_mask.*",
        "pages": lambda t: "frames",
        "fit": lambda t: "pad",
        "grayscale": lambda t: True,
        "scale": lambda t: "full",
        "cache": lambda t: t.folder / "cache",
        "groups": lambda t: None,
    },
    "alkit.TilePool": {
        "path": lambda t: t.folder / "images",
        "tile": lambda t: 8,
        "stride": lambda t: 4,
        "margin": lambda t: 1,
        "level": lambda t: 0,
        "mpp": lambda t: None,
        "foreground": lambda t: "all",
        "least": lambda t: 0.1,
        "exclude": lambda t: "*_mask.*",
        "groups": lambda t: None,
        "grayscale": lambda t: True,
        "scale": lambda t: "full",
        "cache": lambda t: t.folder / "cache",
    },
    "alkit.TilePool.image_path": {"id": lambda t: "a/y0-x0"},
    "alkit.TilePool.image_size": {"id": lambda t: "a/y0-x0"},
    "alkit.TilePool.file": {"id": lambda t: "a/y0-x0"},
    "alkit.TilePool.surroundings": {"id": lambda t: "a/y0-x0"},
    "alkit.TilePool.picture": {"id": lambda t: "a/y0-x0"},
    "alkit.oracles.TileMasks": {
        "pool": lambda t: t.tiles,
        "folder": lambda t: t.folder / "images",
        "pattern": lambda t: "{image}.png",
    },
    "alkit.pools.seam_disagreements": {"pool": lambda t: t.tiles, "masks": lambda t: {}},
    "alkit.VolumePool": {
        "path": lambda t: t.volumes.path,
        "axis": lambda t: "axial",
        "window": lambda t: (0.0, 100.0),
        "percentiles": lambda t: (1.0, 99.0),
        "size": lambda t: 8,
        "fit": lambda t: "pad",
        "spacing": lambda t: None,
        "context": lambda t: 0,
        "modalities": lambda t: None,
        "cache": lambda t: t.folder / "cache",
        "exclude": lambda t: "*_seg.*",
        "groups": lambda t: None,
    },
    "alkit.VolumePool.plane": {"volume": lambda t: "v"},
    "alkit.pools.VolumeMasks": {
        "pool": lambda t: t.volumes,
        "folder": lambda t: t.volumes.path,
        "pattern": lambda t: None,
    },
    "alkit.VolumePool.place": {"id": lambda t: "v/axial-0001"},
    "alkit.LabelOracle": {"labels": lambda t: {"a": 1}, "multiple": lambda t: False, "ignore": lambda t: None},
    "alkit.LabelSpec": {"ignore": lambda t: 255, "per": lambda t: "pixel", "multiple": lambda t: False},
    "alkit.LabelSpec.names": {"label": lambda t: np.array([1, 0])},
    "alkit.LabelSpec.check": {"label": lambda t: t.masks["a"], "sizes": lambda t: [(8, 8)], "file": lambda t: None},
    "alkit.LabelStudioOracle": {
        "instructions": lambda t: "Draw the halo, too.",
        "url": lambda t: "http://localhost:1",
        "project": lambda t: "a title",
        "images": lambda t: t.pool,
        "control": lambda t: "brush",
        "campaign": lambda t: "c",
        "model_version": lambda t: "m",
        "since": lambda t: datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        "timeout": lambda t: 1.0,
    },
    "alkit.LabelStudioOracle.refused": ORACLE,
    "alkit.LabelStudioOracle.reviewed": REVIEWED,
    "alkit.MaskOracle": {
        "masks": lambda t: t.masks,
        "ignore": lambda t: None,
        "pattern": lambda t: "{id}.png",
        "values": lambda t: None,
        "threshold": lambda t: None,
        "instances": lambda t: False,
    },
    "alkit.Predictions": {"probabilities": lambda t: np.full((2, 2), 0.5, np.float32)},
    "alkit.Query": {
        "round": lambda t: 0,
        "rank": lambda t: 0,
        "sizes": lambda t: ((8, 8),),
        "score": lambda t: 0.5,
        "stands_for": lambda t: "",
        "wanted": lambda t: 1,
        "purpose": lambda t: "train",
        "assigned": lambda t: ("ann",),
        "due": lambda t: None,
    },
    "alkit.Reconstruction": {
        "epochs": lambda t: 1,
        "patience": lambda t: 1,
        "hold_out": lambda t: 0.2,
        "pooling": lambda t: 1,
        "deformation": lambda t: alkit.features.Deformation(),
        "cache": lambda t: None,
    },
    "alkit.RoundResult.interval": {"name": lambda t: "dice"},
    "alkit.RoundResult.figure_text": {"name": lambda t: "dice", "tested": lambda t: True},
    "alkit.RoundResult": {
        "audit": lambda t: None,
        "intervals": lambda t: {"dice": t.interval},
        "n_tested": lambda t: 0,
        "round": lambda t: 0,
        "n_labels": lambda t: 1,
        "metrics": lambda t: {"dice": 0.5},
        "seconds": lambda t: {"fit": 1.0},
        "n_pseudo": lambda t: 0,
        "n_held_out": lambda t: 0,
        "n_unasked": lambda t: 0,
        "stability": lambda t: {"changed": 0.5},
        "agreement": lambda t: None,
        "warnings": lambda t: (),
    },
    "alkit.ClassificationLearner.make_loss": {"weights": lambda t: None},
    "alkit.SegmentationLearner": {**LEARNER, "warm_start": lambda t: None},
    "alkit.SegmentationLearner.make_loss": {"weights": lambda t: None},
    "alkit.Selection": {
        "scores": lambda t: (0.1, 0.2),
        "stands_for": lambda t: ("x", "y"),
        "pseudo_labels": lambda t: ("c",),
    },
    "alkit.values.People": {"shares": lambda t: {"ann": 2}, "days": lambda t: 3.0, "audit": lambda t: 2},
    "alkit.SelectionRules": {
        "only": lambda t: ("a",),
        "never": lambda t: "site=A",
        "first": lambda t: (),
        "max_per_group": lambda t: 2,
        "max_per_parent": lambda t: None,
    },
    "alkit.UNet": {"classes": lambda t: 2, "widths": lambda t: (2, 4)},
    "alkit.UNet.encode": TENSORS,
    "alkit.UNet.forward": TENSORS,
    "alkit.export_model": {
        "model": lambda t: t.model,
        "out": lambda t: t.folder / "exported",
        "formats": lambda t: ("torch",),
        "overwrite": lambda t: True,
    },
    "alkit.highest": {"scores": lambda t: {"a": 1.0, "b": 0.5}},
    "alkit.predict_folder": {
        "model": lambda t: t.model,
        "images": lambda t: t.folder / "images",
        "out": lambda t: t.folder / "predicted",
        "overlays": lambda t: False,
        "overwrite": lambda t: True,
        "stride": lambda t: None,
    },
    "alkit.strategy": {"name": lambda t: "random"},
    "alkit.checks.is_number": {"value": lambda t: 2.5},
    "alkit.record.repair": {
        "damaged": lambda t: t.folder / "c.db",
        "out": lambda t: t.folder / "repaired.db",
        "trust": lambda t: False,
        "files": lambda t: None,
        "out_files": lambda t: None,
    },
    "alkit.checks.check_integer": {
        "name": lambda t: "n",
        "value": lambda t: 3,
        "least": lambda t: 0,
        "most": lambda t: 9,
    },
    "alkit.checks.check_number": {
        "name": lambda t: "n",
        "value": lambda t: 3,
        "least": lambda t: 0,
        "most": lambda t: 9,
        "open_ends": lambda t: "",
    },
    "alkit.configuration.address_of": {"thing": lambda t: alkit.UNet},
    "alkit.configuration.build": {
        "form": lambda t: alkit.configuration.written_form(t.random),
        "role": lambda t: "strategy",
        "typed": lambda t: alkit.testing.Brightness,
    },
    "alkit.configuration.changes": {
        "added": lambda t: {"1": {"x": 1}},
        "renamed": lambda t: {},
        "removed": lambda t: {},
    },
    "alkit.configuration.differences": {"old": lambda t: {"a": 1}, "new": lambda t: {"a": 2}},
    "alkit.configuration.rebuild": {
        "form": lambda t: alkit.configuration.written_form(t.random),
        "packages": lambda t: ("alkit",),
    },
    "alkit.configuration.runtime": {"default": lambda t: None},
    "alkit.configuration.written_form": {"value": lambda t: t.random},
    "alkit.errors.failure_in_words": {"reason": lambda t: ValueError("no")},
    "alkit.errors.is_of_machine": {"error": lambda t: MemoryError()},
    "alkit.errors.is_out_of_memory": {"error": lambda t: MemoryError()},
    "alkit.errors.nearest": {"name": lambda t: "a", "known": lambda t: ["ab"]},
    "alkit.errors.one_line": {"text": lambda t: "a", "most": lambda t: 9},
    "alkit.evaluation.Agreement": {
        "measure": lambda t: "dice",
        "below": lambda t: 0.7,
        "images": lambda t: (alkit.evaluation.ImageAgreement("a", ("ann", "bob"), 0.5, {"lesion": 0.5}),),
        "pairs": lambda t: (alkit.evaluation.PairAgreement(("ann", "bob"), 1, 0.5, {"lesion": 0.5}),),
        "settled": lambda t: frozenset({"a"}),
    },
    "alkit.evaluation.ImageAgreement": AGREEMENT,
    "alkit.evaluation.PairAgreement": {**AGREEMENT, "images": lambda t: 1},
    "alkit.evaluation.Doubt": {"id": lambda t: "a", "annotator": lambda t: "ann", "reason": lambda t: "empty"},
    "alkit.evaluation.Losses": {"report": lambda t: quiet, "values": lambda t: [0.5, 0.4]},
    "alkit.evaluation.Losses.__call__": {"progress": lambda t: alkit.values.Progress("fit", 1, 2)},
    "alkit.evaluation.Losses.first": {"members": lambda t: 2},
    "alkit.evaluation.PerGroup": {"metric": lambda t: "dice", "groups": lambda t: {"a": "x"}},
    "alkit.evaluation.SurfaceDice": {"tolerance": lambda t: 2.0},
    "alkit.evaluation.lower_is_better": {"name": lambda t: "dice"},
    "alkit.features.Deformation.__call__": TENSORS,
    "alkit.features.Embeddings": {"path": lambda t: t.embeddings, "ids": lambda t: None},
    "alkit.features.FittedPretrained": {
        "body": lambda t: t.network,
        "inputs": lambda t: t.pretrained.load().inputs,
        "pooling": lambda t: "mean",
        "levels": lambda t: (0,),
        "name": lambda t: "test_vit",
        "origin": lambda t: "module:factory",
    },
    "alkit.features.Pretrained": {
        "model": lambda t: "test_vit",
        "weights": lambda t: "random",
        "pooling": lambda t: "mean",
        "levels": lambda t: (0,),
        "mean": lambda t: (0.5, 0.5, 0.5),
        "std": lambda t: (0.5, 0.5, 0.5),
        "interpolation": lambda t: "bilinear",
        "factory": lambda t: None,
        "download": lambda t: False,
    },
    "alkit.features.FittedReconstruction": {"network": lambda t: t.network, "pooling": lambda t: 1},
    "alkit.features.by_typicality": {
        "features": lambda t: np.eye(3, dtype=np.float32),
        "members": lambda t: np.arange(3),
        "neighbours": lambda t: 2,
        "device": lambda t: "cpu",
    },
    "alkit.features.check_extractor": {"name": lambda t: "features", "thing": lambda t: t.features},
    "alkit.features.extractor": {"name": lambda t: "reconstruction"},
    "alkit.features.find_duplicates": {
        "features": lambda t: np.eye(3, dtype=np.float32),
        "ids": lambda t: ("a", "b", "c"),
        "labelled": lambda t: ("a",),
        "candidates": lambda t: ("b", "c"),
        "similarity": lambda t: 0.9,
    },
    "alkit.features.flip": {**TENSORS, "times": lambda t: 1},
    "alkit.features.kmeans": {"features": lambda t: np.eye(2, dtype=np.float32)},
    "alkit.features.nearest": {"features": lambda t: np.eye(2, dtype=np.float32), "points": lambda t: np.eye(2)},
    "alkit.features.paint": TENSORS,
    "alkit.features.remap_intensity": TENSORS,
    "alkit.features.shuffle_locally": TENSORS,
    "alkit.labels.majority": {"labels": lambda t: [t.masks["a"], t.masks["b"]]},
    "alkit.labels.one": {"labels": lambda t: [t.masks["a"]]},
    "alkit.labels.read_mask": {"path": lambda t: t.folder / "images" / "a.png", "gray": lambda t: False},
    "alkit.labels.resize_mask": {"mask": lambda t: t.masks["a"], "size": lambda t: (4, 4)},
    "alkit.labels.to_original": {
        "probabilities": lambda t: np.full((2, 8, 8), 0.5, np.float32),
        "frame": lambda t: alkit.values.Frame((4, 8), (8, 8), "pad"),
    },
    "alkit.labels.to_working": {
        "mask": lambda t: t.masks["a"],
        "frame": lambda t: alkit.values.Frame((8, 8), (16, 16), "pad"),
    },
    "alkit.labels.staple": {"labels": lambda t: [t.masks["a"], t.masks["a"]]},
    "alkit.learners.DataParallel": {"learner": lambda t: alkit.SegmentationLearner(alkit.UNet, epochs=(1, 1))},
    "alkit.learners.EnsemblePredictor": {"members": lambda t: (t.predictor, t.predictor)},
    "alkit.learners.EstimatorPredictor": {
        "estimator": lambda t: GaussianNB(),
        "rows": lambda t: rows,
        "training": lambda t: t.estimated.training,
    },
    "alkit.learners.EstimatorPredictor.row_probabilities": {"rows": lambda t: rows(t.pool.read(["a"]))},
    "alkit.learners.NetworkPredictor": {
        "network": lambda t: t.network,
        "classes": lambda t: 2,
        "multiple": lambda t: False,
    },
    "alkit.learners.Augment": {
        "flips": lambda t: True,
        "quarter_turns": lambda t: False,
        "affine": lambda t: 0.1,
        "elastic": lambda t: 0.1,
        "intensity": lambda t: 0.1,
    },
    "alkit.learners.Augment.__call__": {
        "images": lambda t: torch.rand(2, 1, 8, 8),
        "targets": lambda t: torch.zeros(2, 8, 8, dtype=torch.long),
    },
    "alkit.learners.Stop": {"share": lambda t: 0.2, "patience": lambda t: 2, "every": lambda t: 5},
    "alkit.learners.paper": {"network": lambda t: alkit.UNet, "parts": lambda t: {}},
    "alkit.learners.strong": {"network": lambda t: alkit.UNet, "per": lambda t: "pixel", "parts": lambda t: {}},
    "alkit.learners.MonaiLoss": {"name": lambda t: "DiceLoss", "parameters": lambda t: {"batch": True}},
    "alkit.learners.NNUNetLearner": {
        "folds": lambda t: 2,
        "epochs": lambda t: 1,
        "iterations": lambda t: 1,
        "trainer": lambda t: "nnUNetTrainer",
        "memory": lambda t: 8.0,
        "device": lambda t: "cpu",
        "python": lambda t: None,
        "processes": lambda t: 1,
        "save_every": lambda t: 1,
        "cache": lambda t: str(t.folder),
    },
    "alkit.learners.NetworkPredictor.loads": {
        "dumped": lambda t: t.predictor.dumps(),
        "network": lambda t: partial(alkit.UNet, widths=(2, 4)),
    },
    "alkit.learners.learner": {"name": lambda t: "segmentation"},
    "alkit.networks.MonaiNetwork": {"name": lambda t: "SegResNet", "parameters": lambda t: {"init_filters": 8}},
    "alkit.networks.MonaiNetwork.__call__": {"in_channels": lambda t: 1, "classes": lambda t: 2},
    "alkit.networks.Heads": {
        "weights": lambda t: {1: 0.5},
        "channels": lambda t: {1: 2},
        "classes": lambda t: 2,
        "owner": lambda t: "a network",
    },
    "alkit.networks.Heads.forward": {
        "final": lambda t: t.probabilities,
        "maps": lambda t: {1: torch.rand(2, 2, 8, 8)},
    },
    "alkit.oracles.folder_classes": {"ids": lambda t: ["cat/a", "dog/b"]},
    "alkit.oracles.read_classes": {"path": lambda t: labels_file(t)},
    "alkit.networks.Classifier": {
        "model": lambda t: alkit.UNet,
        "classes": lambda t: 2,
        "weights": lambda t: None,
        "mean": lambda t: None,
        "std": lambda t: None,
    },
    "alkit.networks.Classifier.decode": {"maps": lambda t: classifier().encode(torch.rand(1, 1, 32, 32))},
    "alkit.networks.Classifier.encode": {"images": lambda t: torch.rand(1, 1, 32, 32)},
    "alkit.networks.Classifier.forward": {"images": lambda t: torch.rand(1, 1, 32, 32)},
    "alkit.networks.SmpNetwork": {
        "model": lambda t: smp_model,
        "classes": lambda t: 2,
        "weights": lambda t: None,
        "mean": lambda t: None,
        "std": lambda t: None,
    },
    "alkit.networks.SmpNetwork.decode": {"maps": lambda t: smp_network().encode(torch.rand(1, 1, 32, 32))},
    "alkit.networks.SmpNetwork.decode_all": {"maps": lambda t: smp_network().encode(torch.rand(1, 1, 32, 32))},
    "alkit.networks.SmpNetwork.encode": {"images": lambda t: torch.rand(1, 1, 32, 32)},
    "alkit.networks.SmpNetwork.forward": {"images": lambda t: torch.rand(1, 1, 32, 32)},
    "alkit.networks.adam": {"network": lambda t: t.network, "rate": lambda t: 0.1},
    "alkit.networks.dropout_layer": {"probability": lambda t: 0.1},
    "alkit.networks.make_network": {"factory": lambda t: alkit.UNet, "classes": lambda t: 2},
    "alkit.networks.minibatches": {"count": lambda t: 3},
    "alkit.pictures.contact_sheet": {
        "masks": lambda t: None,
        "captions": lambda t: None,
        "title": lambda t: "",
        "columns": lambda t: 2,
    },
    "alkit.trained_model": {"round": lambda t: "best"},
    "alkit.pictures.overlay": {"image": lambda t: t.pool.read(["a"])[0], "mask": lambda t: t.masks["a"]},
    "alkit.record.Recorded": {
        "query": lambda t: "r00-0000",
        "annotator": lambda t: "",
        "revision": lambda t: 1,
        "kind": lambda t: "skip",
        "label": lambda t: None,
        "reason": lambda t: "",
        "seconds": lambda t: None,
        "rejected": lambda t: None,
        "told_at": lambda t: "",
        "number": lambda t: 0,
    },
    "alkit.record.Standing": {
        "query": lambda t: t.query,
        "state": lambda t: alkit.values.State.ASKED,
        "asked_at": lambda t: "",
        "sent_at": lambda t: None,
        "answers": lambda t: (),
        "missing": lambda t: 1,
    },
    "alkit.record.Store": {
        "path": lambda t: t.folder / "other.db",
        "files": lambda t: None,
        "read_only": lambda t: False,
    },
    "alkit.record.Terms": {
        "annotators": lambda t: 1,
        "join": lambda t: "one",
        "hold_out": lambda t: 0.0,
        "stop_set": lambda t: 0,
    },
    "alkit.report.campaign_summary": {
        "record": lambda t: alkit.record.Store(t.experiment.path),
        "batch": lambda t: 2,
        "hours": lambda t: 6.0,
    },
    "alkit.report.Code": {"text": lambda t: "x", "kind": lambda t: "code"},
    "alkit.report.Text": {"text": lambda t: "x", "kind": lambda t: "text"},
    "alkit.report.Picture": {
        "figure": lambda t: Figure(),
        "alt": lambda t: "a",
        "caption": lambda t: "",
        "least": lambda t: 576,
        "form": lambda t: "png",
        "kind": lambda t: "picture",
    },
    "alkit.report.Section": {"title": lambda t: "x", "blocks": lambda t: ()},
    "alkit.report.Table": {
        "header": lambda t: ("a", "b"),
        "rows": lambda t: [("1", "2")],
        "caption": lambda t: "",
        "words": lambda t: (1,),
        "kind": lambda t: "table",
    },
    "alkit.report.Rows": {"columns": lambda t: ("a",), "rows": lambda t: ({"a": 1},)},
    "alkit.report.Rows.to_frame": {"library": lambda t: None},
    "alkit.report.Tracker": {"target": lambda t: FakeTarget()},
    "alkit.report.Tracker.__call__": {"progress": lambda t: alkit.values.Progress("fit", 1, 2)},
    "alkit.report.mlflow": {"run_id": lambda t: "x", "experiment": lambda t: "x", "tracking_uri": lambda t: "x"},
    "alkit.report.tensorboard": {"folder": lambda t: t.folder / "logs"},
    "alkit.report.wandb": {"run": lambda t: None, "settings": lambda t: {"mode": "offline"}},
    "alkit.report.table": {"per": lambda t: "round"},
    "alkit.report.Comparison": {
        "metric": lambda t: "dice",
        "lower": lambda t: False,
        "labels": lambda t: (10, 20),
        "level": lambda t: 0.2,
        "methods": lambda t: (),
        "scores": lambda t: {},
        "differences": lambda t: (),
        "skipped": lambda t: (),
        "notes": lambda t: (),
    },
    "alkit.report.Comparison.write": {"path": lambda t: t.folder / "comparison.html", "title": lambda t: ""},
    "alkit.report.Difference": {
        "method": lambda t: "a",
        "baseline": lambda t: "b",
        "area": lambda t: None,
        "p": lambda t: None,
        "last": lambda t: alkit.statistics.estimate([0.1]),
        "saved": lambda t: alkit.statistics.labels_saved(t.runs, t.runs, 0.2),
    },
    "alkit.report.Method": {
        "name": lambda t: "a",
        "strategy": lambda t: "a",
        "learner": lambda t: "",
        "settings": lambda t: {},
        "records": lambda t: {},
    },
    "alkit.report.Scores": {
        "area": lambda t: None,
        "last": lambda t: alkit.statistics.estimate([0.1]),
        "labels": lambda t: None,
        "reached": lambda t: 0,
        "began": lambda t: 0,
    },
    "alkit.report.Review": {
        "id": lambda t: "a",
        "key": lambda t: "r01-0000-a",
        "why": lambda t: "random",
        "figure": lambda t: None,
        "shown": lambda t: False,
        "asked_at": lambda t: "2026-01-02T03:04:05+00:00",
        "first": lambda t: ("ann",),
        "by": lambda t: "bob",
        "outcome": lambda t: "kept",
        "agreement": lambda t: {"ann": 0.95},
        "reason": lambda t: "",
    },
    "alkit.report.Skipped": {"record": lambda t: "a.db", "reason": lambda t: "it is empty"},
    "alkit.report.compare": {
        "records": lambda t: [measured(t)],
        "metric": lambda t: "dice",
        "baseline": lambda t: None,
        "level": lambda t: 0.5,
        "lower": lambda t: False,
    },
    "alkit.report.compare_runs": {
        "runs": lambda t: {"a": t.runs, "b": t.runs},
        "metric": lambda t: "dice",
        "baseline": lambda t: "a",
        "level": lambda t: 0.2,
        "lower": lambda t: False,
    },
    "alkit.report.draw_curves": {
        "axes": lambda t: Figure().add_subplot(),
        "methods": lambda t: {"a": t.runs},
        "seeds": lambda t: False,
        "bands": lambda t: None,
    },
    "alkit.report.learning_curves": {
        "runs": lambda t: {"a": [t.experiment.history]},
        "path": lambda t: t.folder / "curves.png",
        "metric": lambda t: "dice",
        "title": lambda t: "",
    },
    "alkit.report.progress_bar": {"title": lambda t: ""},
    "alkit.report.write_page": {
        "path": lambda t: t.folder / "page.html",
        "title": lambda t: "x",
        "sections": lambda t: [],
    },
    "alkit.rng.Stream": {"path": lambda t: ("a", 1)},
    "alkit.rng.Stream.child": {"names": lambda t: ("a", 1)},
    "alkit.rng.threads": {"count": lambda t: 1},
    "alkit.scores.Scoring": {"key": lambda t: None},
    "alkit.scores.Scoring.scores": {
        "score": lambda t: alkit.scores.entropy,
        "sampler": lambda t: alkit.samplers.DETERMINISTIC,
        "reduction": lambda t: alkit.scores.mean,
    },
    "alkit.scores.check_draws": {"draws": lambda t: 3},
    "alkit.scores.head_disagreement": {"heads": lambda t: (t.probabilities, t.probabilities)},
    "alkit.scores.mean": {"maps": lambda t: torch.rand(2, 8, 8)},
    "alkit.scores.total": {"maps": lambda t: torch.rand(2, 8, 8)},
    "alkit.scores.moments_of": {"score": lambda t: alkit.scores.bald},
    "alkit.values.AuditFigures": {
        "figures": lambda t: {"dice": t.interval},
        "drawn": lambda t: 3,
        "of": lambda t: 8,
        "groups": lambda t: ("p", "q"),
        "values": lambda t: {"dice": (0.5, 0.6)},
        "skipped": lambda t: 0,
        "disputed": lambda t: 0,
        "main": lambda t: True,
        "labels": lambda t: ("a1", "b2"),
    },
    "alkit.values.AuditFigures.measured_alike": {
        "other": lambda t: alkit.values.AuditFigures({"dice": t.interval}, 3, 8, ("a", "b"))
    },
    "alkit.values.AuditFigures.sentences": {"name": lambda t: "dice"},
    "alkit.values.AuditFigures.from_written": {
        "form": lambda t: alkit.values.AuditFigures({"dice": t.interval}, 3, 8, ("a", "b")).written()
    },
    "alkit.values.Interval": {
        "value": lambda t: 0.5,
        "low": lambda t: 0.4,
        "high": lambda t: 0.6,
        "n": lambda t: 5,
        "clusters": lambda t: 5,
    },
    "alkit.statistics.Estimate": {
        "mean": lambda t: 0.5,
        "n": lambda t: 5,
        "sd": lambda t: 0.1,
        "low": lambda t: 0.4,
        "high": lambda t: 0.6,
    },
    "alkit.statistics.Forecast": {
        "labels": lambda t: 200.0,
        "value": lambda t: 0.8,
        "low": lambda t: 0.7,
        "high": lambda t: 0.9,
        "level": lambda t: 0.7,
        "gain": lambda t: 0.1,
        "gain_low": lambda t: 0.0,
        "gain_high": lambda t: 0.2,
        "rounds": lambda t: 5,
    },
    "alkit.statistics.LabelCost": {
        "fixed": lambda t: 30.0,
        "per_border": lambda t: 20.0,
        "per_area": lambda t: 10.0,
        "levels": lambda t: {},
        "next_level": lambda t: 1.0,
        "scatter": lambda t: 0.5,
        "factor": lambda t: 1.1,
        "n": lambda t: 30,
        "usual": lambda t: (0.1, 1.0),
        "most": lambda t: (0.5, 4.0),
    },
    "alkit.statistics.LabelCost.expected": {"outline": lambda t: (0.1, 1.0)},
    "alkit.statistics.LabelCost.interval": {"labels": lambda t: 5},
    "alkit.statistics.LabelsSaved": {
        "saved": lambda t: None,
        "reached_a": lambda t: 1,
        "reached_b": lambda t: 1,
        "began_a": lambda t: 1,
        "began_b": lambda t: 1,
    },
    "alkit.statistics.VarianceParts": {
        "initial": lambda t: 0.1,
        "choice": lambda t: 0.1,
        "residual": lambda t: 0.1,
        "below_zero": lambda t: (),
        "intervals": lambda t: {},
    },
    "alkit.statistics.aubc": CURVE,
    "alkit.statistics.estimate": {"values": lambda t: [0.1, 0.2, 0.3, 0.4, 0.5]},
    "alkit.statistics.fit_cost": {
        "seconds": lambda t: [20.0, 30.0],
        "groups": lambda t: ["ann", "ben"],
        "outlines": lambda t: [None, None],
    },
    "alkit.statistics.forecast": {
        "labels": lambda t: [10, 20, 40],
        "values": lambda t: [0.7, 0.75, 0.8],
        "at": lambda t: 80,
    },
    "alkit.statistics.holm": {"p": lambda t: {"a": 0.1}},
    "alkit.statistics.interval_of": {
        "values": lambda t: [0.1, 0.2],
        "groups": lambda t: ["p", "q"],
        "bounds": lambda t: (0.0, 1.0),
    },
    "alkit.statistics.DrawnByScore": {
        "probabilities": lambda t: (0.5, 0.5),
        "population": lambda t: 4,
    },
    "alkit.statistics.draw_by_score": {
        "scores": lambda t: {"a": 0.1, "b": 0.2},
        "power": lambda t: 1.0,
        "uniform": lambda t: 0.2,
    },
    "alkit.statistics.sequence_probabilities": {
        "scores": lambda t: {"a": 0.1, "b": 0.2},
        "drawn": lambda t: ["a"],
        "power": lambda t: 1.0,
    },
    "alkit.statistics.lure_weights": {"probabilities": lambda t: [0.5, 0.5], "population": lambda t: 4},
    "alkit.statistics.lure": {
        "losses": lambda t: [0.5, 0.5],
        "probabilities": lambda t: [0.5, 0.5],
        "population": lambda t: 4,
    },
    "alkit.statistics.labels_saved": PAIR,
    "alkit.statistics.labels_to_reach": CURVE,
    "alkit.statistics.paired_difference": PAIR,
    "alkit.statistics.penalty_matrix": {"methods": lambda t: {"a": t.runs, "b": t.runs}, "level": lambda t: 0.05},
    "alkit.statistics.share_of_ceiling": {"ceiling": lambda t: dict.fromkeys(range(6), 0.9), "labels": lambda t: 10},
    "alkit.statistics.variance_parts": {
        "table": lambda t: {(a, b): a + b / 10 for a in range(3) for b in range(3)},
    },
    "alkit.statistics.why_no_forecast": {"labels": lambda t: [10, 20, 40], "values": lambda t: [0.7, 0.75, 0.8]},
    "alkit.stopping.Advice": {"stop": lambda t: None, "figures": lambda t: {}},
    "alkit.stopping.rule": {"name": lambda t: "expected-gain"},
    "alkit.stopping.stopping_advice": {"next_batch": lambda t: 5},
    "alkit.strategies.Description": {
        "name": lambda t: "x",
        "distribution": lambda t: "x",
        "version": lambda t: "1",
        "object": lambda t: "x:y",
        "summary": lambda t: "",
        "parameters": lambda t: (),
        "problem": lambda t: "",
        "starts_cold": lambda t: None,
        "needs": lambda t: None,
        "when_to_use": lambda t: "",
    },
    "alkit.strategies.DuplicatesLast": {"similarity": lambda t: 0.9},
    "alkit.strategies.Filter": {"then": lambda t: t.random, "factor": lambda t: 2},
    "alkit.strategies.FromFunction": {"function": lambda t: first},
    "alkit.strategies.Mix": {"parts": lambda t: {t.random: 1.0}},
    "alkit.strategies.PerCluster": {"clusters": lambda t: 2},
    "alkit.strategies.Stochastic": {"power": lambda t: 1.0},
    "alkit.strategies.Then": {"cold": lambda t: t.random, "warm": lambda t: t.ranking, "after": lambda t: 2},
    "alkit.strategies.Uncertainty": {
        "sampler": lambda t: alkit.samplers.DETERMINISTIC,
        "reduction": lambda t: None,
    },
    "alkit.strategies.Picks": {"features": lambda t: np.eye(8, dtype=np.float32)},
    "alkit.strategies.Picks.best": {"values": lambda t: np.arange(8.0)},
    "alkit.strategies.Picks.pick": {"row": lambda t: 2},
    "alkit.strategies.Picks.selection": {"stands_for": lambda t: []},
    "alkit.strategies.describe_picks": {"stands_for": lambda t: [2, 3]},
    "alkit.strategies.different_first": {
        "picks": lambda t: alkit.strategies.Picks(t.view, np.eye(8, dtype=np.float32), 1),
        "order": lambda t: ["c", "d"],
    },
    "alkit.strategies.pick_farthest": {
        "picks": lambda t: alkit.strategies.Picks(t.view, np.eye(8, dtype=np.float32), 1),
        "features": lambda t: np.eye(8, dtype=np.float32),
    },
    "alkit.strategies.pick_by_cluster": {
        "picks": lambda t: alkit.strategies.Picks(t.view, np.eye(8, dtype=np.float32), 1),
        "clusters": lambda t: t.view.clusters(t.features, 2),
        "order": lambda t: lambda rows: rows,
    },
    "alkit.strategies.as_strategy": {"name": lambda t: "strategy", "part": lambda t: t.random},
    "alkit.strategies.check_n": {"candidates": lambda t: ("a", "b")},
    "alkit.strategies.describe": {"name": lambda t: "random"},
    "alkit.strategies.largest_remainder": {"budget": lambda t: 2, "sizes": lambda t: [2, 3]},
    "alkit.strategies.read_strategy": {"path": lambda t: strategy_file(t)},
    "alkit.strategies.top_k": {"scores": lambda t: [0.1, 0.2]},
    "alkit.synthetic.Kind": {
        name: lambda t: (0.1, 0.2) for name in ("area", "depth", "soft", "ragged", "patchy", "hollow")
    }
    | {"share": lambda t: 0.5},
    "alkit.trained.Predicted": {
        "path": lambda t: t.folder / "a.png",
        "size": lambda t: (8, 8),
        "probabilities": lambda t: np.full((2, 8, 8), 0.5, np.float32),
        "fit": lambda t: "pad",
        "name": lambda t: "a.png",
    },
    "alkit.trained.TrainedModel": {
        "shape": lambda t: (1, 8, 8),
        "reading": lambda t: None,
        "threads": lambda t: 1,
        "origin": lambda t: t.model.origin,
        "tiles": lambda t: None,
        "slicing": lambda t: None,
    },
    "alkit.trained.predict_volumes": {
        "model": lambda t: t.model,
        "volumes": lambda t: t.volumes.path,
        "out": lambda t: t.folder / "predicted",
        "overwrite": lambda t: True,
        "dicom_seg": lambda t: False,
    },
    "alkit.trained.predict_images": {
        "model": lambda t: t.model,
        "folder": lambda t: t.folder / "images",
        "failed": lambda t: print,
    },
    "alkit.values.Clusters": {"labels": lambda t: np.array([0, 1]), "distances": lambda t: np.array([0.0, 0.1])},
    "alkit.values.Frame": {
        "original": lambda t: (4, 8),
        "working": lambda t: (8, 8),
        "fit": lambda t: "pad",
        "box": lambda t: None,
        "part": lambda t: None,
    },
    "alkit.values.Limit": {"groups": lambda t: {"a": "x"}, "most": lambda t: 1},
    "alkit.values.Progress": {
        "stage": lambda t: "fit",
        "done": lambda t: 1,
        "total": lambda t: 2,
        "detail": lambda t: {},
        "result": lambda t: None,
    },
    "alkit.values.Receipt": dict.fromkeys(("taken", "unchanged", "outdated", "refused", "warnings"), lambda t: ()),
    "alkit.values.Disputes": {"decided": lambda t: "ignore", "below": lambda t: 0.5, "senior": lambda t: ""},
    "alkit.values.quiet": {"progress": lambda t: alkit.values.Progress("fit", 1, 2)},
}
"""Examples by address and parameter, before those of :data:`COMMON`."""

STORE = {
    "add_answers": {
        "decide": lambda t: lambda asked, known: [],
        "sent": lambda t: False,
        "labels": lambda t: (),
        "sent_back": lambda t: None,
    },
    "add_queries": {
        "new": lambda t: [t.query],
        "pseudo": lambda t: None,
        "prelabels": lambda t: None,
        "facts_now": lambda t: {},
    },
    "commit_round": {
        "result": lambda t: alkit.RoundResult(0, (), 1),
        "model": lambda t: b"x",
        "labels": lambda t: "x",
        "consumed": lambda t: (),
        "keep": lambda t: (),
        "facts_now": lambda t: {},
    },
    "used_in": {"round": lambda t: 0},
    "withdraw": {"reviews": lambda t: []},
    "revise_queries": {"changed": lambda t: [], "facts_now": lambda t: {}, "unless": lambda t: lambda: False},
    "replace": {
        "values": lambda t: {},
        "keep": lambda t: lambda name: True,
        "unanswered": lambda t: False,
        "without_queries": lambda t: False,
        "withdrawn": lambda t: [],
        "sizes": lambda t: {},
        "wanted": lambda t: 1,
    },
    "content": {"name": lambda t: "x"},
    "count_ranks": {"round": lambda t: 0},
    "declare": {"values": lambda t: {"x": 1}, "replace_all": lambda t: False},
    "fact": {"name": lambda t: "x"},
    "forget": {"name": lambda t: "x"},
    "keep": {"content": lambda t: b"x", "suffix": lambda t: ".bin"},
    "measure_round": {
        "round": lambda t: 0,
        "metrics": lambda t: {},
        "seconds": lambda t: {},
        "figures": lambda t: {"stability": {"changed": 0.5}},
        "warnings": lambda t: [],
        "facts_now": lambda t: {},
    },
    "pseudo_labels": {"round": lambda t: 0},
    "revise": {"name": lambda t: "x", "change": lambda t: lambda before: before},
    "revise_all": {"changes": lambda t: {}},
    "step": {"name": lambda t: "ask()"},
    "revise_unanswered": {"name": lambda t: "x", "change": lambda t: lambda before: before},
    "delete_files": {"names": lambda t: [], "strays": lambda t: True},
    "take_out": {"id": lambda t: "nobody", "facts_now": lambda t: lambda names: {}},
    "used": {"numbers": lambda t: [1]},
    "reject": {"numbers": lambda t: [1]},
    "set_prelabels": {"files": lambda t: {}},
    "settle": {"pending": lambda t: None},
}
EXAMPLES.update({f"alkit.record.Store.{name}": example for name, example in STORE.items()})

OBJECTS = {
    "alkit.RoundResult": lambda t: alkit.RoundResult(0, (), 1),
    "alkit.values.AuditFigures": lambda t: alkit.values.AuditFigures({"dice": t.interval}, 3, 8, ("a", "b")),
    "alkit.evaluation.Losses": lambda t: alkit.evaluation.Losses(quiet),
    "alkit.ArrayPool": lambda t: t.pool,
    "alkit.TilePool": lambda t: t.tiles,
    "alkit.VolumePool": lambda t: t.volumes,
    "alkit.ClassificationLearner": lambda t: alkit.ClassificationLearner(alkit.UNet, epochs=(1, 1)),
    "alkit.Dropout": lambda t: alkit.Dropout(2),
    "alkit.learners.DataParallel": lambda t: alkit.learners.DataParallel(
        alkit.SegmentationLearner(alkit.UNet, epochs=(1, 1))
    ),
    "alkit.Ensemble": lambda t: alkit.Ensemble(t.learner, 2),
    "alkit.EstimatorLearner": lambda t: alkit.EstimatorLearner(GaussianNB()),
    "alkit.Experiment": lambda t: t.experiment,
    "alkit.FolderOracle": lambda t: t.folder_oracle,
    "alkit.LabelOracle": lambda t: alkit.LabelOracle({"a": 1}, CLASSES),
    "alkit.LabelSpec": lambda t: t.spec,
    "alkit.LabelStudioOracle": lambda t: None,
    "alkit.MaskOracle": lambda t: t.oracle,
    "alkit.Reconstruction": lambda t: alkit.Reconstruction(epochs=1),
    "alkit.report.Comparison": lambda t: alkit.report.compare_runs({"a": t.runs, "b": t.runs}),
    "alkit.report.Tracker": lambda t: alkit.report.Tracker(FakeTarget()),
    "alkit.report.Rows": lambda t: alkit.report.Rows(("a",), ({"a": 1},)),
    "alkit.SegmentationLearner": lambda t: alkit.SegmentationLearner(alkit.UNet, epochs=(1, 1)),
    "alkit.UNet": lambda t: t.network,
    "alkit.features.Deformation": lambda t: alkit.features.Deformation(),
    "alkit.features.FittedPretrained": lambda t: t.pretrained.load(),
    "alkit.features.Pretrained": lambda t: t.pretrained,
    "alkit.features.FittedReconstruction": lambda t: alkit.features.FittedReconstruction(t.network, 1),
    "alkit.features.Embeddings": lambda t: alkit.features.Embeddings(t.embeddings),
    "alkit.features.OfLearner": lambda t: alkit.features.OfLearner(),
    "alkit.learners.Augment": lambda t: alkit.learners.Augment(),
    "alkit.learners.Stop": lambda t: alkit.learners.Stop(),
    "alkit.learners.EnsemblePredictor": lambda t: alkit.learners.EnsemblePredictor((t.predictor, t.predictor)),
    "alkit.learners.EstimatorPredictor": lambda t: t.estimated,
    "alkit.learners.MonaiLoss": lambda t: alkit.learners.MonaiLoss("DiceLoss"),
    "alkit.learners.NNUNetLearner": lambda t: alkit.learners.NNUNetLearner(2, 1, 1),
    "alkit.learners.NetworkPredictor": lambda t: t.predictor,
    "alkit.networks.MonaiNetwork": lambda t: alkit.networks.MonaiNetwork("SegResNet"),
    "alkit.networks.Heads": lambda t: alkit.networks.Heads({1: 0.5}, {1: 2}, 2, "a network"),
    "alkit.networks.Classifier": lambda t: classifier(),
    "alkit.networks.SmpNetwork": lambda t: smp_network(),
    "alkit.record.Store": lambda t: t.experiment._parts.store,
    "alkit.record.Terms": lambda t: alkit.record.Terms(),
    "alkit.rng.Stream": lambda t: Stream(0),
    "alkit.samplers.Deterministic": lambda t: alkit.samplers.DETERMINISTIC,
    "alkit.samplers.Members": lambda t: alkit.samplers.Members(),
    "alkit.scores.Scoring": lambda t: alkit.scores.Scoring(t.pool, t.predictor, Stream(0)),
    "alkit.statistics.LabelCost": lambda t: alkit.statistics.LabelCost(30.0),
    "alkit.strategies.DuplicatesLast": lambda t: alkit.strategies.DuplicatesLast(t.random, t.features),
    "alkit.strategies.Filter": lambda t: alkit.strategies.Filter(t.ranking, t.random),
    "alkit.strategies.FromFunction": lambda t: alkit.strategies.FromFunction(first),
    "alkit.strategies.Mix": lambda t: alkit.strategies.Mix({t.random: 1.0}),
    "alkit.strategies.Picks": lambda t: alkit.strategies.Picks(t.view, np.eye(8, dtype=np.float32), 0),
    "alkit.strategies.PerCluster": lambda t: alkit.strategies.PerCluster(t.ranking, t.features, 2),
    "alkit.strategies.PerSecond": lambda t: alkit.strategies.PerSecond(t.ranking),
    "alkit.strategies.Stochastic": lambda t: alkit.strategies.Stochastic(t.ranking),
    "alkit.strategies.Then": lambda t: alkit.strategies.Then(t.random, t.ranking, 2),
    "alkit.strategies.Uncertainty": lambda t: t.ranking,
    "alkit.testing.Brightness": lambda t: t.learner,
    "alkit.testing.ExtractorKit": lambda t: alkit.testing.ExtractorKit(),
    "alkit.testing.LearnerKit": lambda t: alkit.testing.LearnerKit(),
    "alkit.testing.OracleKit": lambda t: alkit.testing.OracleKit(),
    "alkit.testing.PoolKit": lambda t: alkit.testing.PoolKit(),
    "alkit.testing.RowMeans": lambda t: t.features,
    "alkit.testing.StrategyKit": lambda t: alkit.testing.StrategyKit(),
}
"""Objects by the address of their class."""


class FakeTarget:
    """Takes figures and writes them nowhere."""

    def write_round(self, values, result):
        pass

    def write_step(self, values, step):
        pass

    def close(self):
        pass


def measured(things):
    """Return the record of an experiment whose rounds have metrics."""
    path = things.folder / "measured.db"
    if not path.exists():
        experiment = alkit.Experiment(things.pool, things.learner, things.random, path)
        experiment.run(things.oracle, test=things.test, start=2, batch=1, rounds=1)
    return path


def first(view, n, rng):
    return view.candidates[:n]


def smp_model(in_channels, classes):
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, in_channels=in_channels, classes=classes)


def labels_file(things):
    path = things.folder / "labels.csv"
    path.write_text("id,class\na,cat\n")
    return path


def classifier():
    return alkit.networks.Classifier(partial(alkit.UNet, widths=(2, 4)), 1, 2).eval()


_SMP = []


def smp_network():
    if not _SMP:
        _SMP.append(alkit.networks.SmpNetwork(smp_model, 1, 2).eval())
    return _SMP[0]


def strategy_file(things):
    path = things.folder / "strategy.toml"
    path.write_text('name = "random"\n')
    return path


def example_of(address, parameter):
    """Return how to make a valid argument of a public callable; None if there is no example."""
    return EXAMPLES.get(address, {}).get(parameter) or COMMON.get(parameter)
