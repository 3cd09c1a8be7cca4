import io
import sys
import types

import pytest

import alkit
from alkit.report import progress_bar
from alkit.report.progress import StoppedError, bars
from alkit.values import Progress
from tests.support.parts import CLASSES


@pytest.fixture
def run():
    images, masks = alkit.synthetic.lesions(16, size=16)
    pool, test = alkit.ArrayPool(images).split(test=4, seed=0)
    known = {f"{row:04}": mask for row, mask in enumerate(masks)}

    def run(report=alkit.values.quiet, *, each=None, **rest):
        oracle = alkit.MaskOracle(known, CLASSES)  # a new one, because an oracle checks its masks once
        experiment = alkit.Experiment(pool, alkit.testing.Brightness(), alkit.strategy("random"), report=report)
        results = []
        for result in experiment.rounds(oracle, test=test, start=4, batch=2, rounds=2, **rest):
            results.append(result)
            if each is not None:
                each(experiment)
        return results

    return run


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to run in a notebook, and return the texts that its cell has shown."""
    shown = []

    class ZMQInteractiveShell:
        pass

    def display(thing, display_id):
        shown.append(thing)
        return types.SimpleNamespace(update=shown.append)

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = ZMQInteractiveShell
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.HTML, ipython.display.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def test_a_notebook_shows_a_bar_below_the_cell(run, notebook):
    results = run(progress=True)
    assert len(results) == 3
    assert 'value="3" max="3"' in notebook[-1]
    assert "rounds 3/3" in notebook[-1]
    assert notebook[-1].count("<progress") == 1  # the stage is gone
    assert any("selecting images" in page for page in notebook)


def test_text_in_a_notebook_is_escaped(notebook):
    with progress_bar("<b>random") as report:
        report(Progress("<i>", 0, 0, {"<u>": 1.0}))
        report(Progress("round", 1, 2))
    assert not any("<b>" in page or "<i>" in page or "<u>" in page for page in notebook)
    assert "&lt;b&gt;random 1/2" in notebook[-1]


def test_a_terminal_shows_rounds_and_the_present_stage(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    file.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", file)
    with progress_bar("random") as report:
        report(Progress("fit", 1, 2, {"loss": 0.5}))
        report(Progress("round", 1, 4))
    assert "training loss 0.500" in file.getvalue()
    assert "1/4" in file.getvalue()


def test_elsewhere_nothing_is_shown_and_results_are_the_same(run, capsys):
    assert [result.metrics for result in run(progress=True)] == [result.metrics for result in run()]
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_the_callback_of_the_experiment_hears_the_same_with_and_without_a_bar(run):
    with_bar, without = [], []
    run(with_bar.append, progress=True)
    run(without.append)
    assert [(step.stage, step.done, step.total) for step in with_bar] == [
        (step.stage, step.done, step.total) for step in without
    ]


def test_a_round_brings_its_result(run):
    calls = []
    results = run(calls.append)
    assert [step.result for step in calls if step.stage == "round"] == results
    assert all(step.result is None for step in calls if step.stage != "round")


def test_fit_says_which_round_it_committed():
    calls = []
    images, masks = alkit.synthetic.lesions(8, size=16)
    pool = alkit.ArrayPool(images)
    experiment = alkit.Experiment(
        pool, alkit.testing.Brightness(), alkit.strategy("random"), classes=CLASSES, report=calls.append
    )
    experiment.tell({id: masks[int(id)] for id in experiment.ask(4)})
    result = experiment.fit()
    assert [step.result for step in calls if step.stage == "round"] == [result]
    experiment.fit()
    assert len([step for step in calls if step.stage == "round"]) == 1


def test_the_bar_ends_with_the_loop_even_if_it_is_left_early(run, notebook):
    def stop(experiment):
        assert len(experiment._listeners._reports) == 2
        stop.seen = experiment
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # not an error of alkit: this is no command
        run(progress=True, each=stop)
    assert len(stop.seen._listeners._reports) == 1


def test_an_interruption_is_an_error_in_commands_only():
    with pytest.raises(StoppedError, match="finished work is kept"), progress_bar():
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), bars():
        raise KeyboardInterrupt


@pytest.mark.parametrize("title", ["runs/[/a].db", "a\x1b[2J\nb"])
def test_names_in_the_bars_of_a_terminal_are_text(title, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars(title) as report:
        report(Progress("round", 1, 2))
        report(Progress("fit", 1, 2, {"[/dice]\x1b[2J": 0.5}))
    said = capsys.readouterr().err
    assert "\x1b[2J" not in said
    assert title.partition("\x1b")[0] in said
