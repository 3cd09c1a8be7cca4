"""The adapters write to small fakes with the signatures of the real classes; slow tests use the real packages."""

import inspect
import logging
import math
import sys
import types

import pytest

import alkit
from alkit.errors import ConfigurationError, MissingDependencyError
from alkit.report import mlflow, tensorboard, wandb
from alkit.values import Progress, RoundResult
from tests.support.parts import CLASSES

FIRST = RoundResult(0, ("b", "a"), 2, {"dice": 0.5, "x@50": 0.25, "hd95": math.nan}, {"fit": 1.5}, warnings=("odd",))
STEPS = [
    Progress("fit", 1, 2, {"loss": 0.9}),
    Progress("fit", 2, 2, {"loss": 0.7}),
    Progress("ask", 1, 1),
    Progress("round", 1, 2, FIRST.metrics, FIRST),
    Progress("fit", 1, 1, {"loss": 0.5}),
]


class FakeWriter:
    def __init__(self, log_dir=None):
        self.log_dir, self.calls = log_dir, []
        FakeWriter.made = self

    def add_scalar(self, tag, scalar_value, global_step=None):
        self.calls.append((tag, scalar_value, global_step))

    def add_text(self, tag, text_string, global_step=None):
        self.calls.append((tag, text_string, global_step))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


class FakeClient:
    def __init__(self, tracking_uri=None):
        self.uri, self.calls = tracking_uri, []
        FakeClient.made = self

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        self.calls.append(("experiment", name))
        return "7"

    def create_run(self, experiment_id):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run of {experiment_id}"))

    def log_metric(self, run_id, key, value, timestamp=None, step=None):
        self.calls.append((run_id, key, value, step))

    def set_tag(self, run_id, key, value):
        self.calls.append((run_id, key, value))

    def set_terminated(self, run_id):
        self.calls.append(("ended", run_id))


class FakeRun:
    def __init__(self, fails=False):
        self.calls, self.axes, self.summary, self.fails = [], {}, {}, fails

    def define_metric(self, name, step_metric=None):
        self.axes[name] = step_metric

    def log(self, data):
        if self.fails:
            raise ConnectionError("no route to the server")
        self.calls.append(data)

    def finish(self):
        self.calls.append("finish")


def imported(monkeypatch, name, **content):
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))


def test_tensorboard_gets_metrics_over_labels_and_losses_over_steps(monkeypatch, tmp_path):
    imported(monkeypatch, "torch.utils.tensorboard", SummaryWriter=FakeWriter)
    with tensorboard(tmp_path / "logs") as report:
        for step in STEPS:
            report(step)
    assert FakeWriter.made.log_dir == str(tmp_path / "logs")
    assert FakeWriter.made.calls == [
        ("fit/loss", 0.9, 1),
        ("fit/loss", 0.7, 2),
        ("metrics/dice", 0.5, 2),
        ("metrics/x@50", 0.25, 2),
        ("seconds/fit", 1.5, 2),
        *((name, value, 2) for name, value in (("labels", 2), ("round", 0), ("pseudo_labels", 0), ("held_out", 0))),
        ("warnings", "odd", 2),
        "flush",
        ("fit/loss", 0.5, 3),
        "close",
    ]


def test_mlflow_gets_them_by_a_client_of_its_own(monkeypatch):
    imported(monkeypatch, "mlflow.tracking", MlflowClient=FakeClient)
    with mlflow(experiment="skin", tracking_uri="file:runs") as report:
        for step in STEPS:
            report(step)
    client = FakeClient.made
    assert (client.uri, client.calls[0]) == ("file:runs", ("experiment", "skin"))
    assert ("run of 7", "metrics/dice", 0.5, 2) in client.calls
    assert ("run of 7", "metrics/x_50", 0.25, 2) in client.calls  # MLflow refuses @ in a name
    assert ("run of 7", "warnings.round_0", "odd") in client.calls
    assert [call[2:] for call in client.calls if call[1] == "fit/loss"] == [(0.9, 1), (0.7, 2), (0.5, 3)]
    assert client.calls[-1] == ("ended", "run of 7")


def test_a_run_of_mlflow_that_somebody_else_began_is_not_ended(monkeypatch):
    imported(monkeypatch, "mlflow.tracking", MlflowClient=FakeClient)
    with mlflow("theirs") as report:
        report(STEPS[0])
    assert FakeClient.made.calls == [("theirs", "fit/loss", 0.9, 1)]


def test_two_metrics_never_become_one_in_mlflow(monkeypatch):
    imported(monkeypatch, "mlflow.tracking", MlflowClient=FakeClient)
    result = alkit.RoundResult(0, (), 2, {"recall a+": 0.5, "recall a*": 0.25})
    with mlflow("theirs") as report:
        report(alkit.values.Progress("round", 1, 2, result=result))
        report(alkit.values.Progress("round", 2, 2, result=result))
    found = [call[1:3] for call in FakeClient.made.calls if "recall" in call[1]]
    assert found == [("metrics/recall a_", 0.5), ("metrics/recall a__", 0.25)] * 2


