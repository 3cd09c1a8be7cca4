"""Features that were computed elsewhere: files with ids, sound and damaged."""

import io
import json
import logging
import os
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from parts import CLASSES, MeanLearner

import alkit
from alkit._reading.apart import Apart
from alkit.configuration import named_files
from alkit.configuration.construct import build
from alkit.configuration.forms import written_form
from alkit.errors import ConfigurationError, DataError, ResumeError
from alkit.features import Embeddings, _parquet, gathered

IDS = [f"{number:02}" for number in range(30)]
ROWS = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)


def pool_of(ids=IDS):
    return alkit.ArrayPool(np.zeros((len(ids), 4, 4), np.uint8), ids=ids)


def rows_of(extractor, ids=IDS):
    return extractor.fit(pool_of(ids), np.random.default_rng(0)).rows(sorted(ids))


def npy(folder, rows=ROWS, ids=IDS, name="rows"):
    np.save(folder / f"{name}.npy", rows)
    (folder / f"{name}.ids.txt").write_text("".join(f"{id}\n" for id in ids))
    return folder / f"{name}.npy"


def npz(folder, rows=ROWS, ids=IDS):
    np.savez(folder / "rows.npz", features=rows, ids=np.array(ids))
    return folder / "rows.npz"


def lists(folder, rows=ROWS, ids=IDS):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"features": list(rows), "id": list(ids)}), folder / "lists.parquet", row_group_size=7)
    return folder / "lists.parquet"


def columns(folder, rows=ROWS, ids=IDS):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"id": list(ids), **{f"f{number}": column for number, column in enumerate(rows.T)}})
    parquet.write_table(table, folder / "columns.parquet")
    return folder / "columns.parquet"


@pytest.mark.parametrize("write", [npy, npz, lists, columns])
def test_rows_belong_to_their_ids_in_every_format_and_order(write, tmp_path):
    order = np.random.default_rng(1).permutation(30)
    for some, own in ((order, ROWS[order]), (np.arange(30), ROWS)):
        found = rows_of(Embeddings(write(tmp_path, own, [IDS[row] for row in some])))
        np.testing.assert_array_equal(found, ROWS)
        assert found.dtype == np.float32
        assert not found.flags.writeable


def test_an_npy_file_in_order_is_mapped_and_any_other_goes_to_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(gathered, "IN_MEMORY", 100)
    for rows, ids in (
        (ROWS, IDS),
        (ROWS[::-1], IDS[::-1]),
        (ROWS.astype(np.float64), IDS),
        (np.asfortranarray(ROWS), IDS),
    ):
        owner = found = rows_of(Embeddings(npy(tmp_path, rows, ids)))
        np.testing.assert_array_equal(found, ROWS)
        while isinstance(getattr(owner, "base", None), np.ndarray):
            owner = owner.base
        assert isinstance(owner, np.memmap)


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("after", [ROWS + 1, ROWS[:2]])
def test_rows_stay_or_are_refused_if_the_file_is_written_again_in_its_place(is_large, after, tmp_path, monkeypatch):
    """The next selection took the new rows, and fewer of them ended the program."""
    monkeypatch.setattr(gathered, "IN_MEMORY", 100 if is_large else 10**6)
    extractor, seen = Embeddings(npy(tmp_path)), []

    def choose(view, n, rng):
        seen.append(view.features(extractor).copy())
        return sorted(view.candidates)[:n]

    experiment = alkit.Experiment(pool_of(), MeanLearner(), choose, initial=choose, classes=CLASSES)
    experiment.tell({id: np.zeros((4, 4), np.uint8) for id in experiment.ask(2)})
    experiment.fit()
    np.save(tmp_path / "rows.npy", after)
    if is_large:
        with pytest.raises(ConfigurationError, match=r"rows\.npy has changed since it was opened"):
            experiment.ask(2)
    else:
        experiment.ask(2)
        np.testing.assert_array_equal(seen, [ROWS, ROWS])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, ">f4"])
def test_other_types_of_numbers_are_converted(dtype, tmp_path):
    rows = np.arange(120).reshape(30, 4)
    np.testing.assert_array_equal(rows_of(Embeddings(npy(tmp_path, rows.astype(dtype)))), rows)


def test_ids_may_be_given_as_a_sequence_a_text_or_an_array(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "own.txt").write_bytes("\r\n".join(IDS).encode("utf-8-sig"))
    np.save(tmp_path / "own.npy", np.array(IDS))
    np.save(tmp_path / "a.ids.npy", np.array(IDS))
    for ids in (IDS, tmp_path / "own.txt", str(tmp_path / "own.npy"), None):
        np.testing.assert_array_equal(rows_of(Embeddings(tmp_path / "a.npy", ids)), ROWS)


