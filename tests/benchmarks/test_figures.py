from benchmarks import rows
from benchmarks.isic2017 import protocol, results
from benchmarks.isic2017.figures import contact_sheets, figure_2, write_map
from benchmarks.isic2017.protocol import WEIGHTS
from benchmarks.isic2017.report import write
from benchmarks.isic2017.results import Chosen, Row
from benchmarks.isic2017.tables.curves import results_of


def a_row(method):
    return Row("smoke", method, "scratch", "", 0, 0, 12, 0, 0.5, 0.5, 0.5, 1.0, method, "abc", "a machine")


def test_contact_sheets_show_seed_0_from_scratch_without_variants(data, tmp_path):
    ids = protocol.read_pools(protocol.PROFILES["smoke"], data)[0].ids
    arms = [(method, weights, variant, seed) for method in ("dsal", "ssl-cluster") for weights in WEIGHTS
            for variant in ("", "lr-1e-3") for seed in (0, 1)]  # fmt: skip
    chosen = [Chosen(*arm, round, " ".join(ids[round : round + 3])) for arm in arms for round in (0, 1)]
    rows.write(tmp_path / "choices.csv", [vars(c) for c in chosen])
    rows.write(tmp_path / "rows.csv", [vars(a_row(method)) for method in ("dsal", "ssl-cluster", "ceal")])
    missing, *pictures = contact_sheets(tmp_path, "smoke", data)
    assert missing.text == "ceal: the images that seed 0 chose were not recorded."
    assert [picture.caption.partition(",")[0] for picture in pictures] == [
        "dsal: the first 3 of round 1",
        "ssl-cluster: the first 3 of round 0",
    ]
    shown = [cell.get_xlabel() for picture in pictures for cell in picture.figure.axes]
    assert shown == [id.removeprefix("ISIC_") for id in (*ids[1:4], *ids[:3])]


def test_a_method_has_one_colour_in_both_panels(measured):
    kept = [row for row in measured if row.weights == "scratch" or row.method in ("random", "dsal")]
    colours = [
        {line.get_label().partition(" ")[0]: line.get_color() for line in panel.lines}
        for panel in figure_2(results_of(kept), "small").axes
    ]
    assert set(colours[1]) == {"random", "dsal"}
    assert colours[0].items() > colours[1].items()


def test_a_line_states_its_number_of_seeds():
    runs = {seed: {300: 0.5, 335: 0.6} for seed in range(2)}
    figure = figure_2({("random", "scratch", ""): runs, ("dsal", "scratch", ""): {0: runs[0]}}, "small")
    assert [line.get_label() for line in figure.axes[0].lines] == ["random (mean of 2)", "dsal (one seed)"]


def test_the_page_shows_the_map_and_contact_sheets_with_the_images(bench, data, tmp_path):
    bench("--methods", "ssl-cluster", "--weights", "scratch", "--seeds", 0)
    write_map(tmp_path / "out", "smoke", data)
    (chosen,) = [
        set(c.ids.split()) for c in results.read_choices(tmp_path / "out") if (c.method, c.round) == ("ssl-cluster", 0)
    ]
    places = results.read_map(tmp_path / "out")
    for cluster in range(1, 5):
        own = sorted((place for place in places if place.cluster == cluster), key=lambda place: place.rank)
        assert [place.rank for place in own] == list(range(len(own)))
        first = [place.id for place in own if place.id in chosen]
        assert first == [place.id for place in own[: len(first)]]  # the nearest of each cluster
    write(tmp_path / "out", "smoke", data)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "48 images as points, coloured by 4 clusters" in page
    assert "ssl-cluster: the first 12 of round 0" in page
    assert "the 12 of SSL-cluster&#39;s start set are in full colour" in page
    write(tmp_path / "out", "smoke")
    assert "name their folder: --report --data DIR" in (tmp_path / "out" / "report.html").read_text()


def test_two_methods_have_bands_and_all_lines_look_different(measured):
    for axes in figure_2(results_of(measured), "small").axes:
        assert len(axes.collections) == 2
        assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == len(axes.lines)
        assert len({line.get_marker() for line in axes.lines}) == len(axes.lines)
