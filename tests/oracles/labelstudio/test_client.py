import contextlib
import gzip
import json
import logging
import pickle
import socket
import subprocess
import sys

import pytest
from replay import Serving, serve

from alkit.errors import ConfigurationError, OracleError
from alkit.oracles.labelstudio.client import TOKEN, Client

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6InJlZnJlc2gifQ.c2lnbmF0dXJl"


class Prepared(Serving):
    """Gives one prepared answer after the other: a status, and JSON or bytes."""

    def __init__(self, *answers, **headers):
        super().__init__()
        self.answers, self.headers = list(answers), headers

    def answer(self, asked, handler, content):
        self.asked.append(asked)
        status, said = self.answers.pop(0)
        return status, "application/json", said if isinstance(said, bytes) else json.dumps(said).encode()


@pytest.fixture
def legacy(monkeypatch):
    monkeypatch.setenv(TOKEN, LEGACY)


@pytest.fixture
def personal(monkeypatch):
    monkeypatch.setenv(TOKEN, PERSONAL)


def failure(*answers, **headers):
    """Return the message of the error that these answers cause."""
    with serve(Prepared(*answers, **headers)) as server, pytest.raises(OracleError) as failed:
        Client(server.url).get("/api/projects/7/")
    return str(failed.value)


def test_a_legacy_token_is_sent_unchanged(legacy):
    with serve(Prepared((200, {"id": 7}))) as server:
        assert Client(server.url + "/").get("/api/projects/7/", fields="all") == {"id": 7}
    (asked,) = server.asked
    assert asked["authorization"] == f"Token {LEGACY}"
    assert (asked["path"], asked["query"]) == ("/api/projects/7/", {"fields": "all"})


def test_a_personal_access_token_is_exchanged_once_for_several_requests(personal):
    with serve(Prepared((200, {"access": "short-lived"}), (200, 1), (200, 2))) as server:
        client = Client(server.url)
        assert [client.get("/a"), client.get("/b")] == [1, 2]
    exchange, *rest = server.asked
    assert (exchange["path"], exchange["body"]) == ("/api/token/refresh/", {"refresh": PERSONAL})
    assert exchange["authorization"] == ""
    assert [asked["authorization"] for asked in rest] == ["Bearer short-lived"] * 2


def test_an_access_token_that_the_server_refuses_is_replaced(personal):
    with serve(Prepared((200, {"access": "a"}), (401, {}), (200, {"access": "b"}), (200, "done"))) as server:
        assert Client(server.url).get("/a") == "done"
    assert [asked["authorization"] for asked in server.asked] == ["", "Bearer a", "", "Bearer b"]


def test_an_access_token_is_not_used_beyond_its_lifetime(personal, monkeypatch):
    monkeypatch.setattr("alkit.oracles.labelstudio.client.LIFETIME", 0.0)
    with serve(Prepared((200, {"access": "a"}), (200, 1), (200, {"access": "b"}), (200, 2))) as server:
        client = Client(server.url)
        client.get("/a")
        client.get("/a")
    assert server.asked[-1]["authorization"] == "Bearer b"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (401, {"detail": "Invalid token."}),
            f"accept the token in {TOKEN}: got 401 Invalid token. Try: create a personal",
        ),
        ((403, {"detail": "No."}), "the owner of the token is not allowed to GET /api/projects/7/: got 403 No"),
        ((404, {"detail": "Not found."}), "found nothing for GET /api/projects/7/: got 404 Not found. Try: check the"),
        (
            (400, {"validation_errors": {"title": ["short"]}}),
            'GET /api/projects/7/: got 400 {"title": ["short"]}',
        ),
        ((500, b"<h1>Server Error</h1>"), "failed on GET /api/projects/7/: got 500"),
        ((503, b""), "failed on GET /api/projects/7/: got 503"),
        (
            (200, b"<html>Welcome"),
            "did not answer GET /api/projects/7/ with JSON: got '<html>Wel",
        ),
        ((302, b""), "redirects to another address: got another path"),
    ],
)
def test_a_refusal_by_the_server_gives_a_clear_error(legacy, answer, message):
    assert message in failure(answer)


