"""The page of a campaign as a web application: who gets it, under which names, and with which headers."""

import http.client
import re
import socket
import threading
from contextlib import suppress

import pytest
from starlette.testclient import TestClient

from alkit.cli import serve
from alkit.errors import StoreError
from alkit.pages import impatient
from alkit.pages.live import LivePage
from alkit.pages.serving import application
from alkit.report.page import render, style_digest

TOKEN = "a-token-that-nobody-guesses"


def client(make=lambda memory: b"<p>page</p>", *, host="127.0.0.1:8011", **options):
    app = application(LivePage(make), **options)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


def test_the_page_is_shown_on_this_machine():
    found = client().get("/")
    assert (found.status_code, found.content) == (200, b"<p>page</p>")
    assert found.headers["content-type"].startswith("text/html")
    assert found.headers["refresh"] == "60"


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(method):
    assert getattr(client(), method)("/").status_code == 405


@pytest.mark.parametrize("path", ["/campaign.db", "/../campaign.db", "/%2e%2e/etc/passwd", "/static", "/docs"])
def test_there_is_nothing_else(path):
    assert client().get(path).status_code == 404


def test_a_name_that_leads_here_is_refused():
    """A web page of a stranger may let its own name lead to 127.0.0.1, and would be allowed to read what it gets."""
    for host in ("evil.example", "evil.example:8011", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7"):
        assert client(host=host).get("/").status_code == 421, host
    for host in ("a_b.evil.example", "a{b.evil.example", "evil.example#", "[::1", "127.0.0.1@evil.example", "x y", ""):
        assert client().get("/", headers={"host": host}).status_code == 421, host
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:1", "[::1]:1"):
        assert client(host=host).get("/").status_code == 200, host
    for host in ("box.lan", "10.0.0.7"):
        assert client(host=host, names=["box.lan"], only_loopback=False).get("/").status_code == 200, host


def test_with_a_token_only_those_who_have_it_see_the_page():
    reader = client(token=TOKEN)
    for query in ("", "?token=", "?token=wrong", "?token=%C3%A4"):
        assert reader.get(f"/{query}").status_code == 401, query
    reader.cookies.set("alkit-token", "wrong")
    assert reader.get("/").status_code == 401
    reader = client(token=TOKEN)
    entered = reader.get(f"/?token={TOKEN}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")  # so that the address no longer shows it
    assert re.search("(?i)httponly.*samesite=lax", entered.headers["set-cookie"])
    assert reader.get("/").status_code == 200


def test_every_answer_forbids_scripts_frames_and_caches():
    reader = client(token=TOKEN)
    for path in ("/", f"/?token={TOKEN}", "/", "/other"):
        headers = reader.get(path).headers
        assert headers["content-security-policy"].startswith(
            f"default-src 'none'; img-src data:; style-src '{style_digest()}'"
        )
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_policy_lets_a_page_have_its_style():
    import base64
    import hashlib

    style = re.search(rb"<style>(.*?)</style>", render("A title", []), re.S)[1]
    assert style_digest() == "sha256-" + base64.b64encode(hashlib.sha256(style).digest()).decode()


def test_a_record_that_cannot_be_read_is_told_and_asked_again():
    states = iter([StoreError("the record <b> is away"), b"back"])

    def make(memory):
        found = next(states)
        if isinstance(found, Exception):
            raise found
        return found

    reader = client(make)
    found = reader.get("/")
    assert found.status_code == 503
    assert found.headers["content-type"].startswith("text/plain")
    assert reader.get("/").content == b"back"


def test_a_page_is_not_made_again_at_once():
    made, now = [], [0.0]

    def make(memory):
        made.append(memory)
        now[0] += 2
        return b"%d" % len(made)

    page = LivePage(make, lambda: now[0])
    assert [page.html(), page.html()] == [b"1", b"1"]
    now[0] += 19  # ten times as long as it took
    assert page.html() == b"1"
    now[0] += 2
    assert page.html() == b"2"
    assert made[0] is made[1]


def test_while_a_page_is_made_others_get_the_former_one():
    begun, go, now = threading.Event(), threading.Event(), [0.0]

    def make(memory):
        if now[0]:
            begun.set()
            assert go.wait(10)
        return b"%d" % now[0]

    page = LivePage(make, lambda: now[0])
    assert page.html() == b"0"
    now[0] = 100
    maker = threading.Thread(target=page.html)
    maker.start()
    assert begun.wait(10)
    assert page.html() == b"0"
    go.set()
    maker.join()
    assert page.html() == b"100"


def test_connections_without_a_whole_request_do_not_keep_others_out(monkeypatch):
    monkeypatch.setattr(impatient, "PATIENCE", 0.3)
    page = LivePage(lambda memory: b"a page")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = serve.server_of(application(page))
        served = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        served.start()
        waiting = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(110)]
        for one in waiting[::2]:
            one.sendall(b"GET / HTTP/1.1\r\nHost: local")
        for one in waiting:
            with suppress(ConnectionResetError):
                assert b"page" not in one.recv(1000)  # the end of the connection, or a refusal
            one.close()
        answer = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(2):
            answer.request("GET", "/")
            assert answer.getresponse().read() == b"a page"
        answer.close()
        server.should_exit = True
        served.join(10)
