"""The page of a campaign: what it shows, that it loads nothing, and that it writes nothing into the record."""

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

import alkit
from alkit.pages.budget import Budget
from alkit.pages.campaign import Wishes, gather
from alkit.pages.curve import Point
from alkit.pages.map import MOST_NEIGHBOURS, make_map
from alkit.pages.page import campaign_html, is_page
from alkit.pages.progress import MOST_BARS, Given, _chart, progress
from alkit.record import Store

HOSTILE = "<script>alert('&')</script>"
SPEC = ("skin", "lesion")


class Reader(HTMLParser):
    """Notes tags, what they refer to, and the text of each section."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.references, self.ids, self.sections, self.pictures = [], [], [], {"": ""}, []
        self._title, self._in = "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        own = dict(attrs)
        self._in = tag
        self.references += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        self.ids += [own["id"]] if "id" in own else []
        if tag == "img" or own.get("role") == "img":
            self.pictures.append(own.get("alt") or own.get("aria-label") or "")

    def handle_data(self, data):
        if self._in == "h2" and data.strip():
            self._title = data
            self.sections[data] = ""
        else:
            self.sections[self._title] += data
        if data.strip():
            self._in = ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the record of a campaign: 40 images, two rounds, two people, a skip and a refusal."""
    folder = tmp_path_factory.mktemp("campaign")
    images, masks = alkit.synthetic.lesions(40, size=16)
    (folder / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.reshape(16, 16)).save(folder / "images" / f"case & {number:02}.png")
    pool = alkit.ImagePool(folder / "images", cache=folder / "cache")
    truth = dict(zip(pool.ids, masks, strict=True))
    learner = alkit.SegmentationLearner(partial(alkit.UNet, widths=(2, 4)), steps=(2, 2), device="cpu")
    random = alkit.strategy("random")
    experiment = alkit.Experiment(
        pool, learner, random, store=folder / "campaign.db", classes=SPEC, hold_out=0.5, join="majority"
    )
    ids = experiment.ask(12)
    experiment.receive(alkit.Answer(id, truth[id], HOSTILE, seconds=30) for id in ids[1:])
    experiment.receive([alkit.Answer(ids[0], alkit.values.Skip(f"blurred {HOSTILE}"), "bob")])
    experiment.receive([alkit.Answer(ids[1], 1 - truth[ids[1]], "bob")])
    experiment.fit()
    (again,) = experiment.review(1, random=1, by="senior")
    experiment.tell({again: np.roll(truth[again], 5, axis=0)}, annotator="senior")
    asked = experiment.ask(6)
    experiment.receive([alkit.Answer(asked[0], np.zeros((3, 3), np.uint8), "bob")])
    experiment.receive(alkit.Answer(id, truth[id], "bob") for id in asked[2:])
    return folder


def page_of(folder, **wishes):
    store = Store(folder / "campaign.db", read_only=True)
    try:
        return campaign_html(gather(store, "campaign.db", Wishes(**wishes))).decode()
    finally:
        store.close()


@pytest.fixture(scope="module")
def page(folder):
    return page_of(folder)


def test_the_headline_says_how_far_the_campaign_is_and_what_to_do_next(page):
    assert re.search(r"<h1>15 of 40 images labelled, Dice 0\.\d\d \(0\.\d\d to 0\.\d\d\)</h1>", page)
    said = Reader(page).sections[""]
    assert "alkit ask campaign.db --out FOLDER" in said
    assert re.search(r"\(95 % interval .*\) on the hold-out of \d images, which are labels that the strategy sel", said)


def test_a_figure_of_few_images_without_an_interval_is_not_shown():
    few = Point("dice", 0, 9, 0.7, "hold-out", 3)
    assert "So few images say little" in few.in_words()
    assert "0.7" not in few.in_words() + few.detail() + few.value_text()
    enough = Point("dice", 0, 9, 0.7, "test set", 20)
    assert enough.in_words() == "reaches Dice 0.70 on the test set of 20 images, which is apart from the pool."
    known = Point("dice", 0, 9, 0.7, "audit set", 12, 0.6, 0.8)
    assert known.detail() == "95 % interval 0.60 to 0.80, on the audit set of 12 images"


