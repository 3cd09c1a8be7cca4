import subprocess

from benchmarks import rows


def test_changed_results_do_not_make_the_commit_dirty(tmp_path):
    def git(*words):
        who = "-c", "user.name=a", "-c", "user.email=a@b"
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    code, found = tmp_path / "benchmarks" / "rows.py", tmp_path / "benchmarks" / "results" / "rows.csv"
    found.parent.mkdir(parents=True)
    for path in (code, found):
        path.write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "a")
    clean = rows.commit(code.parent)
    assert clean
    assert "dirty" not in clean
    found.write_text("2")
    assert rows.commit(code.parent) == clean
    code.write_text("2")
    assert rows.commit(code.parent) == f"{clean}-dirty"
