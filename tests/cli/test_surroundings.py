"""Libraries neither run nor obey files that lie in the current folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

from alkit.cli import main
from alkit.cli.surroundings import shield


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
