"""Callbacks that write the progress and the results of an experiment to TensorBoard, MLflow or Weights & Biases.

Metrics are written over the number of labels. What is measured while a model trains, such as the loss, is written over
the number of values so far.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from alkit._logs import logger
from alkit.arguments.checked import checked, checked_except
from alkit.errors import ConfigurationError, MissingDependencyError
from alkit.values.progress import Progress
from alkit.values.rounds import RoundResult

log = logger(__name__)


class Target(Protocol):
    """What a tracker writes to."""

    def write_round(self, values: Mapping[str, float], result: RoundResult) -> None:
        """Write the figures of a round."""
        ...

    def write_step(self, values: Mapping[str, float], step: int) -> None:
        """Write figures of a training, or of another stage."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


@checked
class Tracker:
    """A callback for ``report=``. :func:`tensorboard`, :func:`mlflow` and :func:`wandb` return it.

    It can be used in a ``with`` statement, which closes it. If the service fails, the first failure is logged as a
    warning and the experiment goes on.

    Parameters
    ----------
    target:
        What it writes to.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._counts: Counter[str] = Counter()
        self._failed = False

    @checked
    def __call__(self, progress: Progress) -> None:
        """Write the figures of this progress."""
        try:
            if progress.result is not None:
                self._target.write_round(round_figures(progress.result), progress.result)
            elif progress.stage != "round" and progress.detail:
                self._counts[progress.stage] += 1
                values = {f"{progress.stage}/{name}": value for name, value in progress.detail.items()}
                self._target.write_step(_finite(values), self._counts[progress.stage])
        except Exception as reason:  # a service can fail in any way, and labels must not be lost with it
            if not self._failed:
                log.warning("results are not written any more, and the experiment goes on (%s)", reason)
            self._failed = True

    def close(self) -> None:
        """Finish writing."""
        self._target.close()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


def round_figures(result: RoundResult) -> dict[str, float]:
    """Return the figures of a round by name; those that are not finite are left out.

    >>> round_figures(RoundResult(1, ("a",), 9, {"dice": 0.5, "x": math.nan}, {"fit": 2.0}))
    {'metrics/dice': 0.5, 'seconds/fit': 2.0, 'labels': 9.0, 'round': 1.0, 'pseudo_labels': 0.0, 'held_out': 0.0}
    """
    values = {f"metrics/{name}": value for name, value in result.metrics.items()}
    values |= {f"seconds/{stage}": value for stage, value in result.seconds.items()}
    values |= {"labels": float(result.n_labels), "round": float(result.round)}
    values |= {"pseudo_labels": float(result.n_pseudo), "held_out": float(result.n_held_out)}
    if result.n_unasked:
        values["unasked"] = float(result.n_unasked)
    if result.agreement is not None:
        values["agreement"] = result.agreement
    return _finite(values)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


@checked
def tensorboard(folder: str | os.PathLike[str]) -> Tracker:
    """Return a callback that writes an event file for TensorBoard.

    Parameters
    ----------
    folder:
        Folder of the event file, one for each run.

    Raises
    ------
    MissingDependencyError
        TensorBoard is not installed: ``pip install "alkit[tensorboard]"``.
    """
    writer = _imported("torch.utils.tensorboard", "tensorboard").SummaryWriter(os.fspath(folder))
    return Tracker(_TensorBoard(writer))


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write_round(self, values: Mapping[str, float], result: RoundResult) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, result.n_labels)
        if result.warnings:
            self._writer.add_text("warnings", "\n\n".join(result.warnings), result.n_labels)
        self._writer.flush()

    def write_step(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


@checked
def mlflow(run_id: str | None = None, *, experiment: str = "alkit", tracking_uri: str | None = None) -> Tracker:
    """Return a callback that logs metrics to a run of MLflow.

    Parameters
    ----------
    run_id:
        Run to log to, such as ``mlflow.active_run().info.run_id``; it is not ended. Default: a new run, which ends when
        the callback is closed.
    experiment:
        Name of the experiment of MLflow that a new run belongs to.
    tracking_uri:
        Where results are stored: a server, a database or a folder. Default: that of MLflow.

    Raises
    ------
    MissingDependencyError
        MLflow is not installed: ``pip install "alkit[mlflow]"``.
    """
    client = _imported("mlflow.tracking", "mlflow").MlflowClient(tracking_uri)
    if run_id is not None:
        return Tracker(_MLflow(client, run_id, owned=False))
    known = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment) if known is None else known.experiment_id
    return Tracker(_MLflow(client, client.create_run(number).info.run_id, owned=True))


class _MLflow:
    def __init__(self, client: Any, run_id: str, *, owned: bool) -> None:
        self._client, self._run_id, self._owned = client, run_id, owned
        self._names: dict[str, str] = {}  # by name in MLflow

    def write_round(self, values: Mapping[str, float], result: RoundResult) -> None:
        self.write_step(values, result.n_labels)
        if result.warnings:
            self._client.set_tag(self._run_id, f"warnings.round_{result.round}", " ".join(result.warnings))

    def write_step(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run_id, self._name(name), value, step=step)

    def _name(self, name: str) -> str:
        """Return a name that MLflow accepts, and that no other name has: two metrics would become one curve."""
        accepted = re.sub(r"[^\w/ .-]", "_", name)
        while self._names.setdefault(accepted, name) != name:
            accepted += "_"
        return accepted

    def close(self) -> None:
        if self._owned:
            self._client.set_terminated(self._run_id)


@checked_except("run")
def wandb(run: Any = None, **settings: Any) -> Tracker:
    """Return a callback that logs metrics to a run of Weights & Biases.

    Weights & Biases sends results to its server; with ``mode="offline"`` they stay in a folder.

    Parameters
    ----------
    run:
        Run that ``wandb.init`` returned; it is not finished. Default: a new one, which is finished when the callback is
        closed.
    settings:
        Arguments of ``wandb.init`` for a new run, such as ``project="skin"``, ``mode="offline"`` and ``dir="runs"``.

    Raises
    ------
    MissingDependencyError
        wandb is not installed: ``pip install "alkit[wandb]"``.
    ConfigurationError
        Both `run` and settings are given, or `run` cannot log.
    """
    if run is not None and settings:
        raise ConfigurationError("run must be left out if settings of a new run are given", got=", ".join(settings))
    if run is not None and not (callable(getattr(run, "log", None)) and callable(getattr(run, "define_metric", None))):
        raise ConfigurationError("run must be a run of wandb", got=f"an object of type {type(run).__name__}")
    made = run if run is not None else _imported("wandb", "wandb").init(**settings)
    return Tracker(_Wandb(made, owned=run is None))


class _Wandb:
    def __init__(self, run: Any, *, owned: bool) -> None:
        self._run, self._owned, self._axes = run, owned, set[str]()

    def write_round(self, values: Mapping[str, float], result: RoundResult) -> None:
        self._log({**values, "labels": result.n_labels}, "labels")
        if result.warnings:
            self._run.summary["warnings"] = " ".join(result.warnings)

    def write_step(self, values: Mapping[str, float], step: int) -> None:
        axis = f"{next(iter(values), '/').partition('/')[0]}/step"
        self._log({**values, axis: step}, axis)

    def _log(self, values: Mapping[str, float], axis: str) -> None:
        for name in values:
            if name not in self._axes and name != axis:
                self._axes.add(name)
                self._run.define_metric(name, step_metric=axis)
        self._run.log(dict(values))

    def close(self) -> None:
        if self._owned:
            self._run.finish()


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as reason:
        raise MissingDependencyError(
            f"{extra} is not installed ({reason})", hint=f'pip install "alkit[{extra}]"'
        ) from reason