def test_wandb_gets_them_with_an_axis_for_each(monkeypatch):
    run = FakeRun()
    imported(monkeypatch, "wandb", init=lambda **settings: run if settings == {"mode": "offline"} else None)
    with wandb(mode="offline") as report:
        for step in STEPS:
            report(step)
    assert run.axes["metrics/dice"] == "labels"
    assert run.axes["fit/loss"] == "fit/step"
    assert run.calls[0] == {"fit/loss": 0.9, "fit/step": 1}
    assert run.calls[2]["metrics/dice"] == 0.5
    assert run.calls[2]["labels"] == 2
    assert (run.summary["warnings"], run.calls[-1]) == ("odd", "finish")
    with wandb(theirs := FakeRun()) as report:
        report(STEPS[0])
    assert "finish" not in theirs.calls


def test_a_service_that_fails_is_a_warning_and_the_experiment_goes_on(caplog):
    report = wandb(FakeRun(fails=True))
    with caplog.at_level(logging.WARNING):
        for step in STEPS:
            report(step)
    assert [record.getMessage() for record in caplog.records] == [
        "results are not written any more, and the experiment goes on (no route to the server)"
    ]


@pytest.mark.parametrize(
    ("make", "extra", "module"),
    [
        (lambda: tensorboard("logs"), "tensorboard", "torch.utils.tensorboard"),
        (mlflow, "mlflow", "mlflow.tracking"),
        (wandb, "wandb", "wandb"),
    ],
    ids=["tensorboard", "mlflow", "wandb"],
)
def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch, make, extra, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf'{extra} is not installed.*pip install "alkit\[{extra}\]"'):
        make()


def test_what_is_not_a_run_of_wandb_is_refused():
    with pytest.raises(ConfigurationError, match="run must be a run of wandb: got an object of type str"):
        wandb("run")
    with pytest.raises(ConfigurationError, match="run must be left out"):
        wandb(FakeRun(), mode="offline")


def methods(fake):
    return {name: thing for name, thing in vars(fake).items() if inspect.isfunction(thing)}


def check_like(fake, real):
    """Check that the real class takes every argument that the fake one takes, under the same name and place."""
    for name, method in methods(fake).items():
        ours = [entry for entry in inspect.signature(method).parameters if entry != "fails"]
        theirs = inspect.signature(getattr(real, name)).parameters
        named = {entry for entry in ours if theirs[entry].kind is not inspect.Parameter.KEYWORD_ONLY}
        assert set(ours) <= set(theirs), name
        if name not in ("__init__", "define_metric"):
            assert [entry for entry in theirs if entry in named] == [entry for entry in ours if entry in named], name


def run_experiment(report):
    """Run two rounds and return their results."""
    images, masks = alkit.synthetic.lesions(16, size=16)
    pool, test = alkit.ArrayPool(images).split(test=4, seed=0)
    oracle = alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, CLASSES)
    experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), report=report)
    return experiment.run(oracle, test=test, start=4, batch=2, rounds=1)


@pytest.mark.slow
def test_a_real_event_file_is_read_back(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="alkit[tensorboard]")
    from torch.utils.tensorboard import SummaryWriter

    check_like(FakeWriter, SummaryWriter)
    with tensorboard(tmp_path) as report:
        history = run_experiment(report)
        report(STEPS[3])
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    read = {event.step: event.value for event in found.Scalars("metrics/dice")}
    assert read == pytest.approx({**{result.n_labels: result.metrics["dice"] for result in history}, 2: 0.5})
    assert "warnings/text_summary" in found.Tags()["tensors"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_store_of_mlflow_is_read_back(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking", reason="alkit[mlflow]")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_like(FakeClient, tracking.MlflowClient)
    with mlflow(tracking_uri=tmp_path.as_uri()) as report:
        history = run_experiment(report)
        report(STEPS[3])
    client = tracking.MlflowClient(tmp_path.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("alkit").experiment_id])
    read = {entry.step: entry.value for entry in client.get_metric_history(run.info.run_id, "metrics/dice")}
    assert read == pytest.approx({**{result.n_labels: result.metrics["dice"] for result in history}, 2: 0.5})
    assert (run.info.status, run.data.tags["warnings.round_0"]) == ("FINISHED", "odd")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_real_run_of_wandb_is_written_offline(tmp_path, monkeypatch):
    module = pytest.importorskip("wandb", reason="alkit[wandb]")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = module.init(mode="offline", dir=str(tmp_path), project="alkit")
    check_like(FakeRun, type(run))
    with wandb(run) as report:
        history = run_experiment(report)
    assert run.summary["metrics/dice"] == pytest.approx(history[-1].metrics["dice"])
    assert run.summary["labels"] == history[-1].n_labels
    run.finish()
    (written,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"metrics/dice" in written.read_bytes()
