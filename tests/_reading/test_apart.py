"""A process apart answers one request at a time, and never with the answer to another one."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from alkit._reading.apart import Apart

ECHO = "import sys\nfor line in sys.stdin.buffer:\n    sys.stdout.buffer.write(line)\n    sys.stdout.buffer.flush()\n"


@pytest.fixture
def echo(tmp_path, monkeypatch):
    (tmp_path / "echo_for_a_test.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Apart("echo_for_a_test")


def ask(echo, text):
    with echo.pipes() as (requests, answers):
        requests.write(text.encode() + b"\n")
        requests.flush()
        return answers.readline().decode().strip()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_answer_that_nobody_waited_for_is_not_given_to_the_next_request(echo, error):
    def interrupted():
        with echo.pipes() as (requests, _):
            requests.write(b"first\n")
            requests.flush()
            raise error

    with pytest.raises(error):
        interrupted()
    assert ask(echo, "second") == "second"


def test_threads_take_turns(echo):
    def request(number):
        with echo.pipes() as (requests, answers):
            requests.write(f"{number}\n".encode())
            requests.flush()
            gate.wait(0.05)  # the others ask meanwhile
            return int(answers.readline())

    gate = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(request, range(4))) == [0, 1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_has_a_process_of_its_own(echo):
    assert ask(echo, "before") == "before"
    with echo.pipes() as (requests, answers):
        requests.write(b"of the parent\n")
        requests.flush()
        if (child := os.fork()) == 0:
            os._exit(0 if ask(echo, "of the child") == "of the child" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert answers.readline() == b"of the parent\n"
