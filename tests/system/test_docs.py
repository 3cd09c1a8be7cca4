"""The pages' examples run, and their figures are those of the committed rows."""

import contextlib
import csv
import inspect
import io
import json
import os
import re
import shlex
import shutil
import statistics as spread
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.cli import main
from alkit.configuration.parts import PARTS
from alkit.strategies import read_strategy

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [path for path in DOCS.rglob("*.md") if not path.is_relative_to(DOCS / "_build")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_link_and_picture_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_file_of_the_repository_that_is_named_exists(page):
    for path in re.findall(r"(?:`|python )((?:alkit|plugins|tests|docs|benchmarks)/[\w./-]+)", page.read_text()):
        assert (DOCS.parent / path).exists() or "_build" in path or "NNNN" in path, path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_name_of_alkit_that_is_mentioned_is_public(page):
    spaces = {name for name in alkit.__all__ if inspect.ismodule(getattr(alkit, name))}
    groups = {"stopping_rules"}  # entry-point groups are named alkit.NAME as well
    for first, second in re.findall(r"\balkit\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?", page.read_text()):
        assert first in {*alkit.__all__, *groups}, first
        if first in spaces and second:
            assert hasattr(getattr(alkit, first), second), f"{first}.{second}"


def test_every_page_is_in_the_table_of_contents():
    lists = re.findall(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(), re.S)
    listed = {line for text in lists for line in text.splitlines() if line and not line.startswith(":")}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    assert listed == {page for page in pages if not re.match(r"index$|decisions/\d", page)}


def test_each_decision_has_a_number_of_its_own():
    paths = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [int(path.name[:4]) for path in paths]
    assert numbers == list(range(1, len(paths) + 1))
    for number, path in zip(numbers, paths, strict=True):
        assert path.read_text().startswith(f"# {number}. "), path.name


@pytest.mark.slow
def test_the_site_builds_offline_and_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the site needs alkit[docs]")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-W", "--keep-going", "-q", DOCS, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//", page.read_text()), page


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.S)


def test_the_composition_of_features_and_uncertainty_runs_as_written(tmp_path):
    images, masks = alkit.synthetic.lesions(60, size=16)
    pool, test = alkit.ArrayPool(images).split(test=15, seed=0)
    network = partial(alkit.UNet, widths=(2, 4, 8))
    names = {
        "network": network,
        "epochs": 1,
        "pool": pool,
        "test": test,
        "oracle": alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion")),
        "learner": alkit.SegmentationLearner(network, epochs=(1, 1)),
    }
    (code,) = blocks("how-to/compose.md", "python")
    exec(code, names)
    assert [result.n_labels for result in names["history"]] == [20, 25, 30]
    (toml,) = blocks("how-to/compose.md", "toml")
    (tmp_path / "both.toml").write_text(toml)
    assert read_strategy(tmp_path / "both.toml", names["pretext"]) == names["strategy"]


def test_the_table_of_compositions_names_them_all():
    named = set(re.findall(r"\| `(\w+)\(", (DOCS / "how-to/compose.md").read_text()))
    parts = {address.partition(":")[2] for address in PARTS.values() if address.startswith("alkit.strategies:")}
    assert named == {*parts, "Mix"}


def test_the_reference_names_strategies_and_rules_that_exist():
    page = (DOCS / "reference/strategies.md").read_text()
    named = set(re.findall(r"^\| `([\w-]+)` \|", page, re.M))
    assert len(named) >= 9
    assert named <= {*alkit.strategies.installed(), *alkit.stopping.installed()}


def test_the_table_of_checks_names_them_all():
    from alkit.testing import StrategyKit

    page = (DOCS / "reference/conformance.md").read_text().replace("-labels", " labels")
    checks = [name.removeprefix("test_").replace("_", " ") for name in dir(StrategyKit) if name.startswith("test_")]
    for check in checks:
        assert f"| {check} |".lower() in page.lower(), check


