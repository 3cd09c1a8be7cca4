"""A server that repeats the token everywhere: no message, log, note, record row or traceback contains it."""

import json
import logging
import os
import subprocess
import sys
from urllib.parse import quote

import numpy as np
import pytest
from commandline import alkit
from fake import Fake
from PIL import Image
from replay import Serving, serve

from alkit import synthetic
from alkit.errors import AlkitError
from alkit.oracles.labelstudio.client import TOKEN, Client
from alkit.oracles.labelstudio.secrets import cleaned, without_secrets

SECRET = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6InJlZnJlc2gifQ.c2lnbmF0dXJl"
ACCESS = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6ImFjY2VzcyJ9.bm9ib2R5"


class Echo(Serving):
    """Answers with what it was sent, in headers, texts and errors."""

    def __init__(self, status=200, content=None):
        super().__init__()
        self.status, self.content = status, content

    def answer(self, asked, handler, content):
        self.asked.append(asked)
        if asked["path"] == "/api/token/refresh/":
            return 200, "application/json", json.dumps({"access": ACCESS}).encode()
        said = asked["authorization"]
        self.headers = {"X-Echo": said, "Set-Cookie": f"session={said.split()[-1]}"}
        if self.content is not None:
            return self.status, "text/html", self.content(said)
        return self.status, "application/json", json.dumps({"detail": said, said: [said, {"a": said}]}).encode()


@pytest.fixture(params=[SECRET, PERSONAL])
def token(request, monkeypatch):
    monkeypatch.setenv(TOKEN, request.param)
    return request.param


def secrets_in(text):
    return [one for one in (SECRET, PERSONAL, ACCESS) if one.lower() in text.lower() or quote(one, safe="") in text]


def test_an_echo_in_the_data_of_an_answer_is_removed(token):
    with serve(Echo()) as server:
        answer = Client(server.url).get("/a")
    assert not secrets_in(repr(answer))
    assert "..." in answer["detail"]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 418, 500])
@pytest.mark.parametrize(
    "content",
    [
        None,
        lambda said: f"<h1>{said}</h1>".encode(),
        lambda said: json.dumps(said).replace("e", "\\u0065").encode(),
        lambda said: f"<a href='?token={quote(said)}'>".encode(),
        lambda said: b"[" * 100_000,
    ],
)
def test_an_echo_is_in_no_error_and_in_no_log(token, status, content, caplog):
    caplog.set_level(logging.DEBUG)
    with serve(Echo(status, content)) as server:
        client = Client(server.url)
        said = ""
        for request in (
            lambda: client.get("/a"),
            lambda: client.post("/a", {"a": 1}),
            lambda: client.upload("/a", "b", b"c"),
        ):
            try:
                said += repr(request())
            except AlkitError as reason:
                seen = reason
                while seen is not None:
                    said += str(seen) + repr(seen) + repr(seen.args)
                    seen = seen.__cause__ or seen.__context__
    assert "X-Echo" in caplog.text
    assert not secrets_in(said)
    assert not secrets_in(caplog.text)
    assert not secrets_in(repr(client) + repr(vars(client)))


def test_a_token_that_a_text_writes_in_percent_form_is_removed(monkeypatch):
    monkeypatch.setenv(TOKEN, "abc/def+ghi=jkl=mno")
    assert without_secrets("?token=abc%2Fdef%2Bghi%3Djkl%3Dmno&a") == "?token=...&a"
    assert cleaned({"ABC/def+ghi=jkl=mno": ["x abc/def+ghi=jkl=mno"]}) == {"...": ["x ..."]}


def test_short_words_of_answers_stay_although_a_token_equals_them(monkeypatch):
    monkeypatch.setenv(TOKEN, "lesion")
    assert cleaned({"label": "lesion"}) == {"label": "lesion"}


def test_the_password_of_a_proxy_is_in_no_error(token, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks9://anna:geheim@127.0.0.1:9")
    with pytest.raises(AlkitError) as failed:
        Client("http://studio.example").get("/a")
    assert "geheim" not in str(failed.value)


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(synthetic.lesions(4, size=16)[0]):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN, SECRET)
    start = ["start", "c.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    start += ["--recipe", "paper", "--widths", "2,4", "--steps", "1,1"]
    assert alkit(*start, "--strategy", "random") == 0
    return tmp_path


def raised_by(*arguments):
    """Return the error of a command that fails; an empty text if it prints the error."""
    try:
        assert alkit(*arguments) in (1, 3)
    except AlkitError as reason:
        return str(reason)
    return ""


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_server_that_repeats_the_token_in_tasks_leaves_it_nowhere(campaign, capfd, caplog, debug):
    caplog.set_level(logging.DEBUG)
    with serve(Fake()) as fake:
        assert alkit("ask", "c.db", "-n", 4, "--to", "label-studio", "--url", fake.url, "--project", "Moles") == 0
        first, second, third, fourth = fake.tasks
        fake.annotate(first["id"], [{"type": "choices", "value": {"choices": [SECRET]}}])
        region = {"type": "brushlabels", "original_width": 16, "original_height": 16}
        fake.annotate(second["id"], [{**region, "value": {"brushlabels": [SECRET], "rle": []}}])
        fake.annotate(third["id"], [{**region, "type": SECRET, "value": {}}])
        fourth["data"]["alkit_id"] = f"Bearer {SECRET}"
        fake.annotate(fourth["id"], [], was_cancelled=True)
        assert alkit("tell", "c.db", *debug) == 3
        first["annotations"][0]["updated_at"] = f"when {SECRET}"
        raised = raised_by("tell", "c.db", *debug)
        first["data"]["alkit_campaign"] = SECRET
        raised += raised_by("tell", "c.db", *debug)
        assert not secrets_in(raised)
        assert ("another campaign" in raised) == bool(debug)
        alkit("status", "c.db")
        notes = json.dumps([task["data"]["alkit_note"] for task in fake.tasks])
    said = capfd.readouterr()
    assert "..." in said.out
    assert "last changed" in said.out + said.err
    assert not secrets_in(said.out + said.err + caplog.text + notes)
    for path in [*campaign.glob("c.db*"), *campaign.rglob("c.db.*/*")]:
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_a_traceback_of_debug_contains_no_secret_and_no_control_character(campaign):
    code = (
        "import alkit.cli.tell as tell, sys\n"
        'def fail(*_, **__): raise RuntimeError("""Token ' + SECRET + ' at http://anna:geheim@proxy\\x1b[2J""")\n'
        "import alkit.cli.records as records; records.record_at = fail\n"
        "from alkit.cli import main; main(sys.argv[1:])"
    )
    for arguments in (["tell", "c.db", "--debug"], ["tell", "c.db"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ, check=False
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == ("--debug" in arguments)
        assert "RuntimeError: Token ... at http://...@proxy\\x1b[2J" in done.stderr
        assert not secrets_in(done.stderr)
        assert "geheim" not in done.stderr.replace('anna:geheim@proxy\\x1b[2J""")', "")


def test_masks_keep_every_number(monkeypatch):
    monkeypatch.setenv(TOKEN, SECRET)
    numbers = np.arange(10_000).tolist()
    assert cleaned([{"rle": numbers}]) == [{"rle": numbers}]
