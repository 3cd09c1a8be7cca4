"""Write the results of the ISIC 2017 benchmark: figure 2, all tables, and report.html, one page with everything.

Everything except the pictures of images is computed from the committed rows, in seconds. No run is corrected or left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from matplotlib import rc_context

from alkit.configuration import written_form
from alkit.errors import ConfigurationError
from alkit.report import Block, Code, Section, Table, Text, write_page
from alkit.statistics import MINIMUM_SEEDS
from benchmarks.isic2017.agreement import disagreements
from benchmarks.isic2017.figures import cluster_map, contact_sheets, figure_2, panels
from benchmarks.isic2017.protocol import BEYOND, METHODS, PROFILES, Profile, Run, learner_and_strategy
from benchmarks.isic2017.results import Row, read_environments, read_other_rows, read_rows, run_of
from benchmarks.isic2017.tables import tables_in
from benchmarks.isic2017.tables.curves import results_of


def write(out: Path, name: str, data: Path | None = None) -> None:
    """Write figures, tables and the page of a results folder.

    Parameters
    ----------
    out:
        Folder of the results; it has the rows.
    name:
        Name of the profile.
    data:
        Folder with images/ and masks/. Without it, the page shows no images.

    Raises
    ------
    ConfigurationError
        The folder has no rows.
    """
    measured = read_rows(out)
    if not measured:
        raise ConfigurationError(f"{out} has no rows of results", hint="run the benchmark first")
    results = results_of(measured)
    figure = figure_2(results, name)
    figure.savefig(out / "figure2.png", dpi=150)
    with rc_context({"svg.hashsalt": name}):  # fixed ids, so that the file is the same each time
        figure.savefig(out / "figure2.svg", metadata={"Date": None})
    tables = tables_in(out, name)
    for file, table in tables.items():
        (out / f"{file}.md").write_text(f"{table.caption}\n\n{table.markdown()}\n")
    sections = [
        Section("What this is", [Text(text) for text in (summary(measured, name), *disagreements(out))]),
        Section("Figure 2", [*panels(results)]),
        *map(section_of, tables.values()),
        Section("Map of the clusters", [*cluster_map(out)]),
        Section("First images of each method", [*contact_sheets(out, name, data)]),
        Section("Settings and environments", [*settings(PROFILES[name]), origins(measured, out)]),
        Section("How to make this page again", [Code(commands(name))]),
    ]
    write_page(out / "report.html", f"ISIC 2017, {name} profile", [section for section in sections if section.blocks])


def section_of(table: Table) -> Section:
    """Return a section with a table: the caption up to the colon is its title, and signs in the cells are explained."""
    title, _, text = table.caption.partition(": ")
    signs = {
        " ± ": "± is the standard deviation over seeds",
        " [": "[ ] is the 95 % interval of a mean difference within seeds (paired t)",
    }
    cells = [*table.header, *(cell for row in table.rows for cell in row)]
    notes = [note for sign, note in signs.items() if any(sign in cell for cell in cells)]
    return Section(title, [replace(table, caption="; ".join([f"{text[:1].upper()}{text[1:]}", *notes]) + ".")])


def summary(measured: Sequence[Row], name: str) -> str:
    """Return a paragraph about the runs."""
    runs = {run_of(row) for row in measured}
    arms = {(run.method, run.weights, run.variant) for run in runs}
    return (
        'The protocol of "Self-supervised Assisted Active Learning for Skin Lesion Segmentation" (Zhao et al., EMBC '
        f"2022) on ISIC 2017, in the {name} profile: {len(runs)} runs of {len(arms)} arms (a method, initial weights, "
        "and a variant of the protocol). All methods of a seed start from the same network weights (in an ensemble, "
        "the first member does) and are compared within seeds. "
        f"With fewer than {MINIMUM_SEEDS} seeds there is no interval and no test."
    )


def settings(profile: Profile) -> Iterator[Block]:
    """Yield the settings of the profile, the learner and the strategies."""
    yield Table(
        ["setting", "value"], [[key, str(value)] for key, value in asdict(profile).items()], "Settings of the profile"
    )
    learner, _ = learner_and_strategy(Run("ensemble-s", "pretext", 0), profile, "auto")
    yield Text(
        "The learner, with the members of an ensemble and the pretext's weights, which only some arms have. The loss "
        "is cross-entropy + Dice, over both classes and the batch. Each round starts a fresh Adam optimiser without "
        "weight decay."
    )
    yield Code("\n".join(settings_lines(written_form(learner), "learner")))
    yield Text("The strategies. Self-supervised features are those of the learner's pretext.")
    lines = []
    for method in (*METHODS, *BEYOND):
        _, strategy = learner_and_strategy(Run(method, "scratch", 0), profile, "auto")
        lines += settings_lines(written_form(strategy), method, ("features",))
    yield Code("\n".join(lines))


def settings_lines(entry: object, name: str, short: Sequence[str] = ()) -> list[str]:
    """Return the written form of an object as lines, indented by depth. Parts named in `short` have one line each."""
    if not isinstance(entry, dict) or not {"is", "partial"} & set(entry):
        return [f"{name}: {entry}"]
    inner = entry.get("partial", {})
    what = entry.get("is", inner.get("named", "") if isinstance(inner, dict) else "")
    within = {} if name in short else entry.get("with", {})
    return [f"{name}: {what}", *(f"  {line}" for key in within for line in settings_lines(within[key], key, short))]


def origins(measured: Sequence[Row], out: Path) -> Table:
    """Return a table of commits and machines: their number of runs, versions and settings."""
    header = ["commit", "machine", "runs", "Python", "torch", "numpy", "threads", "instructions", "pool", "test"]
    counts: dict[tuple[str, str, bool], set[str]] = {}
    for wide, some in ((False, measured), (True, read_other_rows(out))):
        for row in some:
            counts.setdefault((row.commit, row.machine, wide), set()).add(row.configuration)
    known = {(e.commit, e.machine, e.instructions.startswith("AVX512")): e for e in read_environments(out)}
    lines = []
    for (commit, machine, wide), runs in sorted(counts.items()):
        e = known.get((commit, machine, wide))
        kind = "AVX-512" if wide else "AVX2"
        facts = ["not recorded"] * 4 + [kind] + ["not recorded"] * 2
        if e:
            facts = [e.python, e.torch, e.numpy, str(e.threads), e.instructions, e.pool[:12], e.test[:12]]
        lines.append([commit, machine, str(len(runs)), *facts])
    caption = (
        "Origin of the rows; pool and test show the first digits of the digest of their images. Older runs did not "
        "record everything: constraints.txt of the commit gives the versions it asked for, the digest of the images "
        "is part of each row's configuration, and we found the kind of instructions by repeating runs with either"
    )
    return Table(header, lines, caption)


def commands(name: str) -> str:
    """Return the commands that compute the page and its rows."""
    return (
        f"python -m benchmarks.isic2017 --profile {name} --report --data DIR\n"
        f"python -m benchmarks.isic2017 --profile {name} --all --data DIR --seeds 0 1 2 3 4   # all runs\n"
        f"python -m benchmarks.isic2017 --profile {name} --all --data DIR --seeds 0 1 2 3 4 --dry-run   # how long"
    )
