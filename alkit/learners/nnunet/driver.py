"""The program that runs nnU-Net: a script for any interpreter that has nnunetv2, which does not import alkit.

It reads a job, a JSON file, and writes lines of JSON to its standard output. All that nnU-Net prints goes to its
standard error. It ends when its standard input is closed, so that it never outlives the program that has started it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import math
import os
import random
import shutil
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

Tell = Callable[[dict[str, Any]], None]

DATASET = 1
"""Number of the only data set in the folders of a job."""

PLANS = "nnUNetPlans"

FLOOR, TIMES = 2**26, 8
"""A network may take so many bytes while it is made, and so many for each byte of its stored weights."""

FEW, EACH = 10**4, 100
"""It may call so many functions of torch, and so many for each tensor of its weights."""

INTENSITIES = 10**6
"""Number of pixels for the statistics of intensities, which only CT images need: nnU-Net takes 100 times as many."""


def main(path: str) -> None:
    """Do the job in a file."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print, in C too, is not part of the protocol

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        import nnunetv2  # noqa: F401
    except ImportError as reason:
        tell({"missing": str(reason)})
        sys.exit(3)
    job = json.loads(Path(path).read_text("utf-8"))
    if job["task"] == "serve":
        serve(job, tell)
    else:
        # Not sys.stdin: a process that is forked closes it, and would wait for the thread that reads it.
        source = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        threading.Thread(target=end_with_parent, args=(source,), daemon=True).start()
        train(job, tell)
        tell({"done": True})


def end_with_parent(source: int) -> None:
    """Wait until a file, the former standard input, is closed, and end the process."""
    while os.read(source, 4096):
        pass
    os._exit(4)


def seed(*names: int | str) -> None:
    """Seed all global generators."""
    import numpy as np
    import torch

    number = zlib.crc32(" ".join(map(str, names)).encode())
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def device_of(job: dict[str, Any]) -> Any:
    """Return the device of a job, after torch has got its number of threads."""
    import torch

    torch.set_num_threads(job["threads"])
    name = job["device"]
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def train(job: dict[str, Any], tell: Tell) -> None:
    """Plan and preprocess the data set, train one model for each split, and write their weights and their facts."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments, preprocess
    from nnunetv2.paths import nnUNet_preprocessed

    device, folder = device_of(job), Path(job["folder"])
    base = Path(str(nnUNet_preprocessed)) / job["dataset"]
    begin_again_if_changed(folder, code_of(trainer_class(job["trainer"])))
    ready = folder / "preprocessed.done"
    if not ready.exists():
        tell({"stage": "preprocess"})
        seed(job["seed"], "plans")
        processes = job["processes"]
        extractor = DatasetFingerprintExtractor(DATASET, processes)
        extractor.num_foreground_voxels_for_intensitystats = INTENSITIES
        extractor.show_progress_bar = False
        extractor.run(overwrite_existing=True)
        plan_experiments([DATASET], "ExperimentPlanner", job["memory"])
        preprocess([DATASET], PLANS, ("2d",), (processes,), show_progress_bar=False)
        (base / "splits_final.json").write_text(json.dumps(job["splits"]))
        ready.touch()
    for fold in range(len(job["splits"])):
        if not (folder / f"fold_{fold}.pt").exists():
            train_fold(job, fold, base, device, tell)


def code_of(trainer: type) -> dict[str, str]:
    """Return the versions of the packages that a training depends on, and a digest of each file of its trainer."""
    found = {}
    for name in ("nnunetv2", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a folder of source code
            found[name] = ""
    for part in trainer.__mro__[:-1]:
        with suppress(TypeError):  # a class that is not written in Python
            if path := inspect.getsourcefile(part):
                found[part.__module__] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return found


def begin_again_if_changed(folder: Path, code: dict[str, str]) -> None:
    """Delete what other code has prepared and trained in the folder of a job, so that no model is a mixture of both."""
    told, text = folder / "code.json", json.dumps(code, sort_keys=True)
    if told.exists() and told.read_text("utf-8") == text:
        return
    for path in (folder / "preprocessed.done", folder / "facts.json", *folder.glob("fold_*.pt")):
        path.unlink(missing_ok=True)
    for name in ("preprocessed", "results"):
        shutil.rmtree(folder / name, ignore_errors=True)
    told.write_text(text, "utf-8")


def train_fold(job: dict[str, Any], fold: int, base: Path, device: Any, tell: Tell) -> None:
    """Train the model of one split, from its last checkpoint if there is one."""
    import torch
    from torch._dynamo.eval_frame import OptimizedModule

    plans, dataset = (json.loads((base / name).read_text("utf-8")) for name in (f"{PLANS}.json", "dataset.json"))
    facts = {"plans": dict(plans), "dataset": dataset}
    torch.set_num_threads(job["threads"])  # the planner changes it
    # Augment in this process, so that the same seed gives the same model.
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112
    trainer = trainer_class(job["trainer"])(
        plans={**plans, "continue_training": False},
        configuration="2d",
        fold=fold,
        dataset_json=dataset,
        device=device,
    )
    trainer.num_epochs = job["epochs"]
    trainer.num_iterations_per_epoch = job["iterations"]
    trainer.num_val_iterations_per_epoch = max(1, job["iterations"] // 5)
    trainer.save_every = job["save_every"]
    trainer.plot_network_architecture = lambda: None
    trainer.logger.plot_progress_png = lambda folder: None
    begin, end, save = trainer.on_train_epoch_start, trainer.on_epoch_end, trainer.save_checkpoint

    def on_train_epoch_start() -> None:
        seed(job["seed"], fold, trainer.current_epoch)  # so that a continued training draws what a whole one draws
        begin()

    def on_epoch_end() -> None:
        end()
        loss = float(trainer.logger.get_value("train_losses", step=-1))
        tell({"stage": "fit", "fold": fold, "epoch": trainer.current_epoch, "loss": loss})

    def save_checkpoint(filename: str) -> None:
        if not filename.endswith("checkpoint_best.pth"):  # the final one is used
            save(f"{filename}.writing")
            os.replace(f"{filename}.writing", filename)

    trainer.on_train_epoch_start, trainer.on_epoch_end = on_train_epoch_start, on_epoch_end
    trainer.save_checkpoint = save_checkpoint
    seed(job["seed"], fold, "weights")
    latest = Path(trainer.output_folder) / "checkpoint_latest.pth"
    if latest.exists():
        trainer.load_checkpoint(str(latest))
        tell({"stage": "fit", "fold": fold, "epoch": trainer.current_epoch, "continued": True})
    trainer.run_training()
    network = trainer.network._orig_mod if isinstance(trainer.network, OptimizedModule) else trainer.network
    axes = trainer.inference_allowed_mirroring_axes
    facts |= {"mirroring": None if axes is None else list(axes), "trainer": job["trainer"]}
    folder = Path(job["folder"])
    (folder / "facts.json").write_text(json.dumps(facts))
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    torch.save(weights, folder / "weights.writing")
    os.replace(folder / "weights.writing", folder / f"fold_{fold}.pt")


def trainer_class(name: str) -> Any:
    """Return the trainer of nnU-Net with this name."""
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = os.path.join(nnunetv2.__path__[0], "training", "nnUNetTrainer")
    found = recursive_find_python_class(folder, name, "nnunetv2.training.nnUNetTrainer")
    if found is None:
        raise RuntimeError(f"nnunetv2 {folder} has no trainer {name}")
    return found


def bounded(weights: dict[str, Any]) -> AbstractContextManager[Any]:
    """Return a block in which a network is made: its plans, which a stranger may have written, can state any size.

    A :class:`RuntimeError` is raised as soon as the network takes far more memory, or has far more parts, than its
    stored weights justify.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.bytes = FLOOR + TIMES * sum(value.nbytes for value in weights.values())
            self.calls = FEW + EACH * len(weights)

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls -= 1
            if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
                self.bytes -= 4 * math.prod(args[0])
            if min(self.bytes, self.calls) < 0:
                raise RuntimeError("the network in the plans is far larger than its stored weights")
            return func(*args, **(kwargs or {}))

    return Bounded()