def test_a_missing_server_gives_a_clear_error(legacy):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(OracleError, match=r"cannot be reached: got .*refused.* Try: check that it runs"):
            Client(url).get("/a")


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_a_server_that_does_not_answer_gives_a_clear_error(monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(OracleError, match=r"did not answer within 0.2 s"):
            Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).get("/a")


def test_an_answer_that_is_cut_off_gives_a_clear_error(legacy):
    class CutOff(Prepared):
        def answer(self, asked, handler, content):
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"{")
            handler.close_connection = True
            raise ConnectionAbortedError

        def handle_error(self, request, client_address): ...

    with serve(CutOff()) as server, pytest.raises(OracleError, match="cannot be reached"):
        Client(server.url).get("/a")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_a_token_never_follows_a_redirect(monkeypatch, status, token):
    monkeypatch.setenv(TOKEN, token)
    requests = (
        lambda client: client.get("/a"),
        lambda client: client.post("/a", {}),
        lambda client: client.upload("/a", "image.png", b"pixels"),
    )
    for request in requests:
        with (
            serve(Prepared()) as other,
            serve(Prepared((status, b""), Location=f"{other.url}/steal?x=1")) as server,
            pytest.raises(OracleError, match=r"redirects to another address: got http://127\.0\.0\.1\."),
        ):
            request(Client(server.url))
        assert other.asked == []
        assert len(server.asked) == 1


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_no_token_is_in_an_error_even_if_the_server_repeats_it(monkeypatch, token, status):
    monkeypatch.setenv(TOKEN, token)
    echo = {"detail": f"what is {token} and access-me?"}
    exchange = [(200, {"access": "access-me"})] if token == PERSONAL else []
    again = [*exchange, (401, echo)] if status == 401 and exchange else []
    said = failure(*exchange, (status, echo), *again)
    assert "what is ... and" in said
    assert token not in said
    assert token == LEGACY or "access-me" not in said


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("before", [0, 30, 59, 490, 499])
def test_no_part_of_a_token_is_in_an_error_that_cuts_an_answer_short(legacy, status, before):
    text = "-" * before + LEGACY
    said = failure((status, text.encode() if status == 200 else {"detail": text}))
    assert not any(LEGACY[:n] in said for n in range(4, 40))


@pytest.mark.parametrize("charset", ["idna", "undefined", "zlib_codec", "utf-7", "punycode", "no such"])
def test_a_page_in_a_strange_charset_is_an_error(legacy, charset):
    class Page(Prepared):
        def answer(self, asked, handler, content):
            return 200, f"text/html; charset={charset}", b"\xff\xfe23456789"

    with serve(Page()) as server, pytest.raises(OracleError, match="with JSON"):
        Client(server.url).get("/api/projects/7/")


@pytest.mark.parametrize("place", ["http://[::1", "http://a]b/", "http://\u2100/"])
def test_a_redirect_to_an_address_that_cannot_exist_is_an_error(legacy, place):
    said = failure((302, b""), Location=place.encode().decode("latin-1"))
    assert "redirects to another address: got " in said


def test_no_token_is_in_an_error_about_a_redirect_to_a_host_of_that_name(monkeypatch):
    monkeypatch.setenv(TOKEN, LEGACY.upper())
    said = failure((302, b""), Location=f"http://{LEGACY}.example/")
    assert "got http://....example" in said


@pytest.mark.parametrize("access", ["", "two\nlines", "se cret", "geheim-ä"])
def test_an_access_token_that_no_header_can_hold_is_refused_without_being_shown(personal, access):
    said = failure((200, {"access": access}))
    assert "an access token with characters that no token has" in said
    assert not access or access not in said


