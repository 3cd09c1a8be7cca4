"""``alkit page`` and ``alkit serve`` as commands."""

import socket
import sys

import pytest
from commandline import alkit as run
from PIL import Image

import alkit
from alkit.cli.serve import _listening
from alkit.errors import ConfigurationError
from alkit.record import Store


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALKIT_PAGE_TOKEN", raising=False)
    Store(tmp_path / "campaign.db").close()
    return "campaign.db"


def test_a_page_replaces_an_earlier_one_and_no_other_file(record, tmp_path, capfd):
    for _ in range(2):
        assert run("page", record) == 0
    assert "campaign.html shows the campaign (0.0 MB)." in capfd.readouterr().out
    (tmp_path / "thesis.html").write_text("<title>my thesis</title>")
    assert run("page", record, "--out", "thesis.html") == 1
    assert "thesis.html exists and is not a page of alkit. Try: --overwrite" in capfd.readouterr().err
    assert run("page", record, "--out", "thesis.html", "--overwrite") == 0
    assert "my thesis" not in (tmp_path / "thesis.html").read_text()


def test_images_that_are_missing_are_told(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.new("L", (8, 8), 60 * number).save(tmp_path / "images" / f"{number}.png")
    learner, random = alkit.testing.Brightness(), alkit.strategy("random")
    alkit.Experiment(alkit.ImagePool("images"), learner, random, store="campaign.db", classes=("skin", "lesion"))
    (tmp_path / "images").rename(tmp_path / "moved")
    assert run("page", "campaign.db") == 0
    assert "the images cannot be read" in (told := capfd.readouterr()).err
    assert "--images FOLDER names their place" in told.err
    assert run("page", "campaign.db", "--images", "moved") == 0
    assert not capfd.readouterr().err


def test_a_page_needs_a_record_and_makes_none(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run("page", "nowhere.db") == 1
    assert "the record nowhere.db does not exist" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_are_checked(record, capfd):
    assert run("page", record, "--worst", "-1") == 1
    assert "--worst must be an integer >= 0: got -1" in capfd.readouterr().err
    assert run("page", record, "--images", "elsewhere") == 1
    assert "--images can be used only if the pool of the record is a folder" in capfd.readouterr().err
    assert run("serve", record, "--port", "70000") == 1
    assert "--port must be" in capfd.readouterr().err


def test_without_the_web_library_serve_names_the_extra(record, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run("serve", record) == 1
    assert "Try: pip install 'alkit[serve]', or alkit page" in capfd.readouterr().err


def test_a_page_for_other_machines_needs_a_token(record, monkeypatch, capfd):
    served = []
    monkeypatch.setattr("alkit.cli.serve._run", lambda app, listener: served.append(app))
    assert run("serve", record, "--port", "0") == 0
    here = capfd.readouterr()
    assert "http://localhost:" in here.out
    assert "token=" not in here.out
    assert run("serve", record, "--port", "0", "--host", "0.0.0.0") == 0
    away = capfd.readouterr()
    token = away.out.split("?token=")[1].split()[0]
    assert len(token) >= 32
    assert "not encrypted" in away.err
    monkeypatch.setenv("ALKIT_PAGE_TOKEN", "mine")
    assert run("serve", record, "--port", "0") == 0
    assert "/?token=mine" in capfd.readouterr().out

    from starlette.testclient import TestClient

    assert [TestClient(app, base_url="http://127.0.0.1").get("/").status_code for app in served] == [200, 401, 401]


def test_a_port_that_is_taken_is_told(record):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127.0.0.1, port {port} .*--port 0"):
            _listening("127.0.0.1", port)
