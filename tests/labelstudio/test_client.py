import json
import logging
import pickle
import socket

import pytest
from replay import Serving, serving

from alkit.errors import ConfigurationError, OracleError
from alkit.labelstudio.client import TOKEN, Client

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6InJlZnJlc2gifQ.c2lnbmF0dXJl"


class Saying(Serving):
    """Says what it is told to, to one request after the other."""

    def __init__(self, *answers, kind="application/json"):
        super().__init__()
        self.answers, self.kind = list(answers), kind

    def answer(self, asked, handler, content):
        self.asked.append(asked)
        status, said = self.answers.pop(0)
        return status, self.kind, said if isinstance(said, bytes) else json.dumps(said).encode()


@pytest.fixture
def legacy(monkeypatch):
    monkeypatch.setenv(TOKEN, LEGACY)


@pytest.fixture
def personal(monkeypatch):
    monkeypatch.setenv(TOKEN, PERSONAL)


def failure(*answers, kind="application/json"):
    """Return what is said where a server answers in this way."""
    with serving(Saying(*answers, kind=kind)) as server, pytest.raises(OracleError) as failed:
        Client(server.url).get("/api/projects/7/")
    return str(failed.value)


def test_a_legacy_token_is_sent_as_it_is(legacy):
    with serving(Saying((200, {"id": 7}))) as server:
        assert Client(server.url + "/").get("/api/projects/7/", fields="all") == {"id": 7}
    (asked,) = server.asked
    assert asked["authorization"] == f"Token {LEGACY}"
    assert (asked["path"], asked["query"]) == ("/api/projects/7/", {"fields": "all"})


def test_a_personal_access_token_is_exchanged_once_for_several_requests(personal):
    with serving(Saying((200, {"access": "short-lived"}), (200, 1), (200, 2))) as server:
        client = Client(server.url)
        assert [client.get("/a"), client.get("/b")] == [1, 2]
    exchange, *rest = server.asked
    assert (exchange["path"], exchange["body"]) == ("/api/token/refresh/", {"refresh": PERSONAL})
    assert exchange["authorization"] == ""
    assert [asked["authorization"] for asked in rest] == ["Bearer short-lived"] * 2


def test_an_exchanged_token_that_has_expired_is_exchanged_again(personal):
    with serving(Saying((200, {"access": "a"}), (401, {}), (200, {"access": "b"}), (200, "done"))) as server:
        assert Client(server.url).get("/a") == "done"
    assert [asked["authorization"] for asked in server.asked] == ["", "Bearer a", "", "Bearer b"]


def test_an_old_exchanged_token_is_not_used(personal):
    with serving(Saying((200, {"access": "a"}), (200, 1), (200, {"access": "b"}), (200, 2))) as server:
        client = Client(server.url)
        client.get("/a")
        client._access.until = 0.0
        client.get("/a")
    assert server.asked[-1]["authorization"] == "Bearer b"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (401, {"detail": "Invalid token."}),
            f"accept the token in {TOKEN}: got 401 Invalid token. Try: a pers",
        ),
        ((403, {"detail": "No."}), "the owner of the token may not GET /api/projects/7/: got 403 No"),
        ((404, {"detail": "Not found."}), "has nothing there: GET /api/projects/7/: got 404 Not found. Try: check the"),
        (
            (400, {"validation_errors": {"title": ["short"]}}),
            'GET /api/projects/7/: got 400 {"title": ["short"]}',
        ),
        ((500, b"<h1>Server Error</h1>"), "failed on GET /api/projects/7/: got 500"),
        ((503, b""), "failed on GET /api/projects/7/: got 503"),
        (
            (200, b"<html>Welcome"),
            "not answer as Label Studio: got no JSON to GET /api/projects/7/, but b'<html>Wel",
        ),
        ((302, b""), "sends its callers elsewhere: got another path"),
    ],
)
def test_what_a_server_refuses_is_said_clearly(legacy, answer, message):
    assert message in failure(answer)


def test_no_server_is_said_clearly(legacy):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(OracleError, match=r"cannot be reached: got .*refused.* Try: check that it runs"):
            Client(url).get("/a")


def test_a_server_that_does_not_answer_is_said_clearly(legacy):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(OracleError, match=r"does not answer: got nothing for 0.2 s"):
            Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2).get("/a")