def test_no_token_is_in_an_address_that_is_refused(legacy):
    with pytest.raises(ConfigurationError) as failed:
        Client(f"http://studio.example/?token={LEGACY}")
    assert LEGACY not in str(failed.value)


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_no_token_is_in_a_quoted_answer(monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    exchange = [(200, {"access": "access-me"})] if token == PERSONAL else []
    with serve(Prepared(*exchange, (200, {}))) as server:
        client = Client(server.url)
        client.get("/a")
    assert client.quote([token, "access-me" if exchange else "b"]) == ("['...', '...']" if exchange else "['...', 'b']")
    assert len(client.quote("-" * 190 + token)) <= 200
    assert token[:4] not in client.quote("-" * 190 + token)


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_no_token_is_in_a_client_its_pickle_or_a_log(monkeypatch, caplog, token):
    monkeypatch.setenv(TOKEN, token)
    caplog.set_level(logging.DEBUG)
    exchange = [(200, {"access": "access-me"})] if token == PERSONAL else []
    with serve(Prepared(*exchange, (200, {}))) as server:
        client = Client(server.url)
        client.get("/a")
    kept = repr(client) + repr(vars(client)) + caplog.text
    for secret in (token, "access-me"):
        assert secret not in kept
        assert secret.encode() not in pickle.dumps(client)


def test_a_client_can_be_pickled_and_used_afterwards(legacy):
    with serve(Prepared((200, 1), (200, 2))) as server:
        client = Client(server.url, timeout=7)
        assert client.get("/a") == 1
        copy = pickle.loads(pickle.dumps(client))
        assert copy == client
        assert copy.get("/a") == 2


@pytest.mark.parametrize("token", ["", "  ", None])
def test_the_error_for_a_missing_token_names_the_variable(monkeypatch, token):
    monkeypatch.delenv(TOKEN, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ConfigurationError, match=f"{TOKEN} must hold a token of Label Studio: got nothing"):
        Client("http://127.0.0.1:9").get("/a")


@pytest.mark.parametrize("token", ["my secret", "geheim-ä", "se\ncret"])
def test_an_impossible_token_is_refused_without_being_shown(monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ConfigurationError, match=f"{TOKEN} must hold one token") as failed:
        Client("http://127.0.0.1:9").get("/a")
    assert token not in str(failed.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://a", "http://", "http://a/?x=1", "http://a:b/", "http://[a"]
)
def test_an_impossible_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="url must be an http or https address"):
        Client(url)


@pytest.mark.parametrize(
    "url", ["http://anna:secret@studio.example", "https://secret@studio.example", "http://anna:sec/ret@studio.example"]
)
def test_an_address_with_a_password_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError, match="must not contain a user name or a password") as failed:
        Client(url)
    assert "sec" not in str(failed.value)


def test_an_unencrypted_address_of_another_machine_gives_a_warning(caplog):
    Client("http://127.0.0.1:8080")
    Client("https://studio.example")
    assert caplog.text == ""
    Client("http://studio.example")
    assert "not encrypted" in caplog.text


def test_a_list_is_read_page_by_page(legacy):
    pages = [{"total": 5, "tasks": [1, 2]}, {"total": 5, "tasks": [3, 4]}, {"total": 5, "tasks": [5]}]
    with serve(Prepared(*((200, page) for page in pages))) as server:
        assert list(Client(server.url).pages("/api/tasks", "tasks", size=2, project=3)) == [1, 2, 3, 4, 5]
    assert [asked["query"] for asked in server.asked] == [
        {"project": "3", "page": str(page), "page_size": "2"} for page in (1, 2, 3)
    ]


def test_an_answer_without_the_list_gives_a_clear_error(legacy):
    with serve(Prepared((200, ["?"]))) as server, pytest.raises(OracleError, match="must have a list called 'tasks'"):
        list(Client(server.url).pages("/api/tasks", "tasks", size=2))


