"""A record's place is used only if the user has named it on this machine; a moved campaign finds its folder."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
from commandline import alkit
from fake import Fake
from PIL import Image
from replay import serve

from alkit import synthetic
from alkit._files import cache_folder, state_folder
from alkit.cli import named_places
from alkit.cli.named_places import is_named
from alkit.cli.places import PLACE, FolderPlace, LabelStudioPlace, last_place
from alkit.errors import AlkitError, StoreError
from alkit.oracles.labelstudio.address import same_address
from alkit.pools import ImagePool, folder
from alkit.record import Store, described
from alkit.record.described import can_be_guessed
from alkit.record.left_out import REPAIRED

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder with a campaign in ``mine``, whose images are beside it."""
    (tmp_path / "images").mkdir()
    (tmp_path / "mine").mkdir()
    for number, image in enumerate(synthetic.lesions(8, size=16)[0]):
        Image.fromarray(image[0]).save(tmp_path / f"images/{number}.png")
    monkeypatch.chdir(tmp_path)
    start = ["start", "mine/c.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    start += ["--recipe", "paper", "--widths", "2,4", "--steps", "1,1"]
    assert alkit(*start, "--strategy", "random") == 0
    return tmp_path


def ask(*more, store="mine/c.db"):
    return alkit("ask", store, "-n", 2, *more)


def on_another_machine(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("ALKIT_STATE", str(tmp_path_factory.mktemp("other")))


def write_place(store, **fact):
    record = Store(store)
    record.revise(PLACE, lambda _: fact)
    record.close()


def test_a_named_folder_is_used_again_without_the_option(home, capfd):
    assert ask("--out", "elsewhere") == 0
    assert alkit("ask", "mine/c.db") == 0
    assert alkit("tell", "mine/c.db") == 0
    assert alkit("withdraw", "mine/c.db") == 0
    assert len(list(Path("elsewhere").glob("r*/withdrawn.txt"))) == 2


@pytest.mark.parametrize("command", ["ask", "tell", "withdraw"])
@pytest.mark.parametrize("relative", [None, "../victim"])
def test_the_folder_of_a_strangers_record_is_neither_written_nor_read(home, capfd, command, relative):
    (home / "victim" / "ann").mkdir(parents=True)
    (home / "victim" / "ann" / "strange.png").write_bytes(b"no mask")
    os.utime(home / "victim" / "ann" / "strange.png", (0, 0))
    assert ask("--out", "mine/exchange") == 0
    before = sorted(home.rglob("victim/**/*"))
    write_place(
        "mine/c.db", folder=str(home / "victim"), form="coco", **({} if relative is None else {"relative": relative})
    )
    capfd.readouterr()
    assert alkit(command, "mine/c.db") == 1
    said = capfd.readouterr().err
    assert "was not named on this machine" in said
    assert f"{'--out' if command == 'ask' else '--from'} {home / 'victim'}, if it is yours" in said
    assert sorted(home.rglob("victim/**/*")) == before


@pytest.mark.parametrize("folder", ["mine", "mine/.ssh", "mine/documents", "mine/link"])
def test_a_folder_beside_a_strangers_record_is_used_only_if_it_has_queries_of_the_campaign(
    home, capfd, monkeypatch, tmp_path_factory, folder
):
    assert ask("--out", "mine/exchange") == 0
    on_another_machine(monkeypatch, tmp_path_factory)
    assert alkit("tell", "mine/c.db") == 0  # the folder came with the record
    (home / "outside").mkdir()
    if folder == "mine/link":
        shutil.copytree("mine/exchange", "outside", dirs_exist_ok=True)
        Path(folder).symlink_to(home / "outside")
    Path(folder).mkdir(exist_ok=True)
    if folder == "mine/.ssh":
        shutil.copytree("mine/exchange", folder, dirs_exist_ok=True)
    write_place(
        "mine/c.db", folder=str(home / folder), form="files", relative=folder.removeprefix("mine").strip("/") or "."
    )
    before = sorted(home.rglob("*"))
    for command in ("ask", "tell"):
        assert alkit(command, "mine/c.db") == 1
        assert "was not named on this machine" in capfd.readouterr().err
    assert sorted(home.rglob("*")) == before


def test_an_exchange_folder_of_another_campaign_beside_the_record_must_be_named(home, monkeypatch, tmp_path_factory):
    assert ask("--out", "mine/exchange") == 0
    for path in Path("mine/exchange").glob("r*/query.json"):
        path.write_text(path.read_text().replace('"campaign": "', '"campaign": "x'))
    record = Store("mine/c.db")
    assert is_named(record, last_place(record))
    on_another_machine(monkeypatch, tmp_path_factory)
    assert not is_named(record, last_place(record))
    record.close()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_place_can_be_confirmed_on_a_terminal(home, capfd, monkeypatch, tmp_path_factory, answer, code):
    assert ask("--out", "elsewhere") == 0
    on_another_machine(monkeypatch, tmp_path_factory)
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    def confirm(question, default, err):
        asked.append(question)
        assert (default, err) == (False, True)
        return answer == "y\n"

    monkeypatch.setattr("typer.confirm", confirm)
    assert alkit("tell", "mine/c.db") == code
    assert f"{home / 'elsewhere'}, which was not named on this machine" in asked[0]
    assert alkit("tell", "mine/c.db") == code
    assert len(asked) == (1 if code == 0 else 2)  # a confirmation is remembered


def test_a_moved_campaign_finds_its_folder_and_makes_no_other(home, capfd):
    assert ask("--out", "mine/exchange") == 0
    Path("mine").rename("yours")
    assert alkit("tell", "yours/c.db") == 0
    assert alkit("ask", "yours/c.db") == 0
    assert str(home / "yours" / "exchange") in capfd.readouterr().out
    assert not Path("mine").exists()


def test_a_copied_campaign_uses_its_own_folder(home, capfd):
    assert ask("--out", "mine/exchange") == 0
    shutil.copytree("mine", "copy")
    assert alkit("withdraw", "copy/c.db") == 0
    assert not list(Path("mine/exchange").glob("r*/withdrawn.txt"))
    assert len(list(Path("copy/exchange").glob("r*/withdrawn.txt"))) == 2


def test_a_record_that_was_moved_alone_finds_its_folder_where_it_was(home):
    assert ask("--out", "elsewhere") == 0
    Path("deep/er").mkdir(parents=True)
    for path in Path("mine").iterdir():
        path.rename(Path("deep/er") / path.name)
    assert alkit("tell", "deep/er/c.db") == 0


def test_a_record_and_its_folder_beside_it_that_were_moved_together_are_named_once(home, capfd):
    assert ask("--out", "elsewhere") == 0
    Path("new").mkdir()
    Path("mine").rename("new/mine")
    Path("elsewhere").rename("new/elsewhere")
    assert alkit("tell", "new/mine/c.db") == 1
    assert f"--from {home / 'new' / 'elsewhere'}" in capfd.readouterr().err
    assert alkit("tell", "new/mine/c.db", "--from", "new/elsewhere") == 0
    assert alkit("tell", "new/mine/c.db") == 0


@pytest.mark.parametrize("exchange", ["mine/exchange", "elsewhere"])
def test_a_folder_that_is_gone_is_asked_about_and_not_made_again(home, capfd, exchange):
    assert ask("--out", exchange) == 0
    Path(exchange).rename("moved")
    for command, option in (("ask", "--out"), ("tell", "--from"), ("withdraw", "--from")):
        capfd.readouterr()
        assert alkit(command, "mine/c.db") == 1
        said = capfd.readouterr().err
        assert f"the exchange folder {home / exchange} does not exist any more" in said
        assert f"{option} FOLDER" in said
    assert not Path(exchange).exists()
    assert alkit("tell", "mine/c.db", "--from", "moved") == 0
    assert alkit("tell", "mine/c.db") == 0  # the record knows the new place
    assert ask() == 0
    assert not Path(exchange).exists()


def test_a_place_from_before_this_version_still_counts_after_it_was_named(home, capfd):
    assert ask("--out", "elsewhere") == 0
    write_place("mine/c.db", folder=str(home / "elsewhere"), form="files")
    assert alkit("tell", "mine/c.db") == 0


def test_a_state_that_cannot_be_written_is_said_and_stops_nothing(home, capfd, monkeypatch, caplog):
    (home / "file").write_text("")
    monkeypatch.setenv("ALKIT_STATE", str(home / "file"))
    assert ask("--out", "elsewhere", "--images", "images") == 0
    assert "must be named again next time" in caplog.text
    assert alkit("tell", "mine/c.db") == 1


def test_the_folder_of_states_follows_the_environment(home, monkeypatch):
    monkeypatch.delenv("ALKIT_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert ask("--out", "elsewhere", "--images", "images") == 0
    (file,) = (home / "state" / "alkit" / "places").iterdir()
    assert json.loads(file.read_text()) == [["images", str(home / "images")], ["folder", str(home / "elsewhere")]]


@pytest.mark.parametrize("fact", [{"folder": 5}, {"folder": "a", "other": "b"}, ["a"], {"url": "http://x"}])
def test_a_damaged_place_is_an_error(home, capfd, fact):
    record = Store("mine/c.db")
    record.revise(PLACE, lambda _: fact)
    record.close()
    assert alkit("tell", "mine/c.db") == 1
    assert "the place in" in capfd.readouterr().err


def test_a_confirmation_says_that_others_can_read_the_token(home, capfd):
    assert ask("--out", "exchange") == 0
    write_place("mine/c.db", url="http://studio.example", project="Moles", control="bitmask")
    assert alkit("ask", "mine/c.db") == 1
    assert "because the token is sent to this address WITHOUT ENCRYPTION" in capfd.readouterr().err


# Images.


def test_the_images_of_a_strangers_record_are_not_sent_before_their_folder_is_named(
    home, capfd, monkeypatch, tmp_path_factory
):
    on_another_machine(monkeypatch, tmp_path_factory)
    for command in (["ask", "mine/c.db", "-n", 2, "--out", "exchange"], ["fit", "mine/c.db"]):
        assert alkit(*command) == 1
        said = capfd.readouterr().err
        assert f"the folder of images {home / 'images'} comes from the record" in said
        assert f"--images {home / 'images'}, if it is yours" in said
    assert not Path("exchange").exists()
    assert ask("--out", "exchange", "--images", "images") == 0
    assert len(list(Path("exchange").glob("r*/image.png"))) == 2


def test_after_the_first_query_only_images_that_the_record_knows_are_sent(home, capfd, monkeypatch, tmp_path_factory):
    assert ask("--out", "mine/exchange") == 0
    on_another_machine(monkeypatch, tmp_path_factory)
    assert alkit("ask", "mine/c.db") == 0
    (home / "images" / "0.png").write_bytes((home / "images" / "1.png").read_bytes())
    assert alkit("ask", "mine/c.db") == 1
    assert "got changed: '0'" in capfd.readouterr().err


def test_a_folder_with_far_more_images_than_a_strangers_record_describes_is_not_read(
    home, capfd, monkeypatch, tmp_path_factory
):
    """A record could name the root of the disk, and all images of the machine were decoded into the cache."""
    assert ask("--out", "mine/exchange") == 0
    for number in range(20):
        shutil.copy(home / "images" / "0.png", home / "images" / f"more{number}.png")
    monkeypatch.setattr(described, "MOST_OTHERS", 3)
    real, read = folder.cache_images, []
    monkeypatch.setattr(folder, "cache_images", lambda *given, **more: [read.append(1), real(*given, **more)][1])
    with monkeypatch.context() as patch:
        on_another_machine(patch, tmp_path_factory)
        for command in (["ask", "mine/c.db"], ["fit", "mine/c.db"]):
            assert alkit(*command) == 1
            assert "was not named on this machine" in capfd.readouterr().err
        assert alkit("page", "mine/c.db", "--out", "a.html") == 0
        assert "far more files than the record describes" in Path("a.html").read_text("utf-8")
        assert not read
    assert alkit("page", "mine/c.db", "--out", "b.html") == 0  # it was named here
    assert "far more files" not in Path("b.html").read_text("utf-8")
    assert read


def write_facts(store, **facts):
    record = Store(store)
    for name, change in facts.items():
        record.revise(name, change)
    record.close()


OTHER = {
    "seed": {"configuration": lambda form: {**form, "seed": 7}},
    "size": {"configuration": lambda form: {**form, "pool": {**form["pool"], "height": 8}}},
    "strategy": {"configuration": lambda form: {**form, "strategy": None}},
    "no digests": {"images": lambda form: None},
    "empty digests": {"images": lambda form: dict.fromkeys(form, "")},
    "no images": {"images": lambda form: {}},
}
"""Facts of a stranger's record that would make it begin again with other images, or take any images."""


@pytest.mark.parametrize("other", OTHER)
def test_images_that_a_strangers_record_does_not_describe_are_not_sent(
    home, capfd, monkeypatch, tmp_path_factory, other
):
    assert ask("--out", "mine/exchange") == 0
    for number in range(8):  # the folder of the lead has others under the same names
        Image.new("L", (16, 16), number).save(home / f"images/{number}.png")
    on_another_machine(monkeypatch, tmp_path_factory)
    write_facts("mine/c.db", **OTHER[other])
    shown = {path: path.read_bytes() for path in Path("mine/exchange").rglob("image.png")}
    for command in (["ask", "mine/c.db"], ["fit", "mine/c.db"], ["change", "mine/c.db", "--size", "32"]):
        assert alkit(*command) == 1
        assert "comes from the record" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in Path("mine/exchange").rglob("image.png")} == shown
    assert alkit("page", "mine/c.db", "--out", "page.html") == 0
    assert b"data:image/jpeg" not in Path("page.html").read_bytes()


def test_images_whose_digests_anybody_knows_are_not_sent(home, capfd, monkeypatch, tmp_path_factory):
    Image.new("L", (16, 16)).save("images/0.png")  # as in a window of a volume in which all is black
    start = ["start", "black.db", "--images", "images", "--classes", "skin,lesion", "--size", "16", "--grayscale"]
    assert alkit(*start, "--strategy", "random") == 0
    assert ask("--out", "exchange", store="black.db") == 0
    record = Store("black.db")
    assert can_be_guessed(record, ImagePool("images", size=16, grayscale=True))
    assert not can_be_guessed(record, ImagePool("images", size=16, grayscale=True, exclude="0.png"))
    assert can_be_guessed(record, ImagePool("images", size=1, grayscale=True, exclude="0.png"))
    record.close()
    on_another_machine(monkeypatch, tmp_path_factory)
    assert alkit("ask", "black.db") == 1
    assert "comes from the record" in capfd.readouterr().err


def test_new_images_are_not_copied_into_a_folder_that_only_the_record_names(home, capfd, monkeypatch, tmp_path_factory):
    assert ask("--out", "mine/exchange") == 0
    on_another_machine(monkeypatch, tmp_path_factory)
    Path("week").mkdir()
    Image.new("L", (16, 16)).save("week/new.png")
    assert alkit("add", "mine/c.db", "--images", "week") == 1
    assert f"alkit fit mine/c.db --images {home / 'images'}, if it is yours" in capfd.readouterr().err
    assert not (home / "images" / "week").exists()


def test_images_that_a_strangers_record_calls_repaired_stay_out_of_the_pool(home, capfd, monkeypatch, tmp_path_factory):
    assert ask("--out", "mine/exchange") == 0
    on_another_machine(monkeypatch, tmp_path_factory)
    Image.new("L", (16, 16)).save("images/secret.png")
    write_facts("mine/c.db", unusable=lambda form: {"secret": REPAIRED})
    assert alkit("ask", "mine/c.db", "-n", 3) == 0
    assert "their folder was not named on this machine" in capfd.readouterr().err
    assert "secret" not in Store("mine/c.db").fact("images")


def test_a_file_that_is_no_image_is_named_and_not_shown(home, capfd, caplog):
    (home / "images" / "secret.png").write_text("the secret of the lead")
    assert ask("--out", "exchange") == 0
    said = "".join(capfd.readouterr()) + caplog.text
    assert "secret.png" in said
    assert not list((home / "exchange").rglob("*secret*"))
    assert "of the lead" not in said
    assert not any(b"of the lead" in path.read_bytes() for path in home.rglob("exchange/**/*") if path.is_file())


# Label Studio.


@pytest.fixture
def studio(monkeypatch):
    monkeypatch.setenv("ALKIT_LABEL_STUDIO_TOKEN", TOKEN)
    with serve(Fake()) as server:
        yield server


def send(url, *more):
    return ask("--to", "label-studio", "--url", url, "--project", "Moles", *more)


def test_the_token_goes_to_an_address_that_was_named(home, studio):
    assert send(studio.url) == 0
    for command in ("ask", "tell", "withdraw"):
        assert alkit(command, "mine/c.db") == 0


@pytest.mark.parametrize("command", [["ask"], ["tell"], ["withdraw"], ["ask", "--project", "Other"]])
def test_the_token_does_not_go_to_an_address_of_a_strangers_record(home, studio, capfd, command):
    assert ask("--out", "exchange") == 0
    write_place("mine/c.db", url=studio.url, project="Moles", control="bitmask")
    assert alkit(command[0], "mine/c.db", *command[1:]) == 1
    said = capfd.readouterr().err
    assert f"project {'Other' if command[1:] else 'Moles'!r} of {studio.url} comes from the record" in said
    assert f"--url {studio.url}, or the variable ALKIT_LABEL_STUDIO_URL" in said
    assert "WITHOUT ENCRYPTION" not in said  # nobody reads along on this machine
    assert studio.asked == []


def test_the_variable_names_an_address(home, studio, monkeypatch, capfd):
    assert ask("--out", "exchange") == 0
    write_place("mine/c.db", url=studio.url, project="Moles", control="bitmask")
    monkeypatch.setenv("ALKIT_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert alkit("ask", "mine/c.db") == 1
    assert studio.asked == []
    monkeypatch.setenv("ALKIT_LABEL_STUDIO_URL", f"{studio.url}/")
    assert alkit("ask", "mine/c.db") == 0


def test_the_variable_is_the_address_of_a_new_campaign(home, studio, monkeypatch):
    monkeypatch.setenv("ALKIT_LABEL_STUDIO_URL", studio.url)
    assert ask("--to", "label-studio", "--project", "Moles") == 0
    assert len(studio.tasks) == 2


def test_an_address_that_was_named_for_one_campaign_is_not_named_for_another(home, studio, capfd):
    assert send(studio.url) == 0
    assert alkit("start", "d.db", "--images", "images", "--classes", "a,b", "--grayscale", "--strategy", "random") == 0
    write_place("d.db", url=studio.url, project="Moles", control="bitmask")
    before = len(studio.asked)
    assert ask(store="d.db") == 1
    assert len(studio.asked) == before


def test_addresses_are_compared_as_servers_understand_them():
    assert same_address("HTTPS://Labels.example.org/studio/", "https://labels.example.org/studio")
    assert same_address("https://labels.example.org:443", "https://labels.example.org")
    assert same_address("http://[::1]:80/", "http://[::1]")
    assert not same_address("https://labels.example.org:80", "https://labels.example.org")
    one, other = (LabelStudioPlace(url, "Moles") for url in ("http://Studio:80/", "http://studio"))
    assert one.is_same(other)
    assert not same_address("https://labels.example.org/studio", "https://labels.example.org/Studio")
    assert not same_address("http://labels.example.org", "https://labels.example.org")
    assert not same_address("https://labels.example.org.evil.org", "https://labels.example.org")
    assert is_not_confused_by_at()


def is_not_confused_by_at():
    return not same_address("https://labels.example.org@evil.org", "https://labels.example.org")


def test_places_know_how_they_are_shown():
    assert str(FolderPlace("/a")) == "/a"
    assert str(LabelStudioPlace("http://x", "Moles")) == "project 'Moles' of http://x"


def test_a_user_without_a_home_folder_is_told_which_variables_to_set(monkeypatch):
    for name in ("ALKIT_CACHE", "ALKIT_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def fail():
        raise RuntimeError("Could not determine home directory.")

    # A relative folder is in the present one, where a stranger may have put files.
    for home in (lambda: Path(""), lambda: Path("here"), fail):
        monkeypatch.setattr(Path, "home", home)
        with pytest.raises(StoreError, match=r"no home folder.*ALKIT_CACHE"):
            cache_folder()
        with pytest.raises(StoreError, match=r"no home folder.*ALKIT_STATE"):
            state_folder()


def test_relative_folders_of_the_xdg_variables_are_ignored_as_its_specification_says(tmp_path, monkeypatch):
    for name in ("ALKIT_CACHE", "ALKIT_STATE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "alkit"
    assert state_folder() == tmp_path / ".local" / "state" / "alkit"


def test_a_tilde_of_an_unknown_user_is_a_name_like_any_other():
    with pytest.raises(AlkitError, match="existing folder of images: got ~nobody-here/images"):
        ImagePool("~nobody-here/images")


def test_places_that_cannot_be_read_now_are_not_forgotten(home, monkeypatch):
    assert ask("--out", "elsewhere") == 0
    (file,) = (state_folder() / "places").iterdir()
    before, read = file.read_bytes(), Path.read_bytes

    def fails(path):
        if path == file:
            raise PermissionError(13, "Permission denied")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        assert ask("--out", "third") == 0
    assert file.read_bytes() == before


def test_places_that_are_named_at_once_are_all_remembered(home, monkeypatch):
    names = [f"place{number}" for number in range(6)]
    read = named_places._read

    def slowly(key):
        found = read(key)
        time.sleep(0.02)
        return found

    monkeypatch.setattr(named_places, "_read", slowly)
    with closing(Store("mine/c.db")) as record, ThreadPoolExecutor(len(names)) as threads:
        wait([threads.submit(named_places._remember, record, ["folder", name]) for name in names])
        assert {name for _, name in read(named_places._key(record))} >= set(names)


def test_a_record_that_cannot_be_read_is_not_one_whose_places_were_never_named(home, monkeypatch):
    def fails(self, name):
        raise StoreError("disk I/O error")

    record = Store("mine/c.db")
    monkeypatch.setattr(Store, "fact", fails)
    with pytest.raises(StoreError, match="disk I/O error"):
        is_named(record, FolderPlace("exchange"))
    record.close()