def test_rows_of_other_images_are_left_out_with_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(rows_of(Embeddings(npy(tmp_path)), IDS[:20]), ROWS[:20])
    assert "rows.ids.txt has rows of 10 images that the pool does not have, such as '20', '21'" in caplog.text


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (
            ROWS,
            [*IDS[:29], "x"],
            r"no features for 1 of the 30 images of the pool: got no row for '29'; 1 ids are of no",
        ),
        (ROWS[:28], IDS[:28], r"rows.* has no features for 2 of the 30 images of the pool: got no row for '28', '29'"),
        (ROWS, [*IDS[:29], IDS[0]], r"rows.*: ids must be distinct: got '00' twice"),
        (ROWS[:28], IDS, r"rows.* must have one row for each id: got 28 rows and 30 ids"),
        (ROWS[0], IDS[:4], r"rows.* must be an array \(n, d\) of real numbers: got shape \(4,\)"),
        (ROWS[:, :0], IDS, r"must be an array \(n, d\) of real numbers: got shape \(30, 0\)"),
        (ROWS[:, :, None], IDS, r"must be an array \(n, d\) of real numbers: got shape \(30, 4, 1\)"),
        (ROWS + 1j, IDS, "must be an array.*of type complex"),
        (ROWS.astype(str), IDS, "must be an array.*of type <U"),
        (np.where(ROWS[7, 2] == ROWS, np.nan, ROWS), IDS, r"rows.* must have finite features.*: got others of '07'"),
        (
            np.where(ROWS[7, 2] == ROWS, 1e300, ROWS.astype(np.float64)),
            IDS,
            "in the range of float32: got others of '07'",
        ),
    ],
)
@pytest.mark.parametrize("write", [npy, npz])
def test_files_that_do_not_fit_the_pool_are_errors_that_name_them(write, rows, ids, message, tmp_path):
    with pytest.raises(DataError, match=message):
        rows_of(Embeddings(write(tmp_path, rows, ids)))


@pytest.mark.parametrize("write", [npy, npz, lists, columns])
@pytest.mark.parametrize("size", [0, 3, 40, 0.5, -1])
def test_a_file_that_is_cut_off_is_an_error_that_names_it(write, size, tmp_path):
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(size * len(content)) if isinstance(size, float) else size])
    with pytest.raises(DataError, match=path.name.replace(".", r"\.")):
        rows_of(Embeddings(path))


def test_objects_are_never_unpickled(tmp_path):
    objects = np.array([[1, "a"]] * 30, object)
    for path in (npy(tmp_path, objects), npz(tmp_path, objects)):
        with pytest.raises(DataError, match=r"rows.* cannot be read \(.*Python objects|rows.* cannot be read \(Object"):
            rows_of(Embeddings(path))
    np.savez(tmp_path / "rows.npz", features=ROWS, ids=np.array(IDS, object))
    with pytest.raises(DataError, match=r"rows.npz cannot be read \(Object arrays"):
        rows_of(Embeddings(tmp_path / "rows.npz"))
    np.save(tmp_path / "ids.npy", np.arange(30))
    with pytest.raises(DataError, match=r"ids.npy must be an array \(n,\) of texts: got shape \(30,\) of type int64"):
        rows_of(Embeddings(npy(tmp_path), tmp_path / "ids.npy"))


def archive(path, header, content=b"", ids=IDS):
    """Write an archive whose features have a header of any form."""
    text = header.encode() + b"\n"
    rows = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content
    names = io.BytesIO()
    np.save(names, np.array(ids))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("features.npy", rows)
        parts.writestr("ids.npy", names.getvalue())
    return path


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 3)}", 9),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 3)}", 9),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (30, 3)", 9),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (30, 300000)}", 36_000_000),
    ],
    ids=["memory", "number", "open", "unpacks"],
)
def test_an_archive_of_another_form_is_an_error(header, content, tmp_path):
    with pytest.raises(DataError, match=r"rows\.npz cannot be read"):
        rows_of(Embeddings(archive(tmp_path / "rows.npz", header, bytes(content))))