def test_each_section_tells_what_was_recorded(page):
    sections = Reader(page).sections
    assert "17 labels by 3 people" in sections["Progress"]
    assert "2 images have labels of several people" in sections["Agreement of annotators"]
    assert "1 label was asked again" in sections["Reviews of labels"]
    assert re.search(r"drawn at random.*senior", sections["Reviews of labels"], re.S)
    assert "Each dot is an image" in sections["Map of the pool"]
    assert "The worst cases cannot be shown" not in sections["Worst cases"]
    assert "A label takes 30 s on average" in sections["Cost and forecast"]
    assert "No forecast: " in sections["Cost and forecast"]
    assert "What the stopping rules say." in sections["Cost and forecast"]
    queries = sections["Queries, skips and refusals"]
    assert f"blurred {HOSTILE}" in queries
    assert "has another size than its image" in queries
    assert "selected, not sent yet" in queries


def test_a_page_loads_nothing_and_runs_nothing(page):
    reader = Reader(page)
    assert all(reference.startswith(("data:image/", "#")) for reference in reader.references)
    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import", page)
    assert not {"script", "iframe", "object", "embed", "link", "form", "base"} & set(reader.tags)
    assert not re.search(r"<[^>]*\son\w+=", page)
    assert "default-src 'none'" in page


def test_names_and_reasons_of_strangers_are_text(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;") >= 3


def test_every_picture_is_described_and_every_id_is_used_once(page):
    reader = Reader(page)
    assert reader.pictures
    assert all(reader.pictures)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {reference[1:] for reference in reader.references if reference[0] == "#"} <= set(reader.ids)


def test_a_page_does_not_change_the_record(folder):
    def content():
        kept = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", "")]
        return {path: path.read_bytes() for path in kept if "campaign.db" in str(path) and "-shm" not in path.name}

    before = content()
    page_of(folder)
    assert content() == before


def test_parts_that_are_not_wanted_are_left_out(folder):
    assert {"Map of the pool", "Worst cases"}.isdisjoint(Reader(page_of(folder, worst=0, map=False)).sections)


def test_without_images_the_page_says_what_is_missing(folder):
    (folder / "images").rename(folder / "moved")
    try:
        sections = Reader(page_of(folder)).sections
    finally:
        (folder / "moved").rename(folder / "images")
    assert re.search(r"no map of the pool: the images cannot be read \(.*images\)\.\s", sections["Map of the pool"])
    assert "cannot be shown: the images cannot be read" in sections["Worst cases"]


def test_an_image_with_another_content_than_the_record_describes_is_not_shown(folder):
    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    other = campaign.ids[0]
    path = folder / "images" / f"{other}.png"
    before = path.read_bytes()
    try:
        Image.fromarray(np.full((16, 16), 7, np.uint8)).save(path)
        assert other not in gather(store, "campaign.db").ids
    finally:
        path.write_bytes(before)
        store.close()


def test_a_new_record_has_a_page(tmp_path):
    store = Store(tmp_path / "new.db")
    html = campaign_html(gather(store, "new.db")).decode()
    store.close()
    assert "No image is labelled yet" in html
    assert "Nothing has been asked yet." in html


def test_a_page_is_told_from_other_files(folder, tmp_path, page):
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "other.html").write_text("<!doctype html><title>my thesis</title>")
    assert is_page(tmp_path / "page.html")
    assert not is_page(tmp_path / "other.html")
    assert not is_page(tmp_path / "missing.html")


def test_a_map_places_all_images_of_the_pool(folder):
    store = Store(folder / "campaign.db", read_only=True)
    found = make_map(gather(store, "campaign.db"))
    store.close()
    assert (len(found.ids), found.places.shape, found.method) == (40, (40, 2), "t-SNE")
    assert found.places.min() >= 0
    assert found.places.max() <= 1
    assert MOST_NEIGHBOURS > 40


def test_days_are_those_of_the_readers_time_zone(folder):
    from datetime import timezone

    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    later = replace(campaign, now=campaign.now.astimezone(timezone(timedelta(hours=14))))
    earlier = replace(campaign, now=campaign.now.astimezone(timezone(timedelta(hours=-12))))
    told = [progress(one)[0].text for one in (later, earlier)]
    store.close()
    assert told[0] != told[1]