def serve(job: dict[str, Any], tell: Tell) -> None:
    """Predict images by all models of a job: one request, a line of JSON with two paths, for each batch."""
    import numpy as np
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    device, facts = device_of(job), json.loads((Path(job["folder"]) / "facts.json").read_text("utf-8"))
    dataset, plans = facts["dataset"], PlansManager(facts["plans"])
    configuration, labels = plans.get_configuration("2d"), plans.get_label_manager(dataset)
    members = [torch.load(path, map_location="cpu", weights_only=True) for path in job["weights"]]
    with bounded(members[0]):
        network = trainer_class(facts["trainer"]).build_network_architecture(
            plans,
            configuration,
            len(dataset["channel_names"]),
            labels.num_segmentation_heads,
            enable_deep_supervision=False,
        )
    predictor = nnUNetPredictor(
        perform_everything_on_device=device.type == "cuda",
        use_mirroring=facts["mirroring"] is not None,
        device=device,
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        network.to(device), plans, configuration, members, dataset, facts["trainer"], facts["mirroring"]
    )
    preprocessor = configuration.preprocessor_class(verbose=False)
    tell({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        images = np.load(request["images"], allow_pickle=False)
        prepared = []
        for image in images:
            properties: dict[str, Any] = {"spacing": (999.0, 1.0, 1.0)}
            data = preprocessor.run_case_npy(image[:, None], None, properties, plans, configuration, dataset)[0]
            prepared.append((torch.from_numpy(np.ascontiguousarray(data)), properties))
        found = np.empty((len(members), len(images), job["classes"], *images.shape[2:]), np.float32)
        for member, weights in enumerate(members):
            network.load_state_dict(weights)
            network.eval()
            for row, (data, properties) in enumerate(prepared):
                logits = predictor.predict_sliding_window_return_logits(data).float().cpu()
                _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
                    logits, plans, configuration, labels, properties, True, job["threads"]
                )
                found[member, row] = np.asarray(probabilities)[:, 0]
        np.save(request["out"], found)
        tell({"done": True})


if __name__ == "__main__":
    main(sys.argv[1])