@pytest.mark.parametrize(("place", "byte"), [(10, 9), (10, 99), (8, 1), (6, 255)])
def test_an_archive_that_zipfile_cannot_unpack_is_an_error(place, byte, tmp_path):
    """Another method, encrypted, or of a later version: in the list at the end of the archive."""
    path = npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = byte
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.npz cannot be read"):
        rows_of(Embeddings(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_bytes_in_place_of_an_array_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as parts:
        for name in ("features.npy", "ids.npy"):
            parts.writestr(name, b"x")
    with pytest.raises(DataError, match=r"rows\.npz cannot be read"):
        rows_of(Embeddings(tmp_path / "rows.npz"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"features": [[1.0]] * 30}, "must have a column id"),
        ({"id": IDS}, "must have a column id, and a column features or"),
        ({"id": IDS, "features": [[1.0, 2.0]] * 29 + [[1.0]]}, "features of one length: got 1 of '29', 2 before"),
        ({"id": IDS, "features": [[1.0, 2.0]] * 29 + [None]}, "features of one length: got 0 of '29', 2 before"),
        ({"id": IDS, "features": [[1.0, None]] * 30}, "finite features.*: got others of '00'"),
        ({"id": IDS, "a": ["x"] * 30}, "the column a in .*table.parquet must hold real numbers: got the type string"),
        ({"id": IDS, "a": ["1.5"] * 30}, "must hold real numbers: got the type string"),
        ({"id": IDS, "a": [True] * 30}, "must hold real numbers: got the type bool"),
        ({"id": IDS, "a": [date(2026, 1, 2)] * 30}, "must hold real numbers: got the type date32"),
        ({"id": IDS, "features": [[True]] * 30}, "must hold lists of real numbers: got the type list"),
        ({"id": IDS, "features": ["x"] * 30}, "must hold lists of real numbers: got the type string"),
        ({"id": list(range(30)), "a": [0.5] * 30}, "ids must be strings: got 0 of type int"),
        ({"id": [*IDS[:29], None], "a": [0.5] * 30}, "ids must be strings: got None"),
        ({"id": IDS, "features": [1.0] * 30}, "table.parquet must hold lists of real numbers: got the type double"),
    ],
)
def test_a_parquet_file_of_another_form_is_an_error(table, message, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(table), tmp_path / "table.parquet")
    with pytest.raises(DataError, match=message):
        rows_of(Embeddings(tmp_path / "table.parquet"))