def test_an_answer_that_breaks_off_is_said_clearly(legacy):
    class Breaking(Saying):
        def answer(self, asked, handler, content):
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"{")
            handler.close_connection = True
            raise ConnectionAbortedError

        def handle_error(self, request, client_address): ...

    with serving(Breaking()) as server, pytest.raises(OracleError, match="cannot be reached"):
        Client(server.url).get("/a")


def test_a_token_is_never_sent_on_to_where_a_server_redirects(legacy):
    class Redirecting(Saying):
        def answer(self, asked, handler, content):
            handler.send_response(302)
            handler.send_header("Location", f"{other.url}/steal?x=1")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            raise ConnectionAbortedError

        def handle_error(self, request, client_address): ...

    with (
        serving(Saying()) as other,
        serving(Redirecting()) as server,
        pytest.raises(OracleError, match=r"elsewhere: got http://127\.0\.0\.1\."),
    ):
        Client(server.url).get("/a")
    assert other.asked == []


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_no_token_is_in_an_error_even_where_the_server_repeats_it(monkeypatch, token, status):
    monkeypatch.setenv(TOKEN, token)
    echo = {"detail": f"what is {token} and access-me?"}
    exchange = [(200, {"access": "access-me"})] if token == PERSONAL else []
    again = [*exchange, (401, echo)] if status == 401 and exchange else []
    said = failure(*exchange, (status, echo), *again)
    assert "what is ... and" in said
    assert token not in said
    assert token == LEGACY or "access-me" not in said


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_no_token_is_in_a_client_its_pickle_or_a_log(monkeypatch, caplog, token):
    monkeypatch.setenv(TOKEN, token)
    caplog.set_level(logging.DEBUG)
    exchange = [(200, {"access": "access-me"})] if token == PERSONAL else []
    with serving(Saying(*exchange, (200, {}))) as server:
        client = Client(server.url)
        client.get("/a")
    kept = repr(client) + repr(vars(client)) + caplog.text
    for secret in (token, "access-me"):
        assert secret not in kept
        assert secret.encode() not in pickle.dumps(client)


@pytest.mark.parametrize("token", ["", "  ", None])
def test_no_token_at_all_says_where_it_belongs(monkeypatch, token):
    monkeypatch.delenv(TOKEN, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ConfigurationError, match=f"no token for Label Studio: expected it in .* {TOKEN}"):
        Client("http://127.0.0.1:9").get("/a")


@pytest.mark.parametrize("token", ["my secret", "geheim-ä", "se\ncret"])
def test_what_can_be_no_token_is_refused_without_being_shown(monkeypatch, token):
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ConfigurationError, match=f"what is in {TOKEN} is no token") as failed:
        Client("http://127.0.0.1:9").get("/a")
    assert token not in str(failed.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://a", "http://", "http://a/?x=1", "http://a:b/", "http://[a"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="no address of a server"):
        Client(url)


@pytest.mark.parametrize("url", ["http://anna:secret@studio.example", "https://secret@studio.example"])
def test_an_address_with_a_password_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError, match="holds a name or a password") as failed:
        Client(url)
    assert "secret" not in str(failed.value)


def test_an_unencrypted_address_of_another_machine_is_warned_of(caplog):
    Client("http://127.0.0.1:8080")
    Client("https://studio.example")
    assert caplog.text == ""
    Client("http://studio.example")
    assert "not encrypted" in caplog.text


def test_a_list_is_read_page_by_page(legacy):
    pages = [{"total": 5, "tasks": [1, 2]}, {"total": 5, "tasks": [3, 4]}, {"total": 5, "tasks": [5]}]
    with serving(Saying(*((200, page) for page in pages))) as server:
        assert list(Client(server.url).pages("/api/tasks", "tasks", size=2, project=3)) == [1, 2, 3, 4, 5]
    assert [asked["query"] for asked in server.asked] == [
        {"project": "3", "page": str(page), "page_size": "2"} for page in (1, 2, 3)
    ]


def test_a_list_that_is_none_is_said_clearly(legacy):
    with serving(Saying((200, ["?"]))) as server, pytest.raises(OracleError, match="'tasks' in it"):
        list(Client(server.url).pages("/api/tasks", "tasks", size=2))


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(legacy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(Saying((200, 1))) as server:
        assert Client(server.url).get("/a") == 1
