"""Compare all methods of the paper on the ISIC 2017 images, over seeds.

Runs (a method with one kind of initial weights and one seed) are independent and go side by side in processes of one
thread, or on Ray. Finished runs are not run again; a stopped run resumes at its unfinished round.

    python -m benchmarks.isic2017 --figure 2 --data DIR --seeds 0 1 2 3 4    # also --table 1, --table 2, --all
    python -m benchmarks.isic2017 --all --data DIR --dry-run                 # what is done, what is left, how long
    python -m benchmarks.isic2017 --report                                   # figures and tables from the rows

benchmarks/isic2017/protocol.py describes the protocol and our choices in cases that the paper leaves open.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from alkit.errors import ConfigurationError
from alkit.report import progress_bar
from benchmarks import grid
from benchmarks.isic2017.agreement import disagreements
from benchmarks.isic2017.archive import fetch
from benchmarks.isic2017.protocol import BEYOND, METHODS, PARTS, PROFILES, WEIGHTS, Run
from benchmarks.isic2017.results import Places, folder_of, read_rows
from benchmarks.isic2017.runs import describe_plan, measure, plan_runs
from benchmarks.terminal import integer_from

DOWNLOADS = Path("data/isic2017")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parse(arguments)
    out = options.out or folder_of(options.profile)
    if not options.report:
        places = Places(find_images(options), out, options.records)
        plans = plan_runs(runs_of(options), options.profile, places)
        if options.dry_run:
            Console().print(*describe_plan(plans, read_rows(out), options.jobs), *disagreements(out))
            return
        measure(plans, options.profile, places, at_once=options.jobs, backend=options.backend, device=options.device)
    from benchmarks.isic2017.figures import write_map
    from benchmarks.isic2017.report import write

    if options.map:
        write_map(out, options.profile, options.data)
    write(out, options.profile, options.data)
    print(f"figures, tables and report.html are in {out}", *disagreements(out), sep="\n")


def find_images(options: argparse.Namespace) -> Path:
    """Return the folder of the images. Without --data, download them first, except for a dry run."""
    if options.data:
        return Path(options.data)
    size = PROFILES[options.profile].size
    if options.dry_run and not (DOWNLOADS / str(size)).is_dir():
        raise ConfigurationError(
            "--dry-run downloads nothing, and it needs the images to recognise finished runs", hint="--data DIR"
        )
    with progress_bar("downloading") as report:
        return fetch(DOWNLOADS, size=size, report=report)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="isic2017", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("what to run (default: figure 2)")
    what.add_argument("--figure", nargs="+", type=int, choices=[2], default=[])
    what.add_argument("--table", nargs="+", type=int, choices=[1, 2], default=[])
    what.add_argument("--ceiling", action="store_true", help="label the whole pool at once")
    what.add_argument("--sensitivity", action="store_true", help="another learning rate, and twice the epochs")
    what.add_argument("--beyond", action="store_true", help=f"methods not in the paper: {', '.join(BEYOND)}")
    what.add_argument("--all", action="store_true", help="all of these")
    what.add_argument("--methods", nargs="+", choices=[*METHODS, *BEYOND], help="only these methods")
    what.add_argument("--weights", nargs="+", choices=WEIGHTS, default=list(WEIGHTS), help="only these initial weights")
    what.add_argument("--seeds", nargs="+", type=integer_from(0), default=[0, 1, 2])
    what.add_argument("--profile", choices=PROFILES, default="small")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--data", type=Path, help="folder with images/ and masks/ (default: download the official archives)"
    )
    how.add_argument("--out", type=Path, help="folder of the results (default: benchmarks/results/isic2017-PROFILE)")
    how.add_argument("--records", type=Path, default=Path("runs/isic2017"), help="folder of the records of the runs")
    how.add_argument("--jobs", type=integer_from(1), default=2, help="number of runs at once, each on one thread")
    how.add_argument("--backend", choices=grid.BACKENDS, default="processes")
    how.add_argument("--device", default="auto")
    how.add_argument("--dry-run", action="store_true", help="only show what is done and what is left")
    how.add_argument("--report", action="store_true", help="only write figures and tables from the results")
    how.add_argument("--map", action="store_true", help="with --report --data: compute the map of clusters again")
    options = parser.parse_args(arguments)
    if options.map and options.data is None:
        parser.error("--map needs the images: add --data DIR")
    if not options.report and not runs_of(options):
        parser.error("no run matches --methods and --weights: PARTS in protocol.py lists the runs of each part")
    return options


def runs_of(options: argparse.Namespace) -> list[Run]:
    """Return the runs that the command line asks for, each once. Seeds vary fastest.

    With this order, runs at once train different pretexts and do not wait for the same one.
    """
    names = [f"figure {number}" for number in options.figure] + [f"table {number}" for number in options.table]
    names += [name for name in ("ceiling", "sensitivity", "beyond") if getattr(options, name)]
    default = ["figure 2", "beyond"] if options.methods else ["figure 2"]
    arms = [arm for name in (PARTS if options.all else names or default) for arm in PARTS[name]]
    return [
        Run(method, weights, seed, variant)
        for method, weights, variant in dict.fromkeys(arms)
        if weights in options.weights and (options.methods is None or method in options.methods)
        for seed in options.seeds
    ]