def test_without_pyarrow_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    import sys

    path = lists(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(alkit.errors.MissingDependencyError, match=r"needs pyarrow.*alkit\[parquet\]"):
        rows_of(Embeddings(path))


def test_arguments_that_cannot_be_right_are_errors(tmp_path):
    np.save(tmp_path / "alone.npy", ROWS)
    with pytest.raises(ConfigurationError, match=r"ids must be given for .*alone.npy: got no file alone.ids.txt or"):
        Embeddings(tmp_path / "alone.npy")
    with pytest.raises(ConfigurationError, match=r"path must end in .npy, .npz, .parquet: got '.*csv'"):
        Embeddings(tmp_path / "rows.csv")
    with pytest.raises(ConfigurationError, match=r"path cannot be read from .*nowhere.npz"):
        Embeddings(tmp_path / "nowhere.npz")
    with pytest.raises(ConfigurationError, match=r"ids must be left out for .*rows.npz"):
        Embeddings(npz(tmp_path), IDS)
    with pytest.raises(DataError, match="ids must be distinct"):
        Embeddings(tmp_path / "alone.npy", ["a", "a"])
    fitted = Embeddings(npy(tmp_path)).fit(pool_of(), np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="known by the ids of the images, and cannot be computed from pixels"):
        fitted.features(np.zeros((1, 1, 4, 4), np.float32))


def experiment(path, extractor):
    strategy = alkit.strategy("ssl-cluster", features=extractor, clusters=3)
    return alkit.Experiment(pool_of(), MeanLearner(), strategy, path, classes=CLASSES)


def test_a_record_names_the_content_and_finds_the_file_where_it_was_named(tmp_path):
    path, store = npy(tmp_path), tmp_path / "r.db"
    extractor = Embeddings(path)
    form = json.loads(json.dumps(written_form(extractor)))
    assert str(tmp_path) not in json.dumps(form)
    assert build(form, "feature extractor") == extractor
    asked = experiment(store, extractor).ask(4)
    named_files._here.clear()  # as in another process
    opened = alkit.Experiment.open(store, pool=pool_of(), learner=MeanLearner())
    assert opened.ask() == asked
    opened.tell({id: np.zeros((4, 4), np.uint8) for id in asked})
    opened.fit()
    assert len(alkit.Experiment.open(store, pool=pool_of(), learner=MeanLearner()).ask(2)) == 2
    moved = path.rename(tmp_path / "moved.npy")
    with pytest.raises(ConfigurationError, match=r"rows.npy, which is not there any more"):
        build(form, "feature extractor").fit(pool_of(), np.random.default_rng(0))
    (tmp_path / "rows.ids.txt").rename(tmp_path / "moved.ids.txt")
    assert Embeddings(moved) == extractor  # named again
    assert rows_of(build(form, "feature extractor")).shape == (30, 4)


def test_changed_content_is_refused(tmp_path):
    path, store = npy(tmp_path), tmp_path / "r.db"
    experiment(store, Embeddings(path)).ask(4)
    npy(tmp_path, ROWS + 1)
    opened = alkit.Experiment.open(store, pool=pool_of(), learner=MeanLearner())
    with pytest.raises(ConfigurationError, match=r"rows.npy does not have the content of embeddings sha256:"):
        rows_of(opened.strategy.features)
    opened = experiment(tmp_path / "other.db", Embeddings(path))
    opened.tell({id: np.zeros((4, 4), np.uint8) for id in opened.ask(4)})
    npy(tmp_path, ROWS + 2)
    with pytest.raises(ResumeError, match="sha256"):
        experiment(tmp_path / "other.db", Embeddings(path))


def test_a_record_of_somebody_else_opens_no_file(tmp_path):
    form = written_form(Embeddings(npy(tmp_path)))
    unknown = "sha256:" + 64 * "0"
    with pytest.raises(ConfigurationError, match=r"no file with the content sha256:0* was named on this machine"):
        build({**form, "with": {**form["with"], "path": unknown}}, "feature extractor").fit(
            pool_of(), np.random.default_rng(0)
        )
    for name, value in (
        ("path", str(npy(tmp_path, name="x"))),
        ("ids", str(tmp_path / "x.ids.txt")),
        ("ids", [1]),
        ("path", None),
    ):
        with pytest.raises(ConfigurationError, match=f"{name} must be sha256: and the digest of a file"):
            build({**form, "with": {**form["with"], name: value}}, "feature extractor")
    assert len(list((Path(os.environ["ALKIT_STATE"]) / "files").iterdir())) == 2
    listed = Embeddings(tmp_path / "rows.npy", IDS)
    assert build(json.loads(json.dumps(written_form(listed))), "feature extractor") == listed


def test_a_small_file_that_unpacks_to_very_much_is_refused_before_it_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = pa.ListArray.from_arrays(pa.array([0, 2_000_000], pa.int32()), pa.array(np.zeros(2_000_000, np.float32)))
    table = pa.table({"id": ["a"], "features": rows})
    parquet.write_table(pa.concat_tables([table] * 5), tmp_path / "rows.parquet", compression="zstd")
    with pytest.raises(DataError, match=r"rows\.parquet unpacks to 40\d+ bytes"):
        rows_of(Embeddings(tmp_path / "rows.parquet"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces a limit of memory")
def test_a_file_that_lies_about_what_it_unpacks_to_takes_no_more_memory(tmp_path):
    """21 KB took 3.7 GB."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path, ids = tmp_path / "rows.parquet", ["a" * 10**7 + name for name in IDS]
    table = pa.table({"id": pa.array(ids, pa.large_string()), "features": [[1.0, 2.0]] * 30})
    parquet.write_table(table, path, compression="zstd", write_statistics=False)
    content = path.read_bytes()
    stated = varint(2 * parquet.read_metadata(path).row_group(0).column(0).total_uncompressed_size)
    assert content.count(stated) == 1
    path.write_bytes(content.replace(stated, bytes([0x90, *[0x80] * (len(stated) - 2), 0])))
    assert parquet.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 8
    with pytest.raises(DataError, match=r"rows\.parquet (unpacks to more than|cannot be read)"):
        rows_of(Embeddings(path))


def varint(number):
    """Return a number as Thrift writes it."""
    more, found = number, []
    while more:
        found.append(more & 127 | 128)
        more >>= 7
    return bytes([*found[:-1], found[-1] & 127])


def test_a_file_that_ends_the_process_of_pyarrow_is_an_error(tmp_path, monkeypatch):
    """A damaged histogram of levels ended the program."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(_parquet, "_worker", Apart("alkit.features.curves"))  # it answers nothing
    with pytest.raises(DataError, match=r"cannot be read as a Parquet file \(pyarrow ended"):
        rows_of(Embeddings(lists(tmp_path)))


def test_ids_that_take_no_bytes_are_refused_before_they_are_made(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<U0", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("ids.npy", file.getvalue())
        other = io.BytesIO()
        np.save(other, ROWS)
        archive.writestr("features.npy", other.getvalue())
    with pytest.raises(DataError, match=r"an array of shape \(1000000000000,\) in 128 bytes"):
        rows_of(Embeddings(tmp_path / "rows.npz"))
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.ids.npy").write_bytes(file.getvalue())
    with pytest.raises(DataError, match="an array of shape"):
        rows_of(Embeddings(tmp_path / "a.npy"))
