"""All tables of a results folder. Runs with wider instructions appear only in the tables of the arithmetic."""

from __future__ import annotations

from pathlib import Path

from alkit.report import Table
from benchmarks.isic2017.protocol import PROFILES, WEIGHTS, Profile
from benchmarks.isic2017.results import read_base_sets, read_other_rows, read_rows
from benchmarks.isic2017.tables.base_sets import base_set_tables
from benchmarks.isic2017.tables.curves import Results, members_of, results_of
from benchmarks.isic2017.tables.methods import comparisons, ensembles, levels, penalties
from benchmarks.isic2017.tables.paper import (
    table_1,
    table_1_differences,
    table_1_pretext,
    table_2,
    table_2_contrasts,
    table_2_differences,
)
from benchmarks.isic2017.tables.settings import arithmetic, arithmetic_differences, ceilings, own_choices


def tables_in(out: Path, name: str) -> dict[str, Table]:
    """Return the tables of a results folder that have rows, by the name of their file."""
    measured = read_rows(out)
    results = results_of(measured)
    tables = tables_of(results, members_of(measured), PROFILES[name])
    tables |= base_set_tables(read_base_sets(out))
    wide = results_of(read_other_rows(out))
    tables |= {
        "arithmetic": arithmetic(results, wide),
        "arithmetic-differences": arithmetic_differences(results, wide),
    }
    return {name: table for name, table in tables.items() if table.rows}


def tables_of(results: Results, members: Results, profile: Profile) -> dict[str, Table]:
    """Return the tables of the runs that have rows, by the name of their file."""
    tables = {
        "table1": table_1(results),
        "table1-differences": table_1_differences(results),
        "table1-pretext": table_1_pretext(results),
        "table2": table_2(results, profile),
        "table2-differences": table_2_differences(results, profile),
        "table2-contrasts": table_2_contrasts(results, profile),
    }
    for weights in WEIGHTS:
        tables[f"methods-{weights}"] = levels(results, members, weights)
        tables[f"comparisons-{weights}"] = comparisons(results, members, weights)
        tables[f"penalties-{weights}"] = penalties(results, weights)
        tables[f"ensembles-{weights}"] = ensembles(results, members, weights)
    tables["choices"] = own_choices(results)
    tables["ceiling"] = ceilings(results)
    return {name: table for name, table in tables.items() if table.rows}
