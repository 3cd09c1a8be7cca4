"""Tests with a real Label Studio server on loopback, and a browser in which an annotator draws, skips and corrects.

``make label-studio`` installs both and runs these tests. With ``ALKIT_KEEP=1`` they also write the screenshots to
``docs/figures`` and record the exchanges that the other tests play back.
"""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from replay import Recording, serve
from server import run_server

import alkit
from alkit import LabelStudioOracle, Query
from alkit.oracles.labelstudio.client import TOKEN, Client
from alkit.oracles.labelstudio.regions import alpha_of
from alkit.values import Invalid, Skip

ROOT = Path(__file__).parents[3]
PROGRAMS = ROOT / ".label-studio" / "venv" / "bin"
KEEP = bool(os.environ.get("ALKIT_KEEP"))
SIZE = (224, 256)
SPEC = alkit.LabelSpec(("skin", "lesion"))

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not (PROGRAMS / "label-studio").is_file():
        pytest.fail("Label Studio is not installed: run `make label-studio`")
    with run_server(PROGRAMS / "label-studio", tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture(autouse=True)
def token(server, monkeypatch):
    monkeypatch.setenv(TOKEN, server.token)


@pytest.fixture(scope="module")
def recorder(server):
    with serve(Recording(server.url)) as recorder:
        yield recorder
        if KEEP:
            recorder.save([server.token, server.password])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    images, _ = alkit.synthetic.lesions(12, size=256, seed=5)
    for number, row in enumerate(CHOSEN):
        gray = images[row, 0, 16:240].astype(float)
        colour = np.stack([np.clip(gray * share + base, 0, 255) for share, base in TINT], -1)
        picture = Image.fromarray(colour.astype(np.uint8))
        if number == 2:  # a rotated file whose EXIF tag says so
            askew = Image.Exif()
            askew[ExifTags.Base.Orientation] = 6
            picture.transpose(Image.Transpose.ROTATE_90).save(folder / f"mole-{number}.jpg", quality=95, exif=askew)
        else:
            picture.save(folder / f"mole-{number}.png")
    pool = alkit.ImagePool(folder, size=64)
    assert {sizes[0] for sizes in pool.sizes(pool.ids)} == {SIZE}
    return pool


CHOSEN = (10, 6, 11, 5)
TINT = ((0.9, 25), (0.85, 5), (0.8, 0))
QUERIES = [Query(f"mole-{n}", 0, n, (SIZE,), stands_for=f"{12 - n} images like it") for n in range(4)]


def prelabel():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (((rows - 124) / 50) ** 2 + ((columns - 100) / 68) ** 2 <= 1).astype(np.uint8)


def annotate(server, project, steps, folder):
    """Do these steps in a browser."""
    plan = {"email": server.email, "password": server.password, "project": project, "steps": steps}
    (folder / "plan.json").write_text(json.dumps({**plan, "failure": str(folder / "failure.png")}))
    done = subprocess.run(
        [PROGRAMS / "python", ROOT / "tests" / "support" / "browser.py", server.url, folder / "plan.json"],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:] + str(folder / "failure.png")


def by_id(answers):
    return {answer.id: answer for answer in answers}


def painted(annotation):
    """Return the pixels that an annotation's bitmasks paint: the obvious way."""
    return np.any([alpha_of(region["value"]["imageDataURL"]) >= 128 for region in annotation["result"]], axis=0)


def test_masks_skips_and_corrections_from_a_browser_arrive(server, recorder, images, tmp_path):
    shots = ROOT / "docs" / "figures" if KEEP else tmp_path
    oracle = LabelStudioOracle(
        recorder.url, "Moles", classes=SPEC, images=images, prelabels={"mole-0": prelabel()}, model_version="round-0"
    )
    recorder.scene = "ask"
    oracle.ask(QUERIES)
    recorder.scene = "ask again"
    oracle.ask(QUERIES)
    recorder.scene = "open"
    assert list(oracle.poll()) == []

    client = Client(server.url)
    (project,) = client.get("/api/projects/")["results"]
    assert project["task_number"] == 4
    tasks = {task["data"]["alkit_id"]: task["id"] for task in client.get("/api/tasks", project=project["id"])["tasks"]}
    steps = [
        ["label all"],
        ["screenshot", str(shots / "label-studio-prelabel.png")],
        ["draw", "lesion", [0.69, 0.59], [0.66, 0.75], [0.58, 0.83]],
        ["screenshot", str(shots / "label-studio-drawn.png")],
        ["press", "Submit"],
        ["press", "Skip"],
        ["draw", "lesion", [0.4, 0.4], [0.6, 0.6]],
        ["press", "Submit"],
        ["draw", "lesion", [0.4, 0.4], [0.5, 0.5]],
        ["wait for draft"],
    ]
    annotate(server, project["id"], steps, tmp_path)
    recorder.scene = "answered"
    first = by_id(oracle.poll())
    assert set(first) == {"mole-0", "mole-1", "mole-2"}, "the draft of mole-3 is not an answer"
    corrected = first["mole-0"]
    (annotator,) = {answer.annotator for answer in first.values()}
    assert annotator.startswith("user-")
    assert all(answer.seconds > 0 for answer in first.values())
    assert corrected.confirmed
    assert corrected.label.shape == SIZE
    assert (corrected.label >= prelabel()).all(), "the pre-label is kept"
    added = corrected.label.astype(bool) & ~prelabel().astype(bool)
    assert added[int(0.75 * 224), int(0.66 * 256)], "and the drawn pixels are added"
    assert first["mole-1"].label == Skip()
    stroke = first["mole-2"].label
    assert stroke.shape == SIZE, "as a viewer shows it"
    assert stroke[112, 128] == 1
    assert stroke[10, 10] == 0

    before = datetime.now(UTC)
    annotate(
        server,
        project["id"],
        [["open", tasks["mole-2"]], ["draw", "lesion", [0.2, 0.8], [0.3, 0.8]], ["press", "Update"]],
        tmp_path,
    )
    changed = LabelStudioOracle(recorder.url, "Moles", classes=SPEC, since=before)
    recorder.scene = "corrected"
    (revised,) = changed.poll()
    recorder.scene = ""
    assert revised.id == "mole-2"
    assert revised.annotator == first["mole-2"].annotator
    assert revised.revision > first["mole-2"].revision
    assert revised.label[int(0.8 * 224), int(0.25 * 256)] == 1
    assert (revised.label >= stroke).all()

    for answer in oracle.poll():
        (annotation,) = client.get(f"/api/tasks/{tasks[answer.id]}/")["annotations"]
        if not annotation["was_cancelled"]:
            np.testing.assert_array_equal(answer.label, painted(annotation))

    recorder.scene = "refused"
    oracle.refused(by_id(oracle.poll())["mole-2"], "it holds no lesion")
    note = client.get(f"/api/tasks/{tasks['mole-2']}/")["data"]["alkit_note"]
    assert note.endswith(f"by {annotator} was not accepted: it holds no lesion")
    recorder.scene = ""
    assert len(list(oracle.poll())) == 3, "a note does not change answers"


@pytest.mark.parametrize("control", ["bitmask", "brush", "polygon"])
def test_every_kind_of_region_survives_the_server_pixel_for_pixel(server, recorder, images, control):
    mask = prelabel()
    mask[120:130, 110:140] = 0  # a hole
    oracle = LabelStudioOracle(
        recorder.url, f"Moles {control}", classes=SPEC, images=images, control=control, prelabels={"mole-0": mask}
    )
    recorder.scene = ""
    oracle.ask(QUERIES)
    client = Client(server.url)
    (project,) = client.get("/api/projects/", title=f"Moles {control}")["results"]
    tasks = client.get("/api/tasks", project=project["id"], fields="all")["tasks"]
    assert [task["data"]["alkit_query"] for task in tasks] == [query.key for query in QUERIES], "in rank order"
    (predicted,) = tasks[0]["predictions"]

    # Copied in bulk, seen by nobody:
    everything = {"selectedItems": {"all": False, "included": [tasks[0]["id"]]}, "model_version": "alkit"}
    client.post("/api/dm/actions", everything, id="predictions_to_annotations", project=project["id"])
    # Submitted; empty; rotated; skipped after it was submitted:
    for task, body in (
        (tasks[1], {"result": predicted["result"], "lead_time": 4.5}),
        (tasks[2], {"result": [], "lead_time": 1}),
        (tasks[3], {"result": [{**predicted["result"][0], "image_rotation": 90}], "lead_time": 2}),
        (tasks[1], {"result": [], "was_cancelled": True}),
    ):
        client.post(f"/api/tasks/{task['id']}/annotations/", body)

    recorder.scene = control
    copied, submitted, skipped, empty, rotated = sorted(oracle.poll(), key=lambda answer: (answer.id, answer.revision))
    np.testing.assert_array_equal(copied.label, mask)
    assert not copied.confirmed
    np.testing.assert_array_equal(submitted.label, mask)
    assert (submitted.id, submitted.seconds, submitted.confirmed) == ("mole-1", 4.5, True)
    assert (skipped.id, skipped.label) == ("mole-1", Skip())
    assert (empty.id, empty.label.shape, empty.label.any()) == ("mole-2", SIZE, False)
    assert rotated.id == "mole-3"
    assert isinstance(rotated.label, Invalid)
    assert "rotated" in rotated.label.reason


def test_a_personal_access_token_is_exchanged(server, monkeypatch):
    made = Client(server.url).post("/api/token/", {})
    monkeypatch.setenv(TOKEN, made["token"])
    client = Client(server.url)
    assert client.get("/api/current-user/whoami")["email"] == server.email
    client._login.access = "expired"
    assert client.get("/api/current-user/whoami")["email"] == server.email


def test_a_wrong_token_a_wrong_project_and_a_stopped_server_give_clear_errors(server, monkeypatch):
    with pytest.raises(alkit.errors.OracleError, match="found nothing for GET /api/projects/999/: got 404"):
        list(LabelStudioOracle(server.url, 999, classes=SPEC).poll())
    with pytest.raises(alkit.errors.OracleError, match="has no project 'Nobody made it'"):
        list(LabelStudioOracle(server.url, "Nobody made it", classes=SPEC).poll())
    monkeypatch.setenv(TOKEN, "wrong")
    with pytest.raises(alkit.errors.OracleError, match=f"does not accept the token in {TOKEN}: got 401"):
        list(LabelStudioOracle(server.url, "Moles", classes=SPEC).poll())
    with pytest.raises(alkit.errors.OracleError, match="cannot be reached"):
        list(LabelStudioOracle("http://127.0.0.1:9", "Moles", classes=SPEC).poll())
