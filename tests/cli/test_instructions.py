"""The lead's instructions are recorded by `alkit start` and `alkit change`, and sent with the images."""

import pytest

from alkit.cli.instructions import MOST, read_instructions, recorded_instructions, save_instructions
from alkit.errors import ConfigurationError
from alkit.record import Store


def test_a_text_is_recorded_changed_and_removed(tmp_path):
    store, file = Store(tmp_path / "r.db"), tmp_path / "told.txt"
    assert recorded_instructions(store) == ""
    file.write_bytes("\ufeffDraw the whole lesion.\r\nGröße zählt nicht.\n\n".encode())
    assert save_instructions(store, read_instructions(file)) == ["instructions: 41 characters, before 0"]
    assert recorded_instructions(Store(store.path)) == "Draw the whole lesion.\nGröße zählt nicht."
    assert save_instructions(store, None) == []
    assert save_instructions(store, read_instructions(file)) == []
    file.write_text("")
    assert save_instructions(store, read_instructions(file)) == ["instructions: 0 characters, before 41"]
    assert store.fact("instructions") is None


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"--instructions: .*told\.txt cannot be read \(No such file"),
        (b"\xff\xfe", "must be a text in UTF-8"),
        (b"red \x1b[31m", r"must be a plain text: got the characters '\\x1b'"),
        (b"a" * (MOST + 1), f"must have at most {MOST} characters: got {MOST + 1}"),
    ],
)
def test_another_file_is_refused(tmp_path, content, match):
    if content is not None:
        (tmp_path / "told.txt").write_bytes(content)
    with pytest.raises(ConfigurationError, match=match):
        read_instructions(tmp_path / "told.txt")