def test_the_conformance_tests_of_the_page_run_as_written(tmp_path):
    (code,) = blocks("reference/conformance.md", "python")
    (tmp_path / "test_random.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ids or ties", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert re.search(r"^[2-9]\d* passed", ran.stdout, re.M), ran.stdout + ran.stderr


def test_the_figures_of_scoring_are_those_of_the_rows():
    page = (DOCS / "explanation/scoring.md").read_text()
    rows = list(csv.DictReader((DOCS.parent / "benchmarks/results/scoring.csv").read_text().splitlines()))
    assert rows
    for row in rows:
        best = [row["n"], row["draws"], row["cpu_ratio"], row["anon_mib"]]
        line = rf"\| {best[0]} \| {best[1]} \| {row['library']}.*{row['mode']}.*\| {best[2]} \| {best[3]} \|"
        assert re.search(line, page), row
        assert row["commit"] in page
    ours = [row for row in rows if row["library"] == "alkit"]
    assert all(float(row["cpu_ratio"]) <= 0.8 and float(row["anon_mib"]) <= 100 for row in ours)


def test_the_verdict_has_ten_sentences_and_every_number_in_them_is_in_a_table():
    page = (DOCS / "explanation/reproduction.md").read_text()
    verdict = page.partition("## The verdict in ten sentences")[2].partition("![")[0]
    items = re.findall(r"^\d+\. (.*?\.)$", verdict, re.M | re.S)
    assert len(items) == 10
    assert not any(re.search(r"[.!?]\s+[A-Z]", item) for item in items)
    results = DOCS.parent / "benchmarks/results/isic2017-small"
    tables = "\n".join(path.read_text() for path in results.glob("*.md"))
    told = re.findall(r"[+-]?\d\.\d+", verdict)
    assert len(told) >= 5
    assert [number for number in told if number not in tables] == []


def test_the_results_are_shown_as_the_page_says(capsys, monkeypatch):
    history = (alkit.RoundResult(0, ("b", "a"), 2, {"dice": 0.5}), alkit.RoundResult(1, ("c",), 3, {"dice": 0.75}))
    images, masks = alkit.synthetic.lesions(60, size=16)
    pool, test = alkit.ArrayPool(images).split(test=8, seed=0)
    names = {
        "history": history,
        "pool": pool,
        "test": test,
        "oracle": alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion")),
        "learner": alkit.testing.Brightness(),
        "strategy": alkit.strategy("random"),
    }
    *before, written = blocks("how-to/results.md", "python")
    for code in before:
        exec(code, names)
    assert [result.n_labels for result in names["history"]] == [20, 30, 40, 50]
    asked = []
    monkeypatch.setattr(
        alkit.report, "tensorboard", lambda folder: asked.append(folder) or contextlib.nullcontext(print)
    )
    exec(written, names)
    assert asked == ["logs/random-0"]
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:5] == ["round", "labels", "pseudo_labels", "held_out", "dice"]
    assert said[3:7] == [
        "3 0.75",
        "  name  run  round  labels  metric  value",
        "random    0      0       2    dice  0.500",
        "random    0      1       3    dice  0.750",
    ]
    assert len(names["figure"].axes[0].lines) == 1


