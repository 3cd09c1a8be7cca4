"""Text from files, records and servers cannot steer the terminal, whatever command prints it."""

import json
import logging
import os
import re
import warnings
from pathlib import Path

import pytest
from commandline import alkit
from PIL import Image
from rich.console import Console
from rich.table import Table

import alkit as package
from alkit.cli.printing import clean_messages, echo, in_table
from alkit.errors import AlkitError, ConfigurationError
from alkit.record import Store

HOSTILE = "a\x1b[2J\x1b]0;owned\x07\u202eb\x9b31m\rfake\nalkit: fine\x00\udcff"
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COMMANDS = sorted(Path(package.__file__).parent.joinpath("cli").glob("*.py"))


def test_printed_text_is_one_line_without_control_characters(capfd):
    echo(HOSTILE, HOSTILE)
    echo(HOSTILE, err=True)
    said = capfd.readouterr()
    assert (len(said.out.splitlines()), len(said.err.splitlines())) == (2, 1)
    assert not CONTROLS.search(said.out + said.err)


def test_text_in_a_table_is_literal_and_short(capfd):
    table = Table()
    table.add_column("a")
    table.add_row(in_table(HOSTILE + "[link=https://example.org]x[/link]"))
    table.add_row(in_table("x" * 10_000))
    Console(width=80, force_terminal=False).print(table)
    said = capfd.readouterr().out
    assert not CONTROLS.search(said)
    assert "[link=https" in said
    assert len(said) < 2000


def test_a_message_of_the_log_is_one_line_without_control_characters(tmp_path, caplog):
    image = tmp_path / (HOSTILE.replace("\x00", "").replace("/", "").replace("\udcff", "") + ".jpg")
    # an EXIF block without its end
    Image.new("RGB", (8, 8)).save(image, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01")
    package.ImagePool(tmp_path, cache=tmp_path / "cache")
    assert caplog.messages
    for message in caplog.messages:
        assert not CONTROLS.search(message)
        assert len(message.splitlines()) == 1


def test_all_loggers_of_the_package_write_one_line():
    for path in Path(package.__file__).parent.rglob("*.py"):
        assert path.stem == "_logs" or "getLogger(__name__)" not in path.read_text()


def test_what_libraries_log_and_warn_of_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("a.library"), "propagate", False)  # pytest listens at the root
    with clean_messages():
        logging.getLogger("a.library").warning("the tag %s", HOSTILE)
        formed = warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "library.py", 1, "")
    said = capsys.readouterr().err + formed
    assert len(said.splitlines()) == 2
    assert not CONTROLS.search(said)


def test_an_error_is_one_short_line_without_control_characters():
    message = str(ConfigurationError(HOSTILE, got=HOSTILE, expected=HOSTILE, hint=HOSTILE))
    assert not CONTROLS.search(message)
    assert "\n" not in message
    assert len(str(AlkitError("x" * 10**6))) == 4000


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_commands_print_only_by_the_functions_that_clean(path):
    """Only JSON, which escapes control characters itself, and rich tables, whose texts are checked here."""
    source = path.read_text()
    if path.stem != "printing":
        assert source.count("typer.echo") == (path.stem == "__init__")
    for printed in re.findall(r"(?<![\w.])print\((.*)", source):
        assert printed.startswith("json.dumps(")
    if path.stem == "tables":
        assert "escape(" not in source.replace("in_table(", "")


def test_a_hostile_name_of_a_record_is_printed_as_one_line(tmp_path, capfd):
    assert alkit("status", tmp_path / HOSTILE.replace("\x00", "").replace("/", "")) == 1
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1
    assert not CONTROLS.search(said)


def test_what_annotators_write_is_recorded_and_shown_without_control_characters(tmp_path, monkeypatch, capfd):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(package.synthetic.lesions(4, size=16)[0]):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    start = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    assert alkit(*start, "--strategy", "random") == 0
    assert alkit("ask", "c.db", "-n", 3, "--out", "exchange") == 0
    (tmp_path / "exchange" / "ann").mkdir()
    first, second, third = sorted(path.name for path in (tmp_path / "exchange").glob("r*-*-*"))
    hostile = HOSTILE.replace("\x00", "").replace("\udcff", "")
    for name, text in (
        (f"{first}.skip", hostile),
        (f"{second}.withdrawn", hostile),
        (f"{third}.png", hostile),
        ("a\x1b[2Jb.png", hostile),
        ("all.json", json.dumps({"images": hostile})),
        ("all.xml", f"<annotations><version>{hostile}</version></annotations>"),
    ):
        path = tmp_path / "exchange" / "ann" / name
        path.write_text(text)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    alkit("tell", "c.db")
    alkit("status", "c.db")
    alkit("tell", "c.db", "--json")
    alkit("status", "c.db", "--json")
    alkit("withdraw", "c.db")
    said = capfd.readouterr()
    assert "\\x1b[2J" in said.out
    assert not CONTROLS.search(said.out + said.err)
    (note,) = (tmp_path / "exchange" / "ann").glob(f"{third}.refused.txt")
    assert not CONTROLS.search(note.read_text())
    record = Store(tmp_path / "c.db")
    reasons = [answer.reason for answer in record.answers()]
    record.close()
    assert any(reason.startswith("a\\x1b[2J") for reason in reasons)
    assert not any(CONTROLS.search(reason) or "\n" in reason for reason in reasons)
