import base64
import io
import re
import sys
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure
from PIL import Image

from alkit.errors import ConfigurationError
from alkit.report import learning_curves
from alkit.report.curves import draw_curves
from alkit.report.page import Code, Picture, Section, Table, Text, write_page
from alkit.values import RoundResult


class Reader(HTMLParser):
    """Notes tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.said, self.sources = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture
def page(tmp_path):
    def page(*sections):
        write_page(tmp_path / "page.html", "A title", sections)
        return (tmp_path / "page.html").read_text()

    return page


def test_a_page_loads_nothing_from_elsewhere(page):
    figure = Figure()
    figure.subplots().plot([1, 2])
    text = page(Section("One picture", [Picture(figure, "a line", "rising")]), Section("Code", [Code("alkit demo")]))
    reader = Reader(text)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in reader.sources)
    assert "url(" not in text
    assert "@import" not in text
    picture = next(source for source in reader.sources if source.startswith("data:"))
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as image:
        assert image.size[0] > 500
    assert "alkit demo" in reader.said


def test_the_contents_link_to_sections_with_any_title(page):
    text = page(*(Section(title, [Text("all")]) for title in ("What was run?", "皮膚", "皮膚")))
    leads = [source[1:] for source in Reader(text).sources]
    assert leads == re.findall(r'<section id="([^"]+)"', text)
    assert len(set(leads)) == 3


def test_text_that_looks_like_html_is_escaped(page):
    hostile = "<script>alert('&')</script>"
    blocks = [Text(hostile), Code(hostile), Table((hostile, "b"), [(hostile, hostile)], hostile)]
    reader = Reader(page(Section(hostile, blocks)))
    assert "script" not in reader.tags
    assert reader.said.count(hostile) == 8  # and in the contents, the heading and the caption


def test_a_row_has_a_cell_for_each_column():
    with pytest.raises(ConfigurationError, match="cells"):
        Table(("a", "b"), [("1",)])


def test_a_bar_in_a_cell_is_escaped_in_markdown():
    lines = Table(("a|b", "c"), [("---", "p|q")]).markdown().splitlines()
    assert lines == [r"| a\|b | c |", "|---|---|", r"| --- | p\|q |"]


def test_a_picture_shrinks_to_its_least_width(page):
    figure = Figure(figsize=(5, 4))
    figure.subplots()
    text = page(Section("Two", [Picture(figure, "a"), Picture(figure, "b", least=340)]))
    assert re.findall(r"min-width: (\d+)px\"", text) == ["480", "340"]


def test_with_five_seeds_a_band_shows_the_interval():
    from scipy import stats

    values = [0.5, 0.6, 0.65, 0.7, 0.8]
    for n in (4, 5):
        axes = Figure().subplots()
        draw_curves(axes, {"random": {seed: {300: value, 335: value} for seed, value in enumerate(values[:n])}})
        assert bool(axes.collections) == (n == 5)
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    interval = stats.ttest_1samp(values, 0).confidence_interval()
    assert (edges.min(), edges.max()) == pytest.approx((interval.low, interval.high))


def test_a_method_without_runs_reserves_its_colour():
    both, one = Figure().subplots(), Figure().subplots()
    draw_curves(both, {"random": {0: {300: 0.5}}, "dsal": {0: {300: 0.6}}})
    draw_curves(one, {"random": {}, "dsal": {0: {300: 0.6}}})
    (drawn,) = one.lines
    assert drawn.get_color() == both.lines[1].get_color() != both.lines[0].get_color()


def test_only_chosen_methods_have_bands_and_nine_lines_look_different():
    runs = {seed: {300: 0.5 + seed / 10, 335: 0.6} for seed in range(5)}
    axes = Figure().subplots()
    draw_curves(axes, {str(number): runs for number in range(9)}, bands=("1", "4"))
    assert len(axes.collections) == 2
    assert len({line.get_marker() for line in axes.lines}) == 9
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 9


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_suffix_gives_the_format_of_the_picture(tmp_path, suffix):
    history = [RoundResult(0, ("a",), 1, {"dice": 0.5}), RoundResult(1, ("b",), 2, {"dice": 0.7})]
    learning_curves({"random": [history, history], "other": [history]}, tmp_path / f"curve.{suffix}")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"curve.{suffix}").read_bytes().startswith(head)


def test_runs_without_the_metric_are_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no run has the metric"):
        learning_curves({"random": [[RoundResult(0, ("a",), 1, {})]]}, tmp_path / "curve.png")
    with pytest.raises(ConfigurationError, match=r"no run has the metric 'dice'\. Try: metric= one of ece, hd95"):
        learning_curves({"random": [[RoundResult(0, ("a",), 1, {"hd95": 3.0, "ece": 0.1})]]}, tmp_path / "curve.png")


def test_runs_of_another_form_are_an_error(tmp_path):
    history = (RoundResult(0, ("a",), 1, {"dice": 0.5}),)
    words = "runs must be a mapping from names to lists of runs: got the rounds of one run. Try: "
    for runs in (history, {"random": history}):
        with pytest.raises(ConfigurationError, match=words):
            learning_curves(runs, tmp_path / "curve.png")
    with pytest.raises(ConfigurationError, match="got an object of type str"):
        learning_curves("r.db", tmp_path / "curve.png")


def test_without_a_path_the_figure_is_returned_and_a_notebook_shows_it():
    import matplotlib

    history = [RoundResult(0, ("a",), 1, {"dice": 0.5}), RoundResult(1, ("b",), 2, {"dice": 0.7})]
    before = dict(matplotlib.rcParams)
    figure = learning_curves({"random": [history, history]})
    assert Image.open(io.BytesIO(figure._repr_png_())).size[0] > 500
    assert (len(figure.axes[0].lines), figure.axes[0].get_xlabel()) == (3, "labels")
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
