"""The program as a process of its own: what Ctrl-C does at any time."""

import os
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import alkit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")
INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT); [None for _ in range(100)]"


def run(code, **options):
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("library", ["typer", "rich", "numpy"])
def test_ctrl_c_while_a_library_is_imported_is_one_line(tmp_path, library):
    swallowed = "raise ImportError('damaged installation') from reason"
    content = f"try:\n    {INTERRUPT}\nexcept BaseException as reason:\n    {swallowed}\n"
    (tmp_path / f"{library}.py").write_text(content)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = run(["-m", "alkit", "strategies"], env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stderr) == (130, "alkit: stopped\n")


@pytest.mark.parametrize("place", ["before a command has a progress bar", "in the progress bar", "at the end"])
def test_ctrl_c_at_any_other_time_is_one_line(place):
    code = """
    import atexit, os, signal, sys
    import alkit.cli.strategies, alkit.strategies.described
    from alkit.__main__ import main
    from alkit.report.progress import progress_bar

    place = sys.argv.pop()

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        [None for _ in range(100)]

    def command(*_, **__):
        if place == "in the progress bar":
            with progress_bar():
                interrupt()
        elif place == "at the end":
            atexit.register(interrupt)
        else:
            interrupt()
        return []

    import typer
    from alkit import cli
    cli.app.registered_commands.clear()
    cli.app.command("one")(lambda: command())
    cli.app.command("two")(lambda: command())
    sys.argv[1:] = ["one"]
    main()
    """
    done = run(["-c", textwrap.dedent(code), place])
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert line.startswith("alkit: stopped")


def test_the_program_is_what_the_package_installs():
    from alkit import __main__

    project = tomllib.loads((Path(alkit.__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["alkit"] == f"{__main__.__name__}:{__main__.main.__name__}"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # importing it changes nothing


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_under_the_output_is_not_a_bug_of_alkit():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "alkit", "strategies"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "alkit: the output cannot be written (No space left on device); what was done is kept\n"


def test_the_program_ends_with_its_code_and_calls_exit_handlers_without_taking_libraries_apart():
    code = """
    import atexit, sys, threading, time
    import alkit.cli
    from alkit.__main__ import main

    class Library:
        def __del__(self):
            print("taken apart")

    def run():
        sys.kept = Library()
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: time.sleep(0.05) or print("thread")).start()
        raise SystemExit(3)

    alkit.cli.main = run
    main()
    """
    done = run(["-c", textwrap.dedent(code)])
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "thread\nat the end\n"
