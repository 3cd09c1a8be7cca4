"""Everything that only reads a record, as a program: ``python look.py RECORD IMAGES OUT`` prints what it found."""

import contextlib
import io
import json
import sys
from pathlib import Path

from commandline import alkit as run

import alkit
from alkit.record import Store


def look(record, images, out):
    """Return the answers and rounds in a record, and what the commands did."""
    store = Store(record)
    found = {"answers": [[answer.id, answer.annotator, answer.kind] for answer in store.answers()]}
    store.close()
    experiment = alkit.Experiment.open(record)
    found["rounds"] = len(experiment.history)
    found["predicted"] = sum(len(some.ids) for some in experiment.predict(experiment.pool))
    found["prelabels"] = len(experiment.prelabels())
    for name, arguments in {
        "status": ["status", record, "--json"],
        "check": ["check", record],
        "predict": ["predict", record, "--images", images, "--out", out / "predicted", "--overwrite"],
        "export": ["export", record, "--out", out / "model", "--overwrite"],
        "labels": ["export", record, "--labels", "masks", "--out", out / "labels", "--overwrite"],
        "compare": ["compare", record, "--out", out / "compared"],
        "ask": ["ask", record, "-n", "3", "--out", out / "sent"],
        "tell": ["tell", record, "--from", images],
    }.items():
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as failed:
            code = run(*arguments)
        found[name] = [code, said.getvalue() + failed.getvalue()]
    return found


if __name__ == "__main__":
    print(json.dumps(look(*map(Path, sys.argv[1:]))))