def compare(folder, seeds):
    """Run the page about comparisons with a number of seeds and fewer rounds, and return its names."""
    images, masks = alkit.synthetic.lesions(70, size=16)
    pool, test = alkit.ArrayPool(images).split(test=15, seed=0)
    names = {
        "pool": pool,
        "test": test,
        "oracle": alkit.MaskOracle({f"{row:04}": mask for row, mask in enumerate(masks)}, classes=("skin", "lesion")),
        "learner": alkit.testing.Brightness(),  # the page takes any learner
        "folder": folder,
    }
    for code in blocks("how-to/compare.md", "python"):
        exec(code.replace("range(5)", f"range({seeds})").replace("rounds=3", "rounds=1"), names)
    return names


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the folder, the names and the output of the page about comparisons."""
    folder, said = tmp_path_factory.mktemp("compared"), io.StringIO()
    with contextlib.redirect_stdout(said):
        names = compare(folder, 5)
    return folder, names, said.getvalue()


def test_the_comparison_over_seeds_runs_as_written(compared):
    folder, names, said = compared
    assert re.findall(r"^([\w-]+): area [+-][.\d]+ \[[+-][.\d]+, [+-][.\d]+\], p [.\d]+$", said, re.M) == [
        "ensemble-s",
        "power",
    ]
    assert "of 5 seeds" in said
    page = (folder / "own.html").read_text()
    assert "ensemble-s" in page
    assert "minus that of random" in page
    axes = names["axes"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labels", "Dice")
    assert (len(axes.lines), len(axes.collections)) == (3 * (5 + 1), 3)  # lines of seeds and means, and bands
    assert all(f"`{name}`" in (DOCS / "how-to/compare.md").read_text() for name in public_functions())
    found = {gap.method: gap for gap in names["comparison"].differences}
    for name in ("ensemble-s", "power"):
        assert found[name].area == names["areas"][name]
        assert found[name].p == names["corrected"][name]
        assert found[name].baseline == "random"
    assert "power" in (folder / "comparison.html").read_text()


def test_the_comparison_with_three_seeds_shows_no_interval_and_no_test(compared, tmp_path, capsys):
    for path in compared[0].glob("*-[012].db*"):  # finished runs, which the page reads
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    names = compare(tmp_path, 3)
    said = capsys.readouterr().out
    assert len(re.findall(r"area [+-][.\d]+ \(no interval: 3 of at least 5 seeds\), no test$", said, re.M)) == 2
    assert "(no interval: 3 of at least 5 seeds)</td>" in (tmp_path / "own.html").read_text()
    assert (len(names["axes"].lines), len(names["axes"].collections)) == (3 * (3 + 1), 0)
    assert "<td>no test</td>" in (tmp_path / "comparison.html").read_text()
    assert len({method.learner for method in names["comparison"].methods}) == 1


def public_functions():
    from alkit import statistics

    return [name for name in statistics.__all__ if name.islower()]


def test_the_metrics_of_the_page_are_those_that_it_shows(capsys):
    names = {}
    for code in blocks("how-to/metrics.md", "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks("how-to/metrics.md", "text"))


def test_several_classes_work_as_the_page_shows(capsys):
    names = {}
    for code in blocks("how-to/several-classes.md", "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks("how-to/several-classes.md", "text"))


def save_xrays(folder, ids, present):
    """Save images with a bright or a dark spot for each class that they have."""
    for id, (nodule, effusion) in zip(ids, present, strict=True):
        pixels = np.full((16, 16), 110, np.uint8)
        pixels[2:7, 2:7] += np.uint8(120 * nodule)
        pixels[9:14, 9:14] -= np.uint8(110 * effusion)
        pixels += np.random.default_rng(int(id)).integers(0, 20, (16, 16), np.uint8)
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{id}.png")


@pytest.mark.slow
def test_the_commands_of_several_classes_work_as_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    present = np.random.default_rng(0).integers(0, 2, (70, 2))
    ids = [f"{row:03}" for row in range(70)]
    save_xrays(Path("xrays"), ids[:50], present[:50])
    save_xrays(Path("new"), ids[50:], present[50:])
    rows = [f"{id},60,{nodule},{effusion}" for id, (nodule, effusion) in zip(ids, present, strict=True)]
    Path("findings.csv").write_text("\n".join(["id,age,nodule,effusion", *rows[:50]]))
    small = "--widths 4,8 --steps 200,200 --lr 0.01 --strategy random --grayscale".split()
    (commands,) = blocks("how-to/several-classes.md", "bash")
    for command in commands.splitlines():
        words = shlex.split(command.replace("--size 256", "--size 16"))
        if words[1] == "tell":
            answer_xrays(Path("exchange"), dict(zip(ids, present.tolist(), strict=True)))
        if words[1] == "import":
            queried = {path.name for path in Path("exchange").glob("r00-*")}
            left = [id for id in ids[:50] if not any(name.endswith(id) for name in queried)]
            Path("last-year.csv").write_text("id,label\n" + "".join(f"{id},{said(present[int(id)])}\n" for id in left))
        more = {"run": [*small, "--start", "12", "--batch", "6", "--rounds", "1"], "start": small}.get(words[1], [])
        with pytest.raises(SystemExit) as end:
            main([*words[1:], *more])
        assert not end.value.code, command
    with Path("labels/labels.csv").open() as file:
        exported = {row["id"]: row["label"] for row in csv.DictReader(file)}
    assert exported == {id: said(present[int(id)]) for id in ids[:50]}
    with Path("predicted/classes.csv").open() as file:
        predicted = list(csv.DictReader(file))
    right = [row["class"] == said(present[int(row["id"])]) for row in predicted]
    assert (len(right), np.mean(right) > 0.7) == (20, True)
    assert set(predicted[0]) == {"id", "class", "probability of nodule", "probability of effusion"}


def said(pair):
    """Return the classes of an image as a table has them."""
    return "|".join(name for name, value in zip(("nodule", "effusion"), pair, strict=True) if value) or "none"


def answer_xrays(exchange, present):
    """Fill in the table that was written for annotators."""
    (table,) = exchange.glob("r00-csv/*.csv")
    lines = table.read_text("utf-8-sig").splitlines()
    filled = [f"{line.rstrip(',')},{said(present[Path(line.rstrip(',')).stem[-3:]])}" for line in lines[1:]]
    (exchange / "ann").mkdir()
    (exchange / "ann" / "answers.csv").write_text("\n".join([lines[0], *filled]))
    back = time.time() - 60
    os.utime(exchange / "ann" / "answers.csv", (back, back))


def test_groups_and_rules_work_as_the_page_shows(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    names = {}
    for code in blocks("how-to/groups.md", "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks("how-to/groups.md", "text"))
    Path("images.csv").write_text("id,patient,site\n" + "".join(f"{n:03},p{n // 3},{'AB'[n % 2]}\n" for n in range(24)))
    small = "--size 16 --widths 2,4 --epochs 1,1 --grayscale --strategy random"
    (commands,) = blocks("how-to/groups.md", "bash")
    for command in commands.splitlines():
        with pytest.raises(SystemExit) as end:
            main(shlex.split(f"{command} {small}" if " start " in command else command)[1:])
        assert not end.value.code, command


@pytest.mark.parametrize("page", ["how-to/sizes.md", "how-to/tiles.md"])
def test_images_of_several_sizes_and_tiles_work_as_the_pages_show(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(page, "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks(page, "text"))
    small = {
        "run": "--recipe paper --widths 2,4 --epochs 1,1 --strategy random --start 4 --batch 1 --rounds 0",
        "start": "--recipe paper --widths 2,4 --epochs 1,1 --strategy random",
        "predict": "",
    }
    (commands,) = blocks(page, "bash")
    for command in commands.splitlines():
        words = shlex.split(command)
        with pytest.raises(SystemExit) as end:
            main([*words[1:], *shlex.split(small[words[1]])])
        assert not end.value.code, command
    assert list(tmp_path.glob("predicted/masks/*"))


def label_as_asked(exchange):
    """Save the true labels of the asked slices, as somebody would with a tool for volumes."""
    import nibabel

    (exchange / "ann").mkdir()
    for manifest in exchange.glob("r*-nifti/volumes.json"):
        for entry in json.loads(manifest.read_text())["volumes"]:
            truth = nibabel.load(f"labels/{entry['volume']}.nii.gz")
            labels = np.zeros(truth.shape, np.uint8)
            asked = [one["number"] for one in entry["slices"]]
            labels[:, :, asked] = np.asarray(truth.dataobj)[:, :, asked]
            path = exchange / "ann" / f"{entry['file']}.nii.gz"
            nibabel.Nifti1Image(labels, truth.affine).to_filename(path)
            os.utime(path, (1_700_000_000, 1_700_000_000))


def test_slices_of_volumes_work_as_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks("how-to/volumes.md", "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks("how-to/volumes.md", "text"))
    commands, of_dicom = blocks("how-to/volumes.md", "bash")
    assert [command.split()[1] for command in of_dicom.splitlines()] == ["predict", "export"]  # these need highdicom
    plain = "--recipe paper --widths 2,4 --steps 2,1 --strategy random"
    small = {"run": f"{plain} --start 4 --batch 1 --rounds 0", "start": f"{plain} --stop-set 0"}
    for command in commands.splitlines():
        words = shlex.split(command)
        if words[1] == "tell":
            label_as_asked(Path("exchange"))
        with pytest.raises(SystemExit) as end:
            main([*words[1:], *shlex.split(small.get(words[1], ""))])
        assert not end.value.code, command
    assert len(list(Path("predicted/masks").iterdir())) == 5
    assert Path("labelled/volumes/slices.csv").is_file()


def test_the_figures_of_tiles_are_those_of_the_rows():
    with (DOCS.parent / "benchmarks" / "results" / "tiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    for area in (2, 8):
        cells = []
        for tile in (256, 128):
            found = [float(row["dice"]) for row in rows if (int(row["area"]), int(row["tile"])) == (area, tile)]
            assert len(found) == 3
            cells.append(f"{spread.mean(found):.3f} ± {spread.stdev(found):.3f}")
        assert f"| {area} images | {' | '.join(cells)} |" in (DOCS / "how-to" / "tiles.md").read_text()


def test_the_page_on_metrics_names_all_of_them():
    from alkit.evaluation import chosen

    page = (DOCS / "how-to/metrics.md").read_text()
    assert all(f"`{name}`" in page for name in {**chosen.OF_MASKS, **chosen.OF_CLASSES})


def test_the_recipes_and_the_parts_of_the_page_are_those_of_the_code():
    for code in blocks("explanation/learners.md", "python"):
        exec(code, {})
    text = (DOCS / "explanation" / "learners.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    table = {name: values for name, *values in rows}
    recipes = alkit.learners.strong(), alkit.SegmentationLearner(), alkit.learners.paper()
    assert table["images per step"] == [str(learner.batch) for learner in recipes]
    assert [float(value.split(",")[0]) for value in table["learning rate"]] == [learner.lr for learner in recipes]
    lengths = [[int(number) for number in re.findall(r"\d+", value)] for value in table["length of a round"]]
    assert [(*length, length[0])[:2] for length in lengths] == [learner.steps or learner.epochs for learner in recipes]
    assert ["last" not in value for value in table["each round starts from"]] == [not one.carry_on for one in recipes]
    assert ["none" not in value for value in table["augmentation"]] == [bool(one.augment) for one in recipes]
    assert ["average" in value for value in table["weights of the model"]] == [bool(one.average) for one in recipes]


def test_the_advice_on_when_to_stop_is_what_the_page_shows(capsys):
    first, _ = blocks("how-to/stop.md", "python")
    exec(first, {})
    shown, printed = blocks("how-to/stop.md", "text")
    assert capsys.readouterr().out == printed
    lines = [line for line in printed.splitlines()[:-1] if "nothing was measured" not in line]
    assert len(lines) == 2
    for line in lines:
        assert line.partition(": ")[2] in " ".join(
            re.sub(r"^ (expected|stab)\S+ +(continue)?", "", shown, flags=re.M).split()
        )


def test_the_page_on_hours_prints_what_it_shows_and_its_table_is_that_of_the_committed_rows(tmp_path, capsys):
    (code,) = blocks("how-to/hours.md", "python")
    exec(code, {})
    assert capsys.readouterr().out == blocks("how-to/hours.md", "text")[1]
    (toml,) = blocks("how-to/hours.md", "toml")
    (tmp_path / "hours.toml").write_text(toml)
    ranking = alkit.strategies.Uncertainty("bald", alkit.Dropout(draws=10))
    assert read_strategy(tmp_path / "hours.toml") == alkit.strategies.PerSecond(ranking)
    with (DOCS.parent / "benchmarks" / "results" / "forecast.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "all"]
    text = (DOCS / "how-to" / "hours.md").read_text()
    shown = {tuple(cell.strip() for cell in line.split("|")[2:-1]) for line in text.splitlines() if "` |" not in line}
    names = "coverage", "above", "width", "error", "naive"
    digits = {"coverage": 2, "above": 2, "width": 3, "error": 3, "naive": 3}
    for row in rows:
        assert (row["forecasts"], *(f"{float(row[name]):.{digits[name]}f}" for name in names)) in shown


def test_the_stopping_rule_of_the_page_is_found_as_it_is_registered_there(tmp_path, monkeypatch):
    _, code = blocks("how-to/stop.md", "python")
    (registered,) = blocks("how-to/stop.md", "toml")
    group, name, module = re.fullmatch(r'\[project\.entry-points\."(.+)"\]\n(\w+) = "(\w+):\w+"\n', registered).groups()
    (tmp_path / f"{module}.py").write_text(code)
    folder = tmp_path / f"{module}-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n" + registered.partition("\n")[2].replace('"', ""))
    monkeypatch.syspath_prepend(tmp_path)
    history = [alkit.RoundResult(0, (), 200, n_held_out=50)]
    assert [alkit.stopping.stopping_advice(history, n)[name].stop for n in (50, 51)] == [False, True]
    assert alkit.stopping.rule(name, labels=400).advise(history, 51).figures == {"spent": 250, "budget": 400}
    del sys.modules[module]


def test_every_stopping_rule_of_alkit_is_on_the_page():
    page = (DOCS / "how-to/stop.md").read_text()
    own = [name for name, point in alkit.stopping.installed().items() if point.value.startswith("alkit_baselines.")]
    assert own
    assert all(f"| `{name}` |" in page for name in own)


def test_the_model_is_used_as_the_page_says(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    pool = alkit.ImagePool("images", size=16, grayscale=True)
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), epochs=(1, 1))
    oracle = alkit.MaskOracle("masks", classes=("skin", "lesion"))
    alkit.Experiment(pool, learner, alkit.strategy("random"), "campaign.db").run(oracle, start=4, batch=1, rounds=0)
    Path("images").rename("new")
    for command in blocks("how-to/use-the-model.md", "bash"):
        with pytest.raises(SystemExit) as end:
            main(shlex.split(command)[1:])
        assert not end.value.code
    capsys.readouterr()
    (code,) = blocks("how-to/use-the-model.md", "python")
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert re.fullmatch(r"000 \(16, 16\) \d+\.\d% lesion", lines[0])
    named = re.findall(r"^\| `(\S+)`(?:, `(\S+)`)?", (DOCS / "how-to/use-the-model.md").read_text(), re.M)
    written = {str(path) for folder in ("predicted", "model") for path in Path(folder).rglob("*.*")}
    assert written == {
        *(f"predicted/{name}" for n in range(24) for name in (f"masks/{n:03}.png", f"overlays/{n:03}.jpg")),
        *(f"model/{name}" for pair in named[3:] for name in pair if name and name != "model.onnx"),
    }


LIFE = ("how-to/annotators.md", "how-to/never-wait.md", "how-to/existing-labels.md", "how-to/growing-pools.md")


@pytest.mark.parametrize("page", LIFE)
def test_the_examples_of_labels_and_pools_run_and_print_what_the_page_says(page, capsys):
    names = {}
    for code in blocks(page, "python"):
        exec(code, names)
    assert capsys.readouterr().out == "".join(blocks(page, "text"))


@pytest.mark.parametrize("page", LIFE)
def test_the_commands_of_labels_and_pools_exist_with_their_options(page, capsys):
    commands = "".join(blocks(page, "bash")).splitlines()
    for command in commands:
        _, name, *words = shlex.split(command)
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = capsys.readouterr().out
        assert all(word in known for word in words if word.startswith("--")), command
