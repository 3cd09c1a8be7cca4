import json

import numpy as np

from alkit.features.kept_rows import find_kept_rows
from alkit.features.row_index import image_digests
from alkit.features.stored import StoredRows

FORM = {"is": "mine"}
IDS = ["a", "b", "c"]


def images(ids):
    return image_digests((1, 2, 2), "full", [id * 64 for id in ids])


def filled(root, fingerprint="f" * 16, value=1.0):
    def compute(ids):
        yield np.full((len(ids), 2), value, np.float32) + np.arange(len(ids), dtype=np.float32)[:, None]

    StoredRows(root, FORM, fingerprint, "mine").rows(IDS, images(IDS), compute, compute)


def test_rows_on_disk_are_found_without_computing(tmp_path):
    filled(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    rows, known = find_kept_rows(tmp_path, FORM, images(["c", "x", "a"]))
    assert rows.tolist() == [[3, 3], [1, 1]]
    assert known.tolist() == [True, False, True]
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_rows_are_left_out(tmp_path):
    filled(tmp_path)
    (file,) = tmp_path.rglob("rows-*.bin")
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    file.write_bytes(content)
    rows, known = find_kept_rows(tmp_path, FORM, images(IDS))
    assert rows.tolist() == [[1, 1], [3, 3]]
    assert known.tolist() == [True, False, True]


def test_tables_of_others_and_rubbish_are_not_rows(tmp_path):
    assert find_kept_rows(tmp_path / "none", FORM, images(IDS)) is None
    filled(tmp_path)
    assert find_kept_rows(tmp_path, {"is": "other"}, images(IDS)) is None
    assert find_kept_rows(tmp_path, FORM, images(["x"])) is None
    (about,) = tmp_path.rglob("about.json")
    right = json.loads(about.read_bytes())
    without = {name: value for name, value in right.items() if name != "rows"}
    for rubbish in ([], {}, without, *({**right, **other} for other in ({"width": 0}, {"rows": "../../etc/passwd"}))):
        about.write_text(json.dumps(rubbish))
        assert find_kept_rows(tmp_path, FORM, images(IDS)) is None
    for rubbish in ("{", "", "1"):
        about.write_text(rubbish)
        assert find_kept_rows(tmp_path, FORM, images(IDS)) is None