@pytest.mark.parametrize(("years", "unit"), [(0, "day"), (1, "four weeks"), (11, "four weeks"), (9996, "3480 weeks")])
def test_a_campaign_of_thousands_of_years_has_no_more_bars_than_others(years, unit):
    """A stranger's record can have such times, and so has one of a computer whose clock was wrong."""
    labels = [Given("ann", datetime(2 + at, 1, 1, tzinfo=UTC), label=True) for at in (0, years)]
    picture = _chart(labels)
    assert picture.alt.startswith(f"Labels per {unit}: ")
    assert sum(len(bars) for bars in picture.figure.axes[0].containers) <= MOST_BARS + 1
    picture.figure.savefig(BytesIO(), format="svg")


def test_pictures_beyond_the_greatest_size_are_left_out_and_counted(folder):
    store = Store(folder / "campaign.db", read_only=True)
    campaign = replace(gather(store, "campaign.db", Wishes(worst=0)), budget=Budget(left=3000))
    html = campaign_html(campaign).decode()
    store.close()
    assert re.search(r"\d pictures of images did not fit into its greatest size\.", html)
    assert sum(map(len, re.findall(r"data:image/jpeg;base64,[^\"]*", html))) <= 3000


def test_a_forecast_is_for_hours_if_the_time_of_a_label_is_known(folder):
    from alkit.pages.ahead import ahead
    from alkit.report import campaign_summary
    from alkit.report.outlook import make_outlook
    from alkit.values import RoundResult

    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    rounds = [RoundResult(n, (), 20 * (n + 1), {"dice": value}) for n, value in enumerate((0.6, 0.7, 0.75, 0.78))]
    outlook = make_outlook(rounds, {}, 10, None, left=900)
    summary = replace(campaign_summary(store), history=tuple(rounds), outlook=outlook, metric="dice", left=900)
    blocks = ahead(replace(campaign, summary=summary))
    store.close()
    (chart, table) = next(block for block in blocks if block.kind == "columns").blocks
    assert "Forecast of Dice by labels trained on: 80: " in chart.alt
    assert table.header == ["more images", "hours of work", "Dice", "80 % interval"]
    assert [row[1] for row in table.rows] == ["1 h", "2 h", "4 h", "8 h"]


def test_a_forecast_is_of_the_figures_on_the_same_audit_images_as_in_the_text(folder):
    from alkit.pages.ahead import ahead
    from alkit.report import campaign_summary
    from alkit.report.audit import comparable_history
    from alkit.report.outlook import make_outlook
    from alkit.values import AuditFigures, Interval, RoundResult

    rounds = []
    for n, (value, images) in enumerate([(0.8, 5), (0.7, 10), (0.75, 20), (0.78, 40)]):  # hard images come later
        ids = tuple(f"i{k:02}" for k in range(images))
        values = [0.6 + 0.06 * n if k < 5 else value - 0.05 for k in range(images)]
        figure = Interval(sum(values) / images, 0.1, 0.9, images, images)
        audit = AuditFigures({"dice": figure}, 40, 90, ids, values={"dice": values})
        rounds.append(RoundResult(n, (), 20 * (n + 1), {"dice": figure.value}, audit=audit))
    store = Store(folder / "campaign.db", read_only=True)
    outlook = make_outlook(comparable_history(rounds, tested=False), {}, 10, None, left=900)
    summary = replace(campaign_summary(store), history=tuple(rounds), outlook=outlook, metric="dice", left=900)
    summary = replace(summary, next_batch=10)
    with patch("alkit.pages.ahead.recorded_cost", return_value=None):
        blocks = ahead(replace(gather(store, "campaign.db"), summary=summary))
    store.close()
    (_, table) = next(block for block in blocks if block.kind == "columns").blocks
    assert table.rows[0][1:] == [
        f"{outlook.forecast.value:.3f}",
        f"{outlook.forecast.low:.3f} to {outlook.forecast.high:.3f}",
    ]
    assert outlook.forecast != make_outlook(rounds, {}, 10, None, left=900).forecast


