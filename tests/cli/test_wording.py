"""Error messages name options on the command line, and parameters in Python."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import alkit as command
from PIL import Image

import alkit
from alkit.errors import AlkitError, ConfigurationError

FAST = "--size 16 --widths 2,4 --epochs 1,1 --pretext-epochs 1 --start 4 --batch 2 --rounds 0 --grayscale".split()
SPEC = ("skin", "lesion")


@pytest.fixture
def place(folders, monkeypatch):
    """A folder with images/ and masks/ that is the working directory."""
    monkeypatch.setenv("ALKIT_CACHE", str(folders / "cache"))
    monkeypatch.chdir(folders)
    return folders


@pytest.fixture
def fails(place, capfd):
    """Run a command that fails, and return its message."""

    def run(*arguments, code=1):
        capfd.readouterr()
        assert command(*arguments) == code
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("alkit: ")
        assert "bug in alkit" not in line
        return line.removeprefix("alkit: ")

    return run


@pytest.fixture
def run(fails):
    """Run `alkit run` with wrong options, and return its message."""
    return lambda *more: fails("run", "--images", "images", "--masks", "masks", "--store", "r.db", *FAST, *more)


def start(store, *more):
    assert (
        command("start", store, *("--images", "images", "--classes", "skin,lesion", *FAST[:6], "--grayscale"), *more)
        == 0
    )


def said(call):
    with pytest.raises(AlkitError) as reason:
        call()
    return str(reason.value)


def experiment(store, **more):
    learner = alkit.SegmentationLearner(lambda **sizes: alkit.UNet(widths=(2, 4), **sizes), epochs=(1, 1))
    pool = alkit.ImagePool("images", size=16, grayscale=True)
    return alkit.Experiment(pool, learner, alkit.strategy("random"), store=store, classes=SPEC, **more)


RANDOM = ["--strategy", "random"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            [*RANDOM, "--initial", "mc-dropout"],
            "--initial must be able to select without a model, and MCDropout needs a trained one. "
            "Try: --initial random or --initial maxherding.",
        ),
        (
            [*RANDOM, "--device", "abacus"],
            "--device must be auto, cpu, cuda, mps, or a numbered device such as cuda:1: got 'abacus'. "
            "Try: --device cpu.",
        ),
        (
            ["--strategy", "mc-dropout", "--param", "score=bald", "--param", "draws=1"],
            "--param draws must be an integer >= 2 for the score 'bald': got 1. Try: --param draws=20.",
        ),
        (
            ["--strategy", "mc-dropout", "--param", "score=bold"],
            "--param score must be the name of a score: got 'bold'. Try: 'bald'.",
        ),
        (
            [*RANDOM, "--test-fraction", "2"],
            "--test-fraction must be a number of images from 1 to 23, or a fraction of this size: got 2.0 of 24 "
            "images. Try: --test-fraction 0.2.",
        ),
        (
            ["--strategy", "dsal", "--widths", "4,8"],
            "--widths must have 4 or more integers for --strategy dsal, whose network has heads at 1/2 and 1/4 of the "
            "size: got '4,8'. Try: --widths 32,64,128,256,512.",
        ),
        (
            [*RANDOM, "--size", "17"],
            "images for a U-Net of 2 levels must have sides divisible by 2: got 17 x 17 pixels. "
            "Try: --size 16 for the pool, or fewer --widths.",
        ),
        (
            [*RANDOM, "--start", "100"],
            "the rounds need 100 labels, but the pool has 19 images: got 100 labels in round 0 and 0 * 2 later. "
            "Try: a smaller --start, --batch or --rounds.",
        ),
        ([*RANDOM, "--epochs", "0"], "--epochs must be two integers >= 1 with a comma between them: got '0'."),
        ([*RANDOM, "--epochs", "1,2,3"], "--epochs must be two integers >= 1 with a comma between them: got '1,2,3'."),
        ([*RANDOM, "--widths", "8"], "--widths must be two or more integers >= 1 with commas between them: got '8'."),
        ([*RANDOM, "--pretext-epochs", "0"], "--pretext-epochs must be an integer >= 1: got 0"),
        ([*RANDOM, "--param", "learner.batch=0"], "--param learner.batch must be an integer >= 1: got 0"),
        (
            [*RANDOM, "--param", "learner.precision=half"],
            "--param learner.precision must be one of 32-true, 16-mixed, bf16-mixed: got 'half'",
        ),
        (
            [*RANDOM, "--param", "feature.lr=1"],
            "--param feature.lr must begin with the name of a part: got feature, expected strategy, features, learner. "
            "Try: --param features.lr=1.",
        ),
        (
            [*RANDOM, "--classes", "lesion"],
            "--classes must be at least two names: got 'lesion'. "
            "Try: --classes background,lesion, the background first.",
        ),
        ([*RANDOM, "--classes", "a,a"], "--classes must have different names: got 'a' twice"),
        (
            [*RANDOM, "--images", "nowhere"],
            "--images must be an existing folder of images: got nowhere. Try: check the path.",
        ),
        (
            [*RANDOM, "--images", "images/000.png"],
            "--images must be an existing folder of images: got the file images/000.png. "
            "Try: the folder that contains it.",
        ),
        (
            [*RANDOM, "--masks", "masks/000.png"],
            "--masks must be an existing folder: got the file masks/000.png. Try: check the path.",
        ),
        (
            [*RANDOM, "--mask-pattern", "mask.png"],
            "--mask-pattern must contain {id}: got 'mask.png'. Try: --mask-pattern '{id}.png'.",
        ),
    ],
)
def test_an_error_of_a_run_names_the_option_and_a_fix_that_can_be_typed(run, more, message):
    assert message in run(*more)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "big"], "--size must be an integer: got 'big'"),
        (["--size", "0"], "--size must be an integer >= 1: got 0"),
        (["--lr", "fast"], "--lr must be a number: got 'fast'"),
        (["--sze", "4"], "alkit run has no option --sze. Try: --seed or --size or --store."),
        ([], "--store is missing. Try: alkit run --help."),
    ],
)
def test_a_command_that_was_typed_wrongly_is_described_like_other_errors(fails, arguments, message):
    assert fails("run", *arguments, code=2) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "no such command 'frobnicate'. Try: alkit --help."),
        (["statsu"], "no such command 'statsu'. Try: alkit status or alkit start or alkit strategies."),
        (["tell"], "the argument store is missing. Try: alkit tell --help."),
        (["export", "r.db", "--out", "x", "--format", "w"], "--format must be one of 'torch', 'onnx', 'both': got 'w'"),
    ],
)
def test_a_wrong_command_and_a_missing_argument_are_named(fails, arguments, message):
    assert fails(*arguments, code=2) == message


def test_help_shows_no_types_of_flags_and_no_defaults_in_brackets_that_cannot_be_typed(place, capfd):
    assert command("run", "--help") == 0
    shown = " ".join(capfd.readouterr().out.replace("│", " ").split())
    assert "<bool>" not in shown
    assert "default: (" not in shown
    assert "default: 32,64,128,256,512." in shown


def test_a_missing_device_is_named_without_the_words_of_libraries(run, monkeypatch, place):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "must be usable on this machine: got 'cuda', but torch finds no CUDA device. Try: "
    assert run(*RANDOM, "--device", "cuda") == f"--device {message}--device cpu."
    learner = alkit.SegmentationLearner(lambda **sizes: alkit.UNet(widths=(2, 4), **sizes), device="cuda")
    oracle = alkit.MaskOracle("masks", classes=SPEC)
    trial = alkit.Experiment(alkit.ImagePool("images", size=16), learner, alkit.strategy("random"), store="d.db")
    assert said(lambda: trial.run(oracle, start=4, batch=1, rounds=0)) == f"device {message}device='cpu'."


def test_a_device_number_that_is_missing_is_named(monkeypatch):
    from alkit.networks.computation import computation_for

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "got 'cuda:1', but torch finds 1 CUDA devices, numbered from 0" in said(
        lambda: computation_for("cuda:1", "32-true")
    )


def test_settings_that_differ_are_named_as_options_once_and_without_digests(run, place, capfd):
    first = "run", "--images", "images", "--masks", "masks", "--store", "r.db", *FAST, *RANDOM
    assert command(*first) == 0
    before = f"{place / 'r.db'} was created with other settings: "
    fix = ". Try: the recorded settings, or another store."
    assert run(*RANDOM, "--lr", "0.5") == f"{before}--lr: recorded 0.001, now 0.5{fix}"
    assert run(*RANDOM, "--size", "8") == f"{before}--size: recorded 16, now 8{fix}"
    assert run(*RANDOM, "--seed", "1") == f"{before}--seed: recorded 0, now 1{fix}"
    assert run(*RANDOM, "--param", "learner.batch=3") == f"{before}--param learner.batch: recorded 8, now 3{fix}"
    assert (
        run(*RANDOM, "--classes", "x,y") == f"{before}--classes: recorded ['background', 'object'], now ['x', 'y']{fix}"
    )


def test_start_names_the_options_that_it_changes(place, capfd):
    start("c.db", *RANDOM)
    capfd.readouterr()
    start("c.db", *RANDOM, "--hold-out", "0.5", "--lr", "0.1")
    lines = capfd.readouterr().out.splitlines()
    assert lines[:2] == ["changed: --lr: recorded 0.001, now 0.1", "changed: --hold-out: recorded 0.2, now 0.5"]


def test_other_images_are_named_without_digests_in_python(place):
    experiment("p.db").ask(2)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save("images/003.png")
    message = said(lambda: experiment("p.db"))
    assert message == (
        f"pool must hold the images that {place / 'p.db'} was created with: got changed: '003'. "
        "Try: restore them, or pool=alkit.ImagePool(FOLDER) with the folder that contains them."
    )


def test_moved_images_are_named_with_the_option(fails, place):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    message = fails("ask", "c.db", "--images", "masks")
    assert message.startswith("--images must hold the images that ")
    assert message.endswith("Try: restore them, or --images FOLDER with the folder that contains them.")


def change_masks(change, *numbers):
    """Change some of the masks."""
    for number in numbers:
        path = f"masks/{number:03}.png"
        Image.fromarray(change(np.asarray(Image.open(path)) // 255)).save(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda mask: mask + np.eye(16, dtype=np.uint8) * 7,
            "holds values outside its classes: got [7, 8], expected 0 background, 1 object. "
            "Try: convert these values to class ids.",
        ),
        (
            lambda mask: np.maximum(mask, np.eye(16, dtype=np.uint8) * 255),
            "holds values outside its classes: got [255], expected 0 background, 1 object. "
            "Try: --ignore 255, if 255 marks pixels that do not count.",
        ),
        (
            lambda mask: np.arange(256, dtype=np.uint8).reshape(16, 16),
            "got [2, 3, 4, 5, 6, 7, 8, 9], expected 0 background, 1 object. "
            "Try: save the mask without smoothing or lossy compression, with one class id per pixel.",
        ),
        (
            lambda mask: mask[:10],
            "has another size than its image: got 16 x 10 pixels, expected 16 x 16 pixels. "
            "Try: save the mask at the size of its image.",
        ),
    ],
)
def test_a_wrong_mask_is_named_by_its_file(run, change, message):
    change_masks(change, 7)
    line = run(*RANDOM)
    assert line.startswith("masks/007.png ")
    assert line.endswith(message)


def test_several_wrong_masks_have_one_fix(run):
    change_masks(lambda mask: mask[:10], 7, 9)
    assert run(*RANDOM) == (
        "2 of 24 masks cannot be used: masks/007.png has another size than its image: got 16 x 10 pixels, expected "
        "16 x 16 pixels; masks/009.png has another size than its image: got 16 x 10 pixels, expected 16 x 16 pixels. "
        "Try: save the mask at the size of its image."
    )


def test_a_wrong_mask_in_python_gets_a_fix_in_python(place):
    trial = experiment("p.db")
    (id,) = trial.ask(1)
    mask = np.eye(16, dtype=np.uint8)
    assert said(lambda: trial.tell({id: mask * 255})).endswith("Try: mask // 255, if 255 means lesion.")
    assert said(lambda: trial.tell({id: np.maximum(1, mask * 255)})).endswith(
        "Try: ignore=255, if 255 marks pixels that do not count."
    )


def test_a_broken_image_is_described_in_plain_words(place):
    Path("images/003.png").write_bytes(b"not an image")
    assert str(alkit.ImagePool("images").unusable["003"]) == (
        "images/003.png cannot be decoded: got a file that is not an image, or an image of an unknown format. "
        "Try: save it again, or move it out of the folder."
    )


def test_open_queries_name_the_commands_that_close_them(fails, place):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "3", "--out", "exchange") == 0
    assert fails("fit", "c.db", "--wait") == (
        "3 images of the open query lack an answer. Try: alkit tell their answers, or alkit withdraw them."
    )
    trial = alkit.Experiment.open("c.db")
    assert said(trial.fit).endswith("Try: tell() their answers, or withdraw() them.")
    assert said(lambda: trial.ask(9)).startswith(
        "n must be 3, or be left out, while a query for 3 images is open: got 9"
    )


def test_the_exchange_folder_must_be_a_folder_outside_the_images(fails, place):
    start("c.db", *RANDOM)
    ask = "ask", "c.db", "-n", "3", "--out"
    assert fails(*ask, "images/out") == (
        f"--out must be outside the folder of images: got {place}/images/out, which is in {place}/images. "
        "Try: another folder."
    )
    assert fails(*ask, "images/000.png") == (
        f"--out must be a folder: got the file {place}/images/000.png. Try: another folder."
    )
    assert fails(*ask, "out", "--as", "voc") == "--as must be coco or cvat or nifti: got 'voc'. Try: 'coco'."
    assert not Path("images/out").exists()
    pool = alkit.ImagePool("images", size=16)
    message = said(lambda: alkit.FolderOracle("images/out", classes=SPEC, images=pool))
    assert message.startswith("outbox must be outside the folder of images: got images/out")


def test_models_are_not_written_into_the_folder_of_images(fails, place):
    assert command("run", "--images", "images", "--masks", "masks", "--store", "r.db", *FAST, *RANDOM) == 0
    for name in ("export", "predict"):
        more = ["--images", "images"] if name == "predict" else []
        assert fails(name, "r.db", *more, "--out", "images") == (
            "--out must be outside the folder of images: got images. Try: another folder."
        )
    assert fails("predict", "r.db", "--images", "nowhere", "--out", "x") == (
        "--images must be an existing folder of images: got nowhere. Try: check the path."
    )
    assert said(lambda: alkit.export_model(alkit.trained_model("r.db"), "images")).startswith("out must be outside")


def test_commands_are_named_on_the_command_line_and_methods_in_python(fails, place):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "3", "--out", "exchange") == 0
    nothing = "'banana' has no answer to send back. Try: "
    assert fails("reject", "c.db", "banana", "--reason", "x") == (
        f"{nothing}alkit status --json, which lists the ids and annotators."
    )
    trial = alkit.Experiment.open("c.db")
    assert said(lambda: trial.reject("banana", "x")) == (
        f"{nothing}Experiment.answers(), which lists the ids and annotators."
    )
    assert fails("export", "c.db", "--out", "m").endswith("has no model yet. Try: alkit fit, which trains one.")
    assert said(lambda: alkit.trained_model("c.db")).endswith("Try: Experiment.open(...).fit(), which trains one.")
    assert fails("export", "no.db", "--out", "m").endswith("Try: create it with alkit start or alkit run.")
    assert said(lambda: alkit.trained_model("no.db")).endswith("Try: create it with Experiment(..., store=...).")


def test_files_of_answers_that_do_not_exist_are_named_with_a_fix(fails, place):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "3", "--out", "exchange") == 0
    for name in ("nowhere.json", "nowhere.xml"):
        assert fails("tell", "c.db", "--from", name) == (
            f"{name} cannot be read (No such file or directory). Try: check the path."
        )


def test_a_file_that_is_not_a_record_cannot_be_repaired(fails, place):
    Path("rubbish.db").write_bytes(b"rubbish" * 500)
    assert "got no intact row of the database, its journal or a backup" in fails(
        "repair", "rubbish.db", "--out", "x.db"
    )
    assert "got no such file" in fails("repair", "nowhere.db", "--out", "x.db")


def test_a_note_for_an_annotator_has_the_reason_without_brackets_and_without_words_of_python(place, capfd):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    keys = sorted(path.parent.name for path in Path("exchange").glob("*/query.json"))
    Path("exchange/ann").mkdir()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(f"exchange/ann/{keys[0]}.png")
    Image.fromarray(np.full((16, 16), 2, np.uint8)).save(f"exchange/ann/{keys[1]}.png")
    for key in keys:
        os.utime(f"exchange/ann/{key}.png", (1, 1))  # else it may still be written, and is left for later
    capfd.readouterr()
    assert command("tell", "c.db") == 3
    shown = capfd.readouterr().out
    assert "got [2], expected 0 skin, 1 lesion. Try: convert these values to class ids." in shown
    colour, values = (Path(f"exchange/ann/{key}.refused.txt").read_text() for key in keys)
    assert f"Why: {keys[0]}.png is a picture, not a label map: got 3 channels (RGB), expected one channel" in colour
    assert "holds values outside its classes: got [2], expected 0 skin, 1 lesion\n" in values
    for note in (colour, values):
        assert "is invalid (" not in note
        assert "Try:" not in note
        assert ".confirmed" not in note  # the query has no pre-label


def test_the_fix_of_an_error_is_given_in_the_words_of_the_interface_in_use(fails, place):
    Image.fromarray(np.zeros((12, 12), np.uint8)).save("images/003.png")
    assert said(lambda: alkit.ImagePool("images")).endswith("Try: size=256 to resize them.")
    message = fails("start", "c.db", "--images", "images", "--classes", "skin,lesion")
    assert message.endswith("Try: --size 256 to resize them.")


def test_a_step_that_is_missing_is_named_as_a_command(fails, place):
    start("c.db", *RANDOM)
    assert "alkit ask and alkit tell" in fails("fit", "c.db")


def test_an_option_that_only_alkit_start_has_is_named_with_it(fails, place, monkeypatch):
    start("c.db", *RANDOM)
    assert command("ask", "c.db", "-n", "2", "--out", "exchange") == 0
    trial = alkit.Experiment.open("c.db")
    trial.tell({id: np.eye(16, dtype=np.uint8) for id in trial.open_ids})

    def diverges(*_):
        raise ConfigurationError("training diverged", hint="a smaller lr= or precision='32-true'")

    monkeypatch.setattr(alkit.SegmentationLearner, "fit", diverges)
    assert fails("fit", "c.db") == (
        "training diverged. Try: a smaller --lr of alkit start or --param learner.precision=32-true of alkit start."
    )


def test_an_address_that_is_not_one_is_named_before_the_title(fails, place):
    start("c.db", *RANDOM)
    assert fails("ask", "c.db", "-n", "2", "--to", "label-studio", "--url", "localhost:1") == (
        "--url must be an http or https address: got 'localhost:1', expected one such as http://localhost:8080"
    )