def test_no_proxy_is_used_for_this_machine(legacy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(Prepared((200, 1))) as server:
        assert Client(server.url).get("/a") == 1


def test_a_proxy_is_used_for_another_machine(legacy, monkeypatch):
    with serve(Prepared((200, 1))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert Client("http://studio.invalid").get("/a") == 1


def test_a_proxy_that_cannot_be_used_gives_a_clear_error(monkeypatch):
    monkeypatch.setenv("all_proxy", "gopher://anna:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigurationError, match="the proxy named in the environment cannot be used") as failed:
        Client("http://studio.example")
    assert "secret" not in str(failed.value)


def test_a_host_name_that_cannot_exist_gives_a_clear_error(legacy, monkeypatch):
    for variable in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(OracleError, match="cannot be reached"):
        Client(f"http://{'a' * 70}.example").get("/a")


def test_each_request_has_a_connection_of_its_own(legacy):
    """On a shared one, Label Studio's own server delays each answer by 40 ms."""
    with serve(Prepared(*[(200, n) for n in range(3)])) as server:
        client = Client(server.url)
        assert [client.get("/a"), client.post("/a", {}), client.get("/a")] == [0, 1, 2]
    assert server.connections == 3


def test_session_cookies_are_not_sent_back(legacy):
    with serve(Prepared((200, 1), (200, 2), **{"Set-Cookie": "sessionid=abc; Path=/"})) as server:
        client = Client(server.url)
        client.get("/a")
        client.get("/a")
    assert [asked["cookie"] for asked in server.asked] == ["", ""]


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_a_file_arrives_byte_for_byte_even_if_it_is_sent_twice(monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    content = bytes(range(256)) * 1000 + b"\r\n--"
    again = [(200, {"access": "a"}), (401, {}), (200, {"access": "b"})] if token == PERSONAL else []
    with serve(Prepared(*again, (201, {"file_upload_ids": [1]}))) as server:
        Client(server.url).upload("/api/projects/7/import", "image.png", content, commit_to_project="false")
    uploads = [asked for asked in server.asked if asked["path"] == "/api/projects/7/import"]
    assert all(asked["query"] == {"commit_to_project": "false"} for asked in uploads)
    (sent,) = {asked["content"] for asked in uploads}
    head, _, rest = sent.partition(b"\r\n\r\n")
    assert b'name="file"; filename="image.png"\r\nContent-Type: application/octet-stream' in head
    assert rest.startswith(content + b"\r\n--")


def test_importing_alkit_does_not_import_the_http_library():
    command = "import sys, alkit; assert 'httpx2' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)


class Endless(Prepared):
    """Sends content without end, in the form that `kind` names."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def answer(self, asked, handler, content):
        if self.kind == "pages":
            return 200, "application/json", json.dumps({"tasks": [{"id": 1}] * 50, "total": 10**18}).encode()
        if self.kind in ("gzip", "gzip, gzip"):
            self.headers = {"Content-Encoding": self.kind}
            return 200, "application/json", gzip.compress(b'"' + b"a" * 10**7 + b'"')
        handler.send_response(200 if self.kind == "content" else 500)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"[" * 10_000)
        raise ConnectionAbortedError

    def handle_error(self, *_): ...


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("content", "is too large: expected at most 1000000 bytes"),
        ("reason", "is too large: expected at most 1000000 bytes"),
        ("gzip", "packed its answer to GET /a, which nobody asked for: got 'gzip'"),
        ("gzip, gzip", "packed its answer to GET /a, which nobody asked for: got 'gzip, gzip'"),
        ("pages", "sends a list without end, /a: got"),
    ],
)
def test_an_answer_without_end_is_an_error(legacy, monkeypatch, kind, message):
    monkeypatch.setenv("ALKIT_MAX_BYTES", "1000000")
    monkeypatch.setattr("alkit.oracles.labelstudio.client.MOST_PAGES", 20)
    with serve(Endless(kind)) as server:
        client = Client(server.url)
        read = (lambda: list(client.pages("/a", "tasks", size=50))) if kind == "pages" else lambda: client.get("/a")
        with pytest.raises(OracleError, match=message):
            read()


def test_an_answer_that_takes_too_long_is_an_error(legacy, monkeypatch):
    monkeypatch.setattr("alkit.oracles.labelstudio.bounds.PATIENCE", 0)
    with serve(Prepared((200, {"id": 7}))) as server, pytest.raises(OracleError, match="takes too long"):
        Client(server.url).get("/a")