def test_the_curve_says_that_the_labels_of_the_test_set_have_changed_and_begins_there(folder):
    from alkit.pages.curve import curve
    from alkit.record.testsets import OTHER_TRUTH
    from alkit.report import campaign_summary
    from alkit.values import RoundResult

    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    dice = (0.5, 0.7, 0.75)
    rounds = [
        RoundResult(n, (), 20 * (n + 1), {"dice": dice[n]}, warnings=(OTHER_TRUTH,) if n == 1 else (), n_tested=50)
        for n in range(3)
    ]
    summary = replace(campaign_summary(store), history=tuple(rounds), metric="dice", measured_on="test set")
    first, *_, note = curve(replace(campaign, summary=summary))
    store.close()
    assert "Dice went from 0.70 with 40 labels to 0.75 with 60." in first.text
    assert "Before round 1, the labels of the test set were other ones" in note.text


def test_the_curve_tells_the_gain_on_the_same_audit_images_by_the_same_labels(folder):
    from alkit.pages.curve import curve
    from alkit.report import campaign_summary
    from alkit.values import AuditFigures, Interval, RoundResult

    def audit(values, labels):
        figure, ids = Interval(sum(values) / len(values), 0.1, 0.9, len(values), len(values)), tuple("abcdef")
        given = ids[: len(values)]
        return AuditFigures({"dice": figure}, 6, 90, given, values={"dice": values}, labels=tuple(labels))

    def text(*audits):
        rounds = [
            RoundResult(n, (), 20 * (n + 1), {"dice": own.figures["dice"].value}, audit=own)
            for n, own in enumerate(audits)
        ]
        summary = replace(campaign_summary(store), history=tuple(rounds), metric="dice", measured_on="audit set")
        return curve(replace(campaign, summary=summary))[0].text

    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    told = text(audit([0.5, 0.9], "xy"), audit([0.6, 0.9, 0.2, 0.1], "xzvw"))
    other = text(audit([0.5], "x"), audit([0.9], "y"))
    store.close()
    assert told.startswith(
        "Dice changed by +0.10 between 20 labels and 40, on 1 image of the audit set measured both times."
    )
    assert other.startswith("Measured on the audit set")


def test_a_page_without_pictures_shows_no_image(folder):
    html = page_of(folder, pictures=False)
    assert "data:image/jpeg" not in html
    assert "did not fit" not in html
    assert "Each dot is an image" in Reader(html).sections["Map of the pool"]
    assert "Worst cases" not in Reader(html).sections


def test_a_page_is_made_while_another_process_works_on_the_record(folder):
    store = Store(folder / "campaign.db")
    with store.exclusive(), store.database.transaction():  # as while a model is trained, or an answer is recorded
        assert "15 of 40 images labelled" in page_of(folder, worst=0, map=False)
    store.close()


def test_images_that_are_all_alike_have_no_map(folder):
    store = Store(folder / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db")
    vars(campaign)["_pool"] = alkit.ArrayPool(np.zeros((40, 16, 16), np.uint8), list(campaign.ids))
    vars(campaign)["ids"] = tuple(campaign.pool.ids)
    assert make_map(campaign) == "all images are alike by their pixels at 16 x 16"
    store.close()


def test_a_damaged_label_costs_one_section_and_not_the_page(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    store = Store(tmp_path / "copy" / "campaign.db", read_only=True)
    campaign = gather(store, "campaign.db", Wishes(worst=0, map=False))
    for path in (tmp_path / "copy" / "campaign.db.files").glob("*.png"):
        path.write_bytes(b"")
    sections = Reader(campaign_html(campaign).decode()).sections
    store.close()
    assert "This cannot be shown: " in sections["Agreement of annotators"]
    assert "17 labels by 3 people" in sections["Progress"]


def test_the_worst_cases_are_sought_again_after_a_decision_about_disputes(tmp_path):
    from alkit.pages.worst import _depends

    images, masks = alkit.synthetic.lesions(8, size=16)
    parts = alkit.ArrayPool(images), alkit.testing.Brightness(), alkit.strategy("random")
    experiment = alkit.Experiment(*parts, tmp_path / "c.db", classes=("skin", "lesion"), annotators=2, join="majority")
    (id,) = experiment.ask(1)
    other = np.where(np.arange(16) < 8, 1 - masks[int(id)], masks[int(id)])
    experiment.receive([alkit.Answer(id, masks[int(id)], "ann"), alkit.Answer(id, other, "ben")])
    campaign = gather(experiment._parts.store, "c.db")
    before = _depends(campaign, [id])
    experiment.decide_disputes(alkit.values.Disputes("leave-out"))
    assert _depends(campaign, [id]) != before
