"""Libraries neither run nor obey files that lie in the current folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from alkit.cli import main
from alkit.cli.surroundings import shield
from alkit.networks.compiled import compiled


@pytest.mark.skipif(sys.platform != "linux", reason="the loader of Linux")
@pytest.mark.parametrize("name", ["libcuda.so.1", "glibc-hwcaps/x86-64-v3/libcuda.so.1"])
def test_a_library_in_the_current_folder_is_not_loaded(tmp_path, monkeypatch, capsys, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        main(["--version"])
    told = f"alkit: the current folder has {name}, which would run as a part of this program. Try: another current"
    assert capsys.readouterr().err.startswith(told)


def test_other_files_of_the_current_folder_do_not_matter(tmp_path, monkeypatch, capsys):
    (tmp_path / "libmine.so").touch()
    (tmp_path / "tls").mkdir()
    monkeypatch.chdir(tmp_path)
    shield()
    assert capsys.readouterr() == ("", "")


def test_a_style_of_matplotlib_in_the_current_folder_is_ignored(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True")
    program = (
        "import os; from alkit.cli.surroundings import shield; shield(); import matplotlib; "
        "print(matplotlib.rcParams['text.usetex'], os.getcwd())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"False {tmp_path}\n"
    assert done.stderr == "alkit: matplotlibrc in the current folder is ignored\n"


def test_processes_that_libraries_start_import_nothing_from_the_current_folder(tmp_path):
    (tmp_path / "ctypes.py").write_text("print('imported')")
    program = tmp_path / "bin" / "program.py"  # the folder of the program is searched, as it is that of alkit's
    program.parent.mkdir()
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import ctypes, signal'], check=True)"
    program.write_text(
        f"import alkit.cli\nalkit.cli.main = lambda: exec({start!r})\nimport alkit.__main__ as program\n"
    )
    program.write_text(program.read_text() + "program.main()\nprint('ended')\n")
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "ended\n"


def test_torch_compiles_into_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compiled(abs)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
