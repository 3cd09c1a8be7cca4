from benchmarks.isic2017.tables.cells import budgets_off_zero, count_off_zero, probability, savings


def test_budgets_off_zero_are_counted_except_those_with_equal_runs():
    def runs(*rows):
        return {seed: dict(zip((300, 335, 370, 405), row, strict=True)) for seed, row in enumerate(rows)}

    random = runs(*[(0.5, 0.5, 0.5, 0.5)] * 5)
    ours = runs(*((0.5, 0.6 + n / 99, 0.4 - n / 99, 0.5 + (n - 2) / 99) for n in range(5)))
    arms = {("a", "", ""): ours, ("random", "", ""): random}
    assert budgets_off_zero(arms, *arms) == "1, 1 of 3"
    assert budgets_off_zero({arm: {0: found[0]} for arm, found in arms.items()}, *arms) == ""


def test_intervals_off_zero_are_counted_by_side():
    lines = [
        ["0", "+0.002 [-0.001, +0.004]", "-0.020 [-0.030, -0.010]"],
        ["1", "+0.2 [+0.1, +0.3]", "+0.1 ± 0.1 (n=3)"],
    ]
    assert count_off_zero(lines).startswith("of 3 intervals, 1 lie above zero and 1 below")


def test_labels_saved_are_given_only_if_nearly_all_seeds_cross_the_target():
    def runs(*firsts, end=0.8):
        return {seed: {300: first, 400: end} for seed, first in enumerate(firsts)}

    slow, fast = runs(0.5, 0.5, 0.5, 0.5, 0.5), runs(0.6, 0.62, 0.6, 0.6, 0.6)
    assert savings(fast, slow, 0.65)[0] == "+27 [+22, +31]"
    assert savings(fast, slow, 0.65)[1] == "5 of 5 (0, 0)"
    assert savings(fast | {4: {300: 0.7, 400: 0.8}}, slow, 0.65) == ("+27 ± 4", "4 of 5 (0, 1)")
    few = fast | {3: {300: 0.7, 400: 0.8}, 4: {300: 0.1, 400: 0.2}}
    assert savings(few, slow, 0.65) == ("no number", "3 of 5 (1, 1)")


def test_a_small_p_is_not_shown_as_zero():
    assert [probability(p) for p in (None, 0.0, 0.0004, 0.0005, 0.049)] == ["", "<0.001", "<0.001", "0.001", "0.049"]
