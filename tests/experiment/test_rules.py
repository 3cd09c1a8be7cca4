"""Rules of selection are kept whatever the strategy: it does not know them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import CLASSES, MeanLearner

import alkit
from alkit.errors import ConfigurationError
from alkit.record import Store
from alkit.testing import Brightness, RowMeans
from alkit.values import SelectionRules
from alkit.values.rules import matching

N = 36
IMAGES, MASKS = alkit.synthetic.lesions(N, size=16, seed=1)
IDS = [f"v{row // 3:02}/{row % 3}" for row in range(N)]
PATIENTS = {id: f"p{row // 6}" for row, id in enumerate(IDS)}
TABLE = {id: {"patient": PATIENTS[id], "site": "AB"[row // 18]} for row, id in enumerate(IDS)}
ORACLE = alkit.MaskOracle(dict(zip(IDS, MASKS, strict=True)), classes=CLASSES)


class Slices(alkit.ArrayPool):
    """A pool whose parents are volumes of three images."""

    def _parent(self, row):
        return self.ids[row].partition("/")[0]


POOL = Slices(IMAGES, IDS, groups=TABLE)


def experiment(strategy, store=None, learner=None, pool=POOL, **arguments):
    return alkit.Experiment(pool, learner or MeanLearner(), strategy, store, classes=CLASSES, **arguments)


def label(campaign, n):
    asked = campaign.ask(n)
    campaign.tell({id: MASKS[IDS.index(id)] for id in asked})
    campaign.fit()
    return asked


def by_name(name):
    """Return an installed strategy with small parameters."""
    declared = {entry.name for entry in fields(alkit.strategies.installed()[name].load())}
    small = {"features": RowMeans(), "clusters": 3, "draws": 2, "pseudo_from": 1, "pseudo_step": 4}
    return alkit.strategy(name, **{key: value for key, value in small.items() if key in declared})


def first_ones(view, n, rng):
    """A strategy of somebody else, which reads nothing but the candidates."""
    return view.candidates[:n]


MARGIN = alkit.strategies.Uncertainty("margin")
COMPOSED = {
    "a function": lambda: first_ones,
    "then": lambda: alkit.strategies.Then(by_name("maxherding"), MARGIN, after=6),
    "filter": lambda: alkit.strategies.Filter(MARGIN, then=by_name("ssl-cluster")),
    "mix": lambda: alkit.strategies.Mix({by_name("dsal"): 2, by_name("ceal"): 1}),
    "stochastic": lambda: alkit.strategies.Stochastic(MARGIN),
    "per cluster": lambda: alkit.strategies.PerCluster(MARGIN, RowMeans(), clusters=3),
    "duplicates last": lambda: alkit.strategies.DuplicatesLast(MARGIN, RowMeans(), similarity=0.9),
}
STRATEGIES = {**{name: lambda name=name: by_name(name) for name in sorted(alkit.strategies.installed())}, **COMPOSED}

RULES = SelectionRules(
    only=["v0*", "site=B"],
    never=["patient=p1", "v01/2"],
    first=["v04/*", "v08/1", "v09/1"],
    max_per_group=2,
    max_per_parent=1,
)
FIRST = {"v08/1", "v09/1"}  # v04 is of p2; patients 0, 2, 3, 4 and 5 are left


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_every_strategy_keeps_the_rules_without_knowing_them(make):
    campaign = experiment(make(), learner=Brightness(), rules=RULES)
    store, pseudo = Store(campaign.path), set()
    gives_pseudo = "pseudo-labels" in getattr(campaign.strategy, "needs", ())
    for number, n in enumerate((5, 4, 4) if gives_pseudo else (5, 4)):
        asked = label(campaign, n)
        assert len(asked) == n
        assert not any(PATIENTS[id] == "p1" or id == "v01/2" for id in asked)
        assert all(id.startswith("v0") or TABLE[id]["site"] == "B" for id in asked)
        assert max(Counter(PATIENTS[id] for id in asked).values()) <= 2
        assert max(Counter(id[:3] for id in asked).values()) == 1
        if number == 0:
            assert set(asked[:3]) == FIRST | {asked[0]} | {id for id in asked[:3] if id.startswith("v04/")}
        pseudo |= set(store.pseudo_labels(number))
    assert not any(PATIENTS[id] == "p1" or id == "v01/2" for id in pseudo)
    assert pseudo or not gives_pseudo


def test_strategies_get_the_numbers_that_they_get_without_rules():
    """So a rule that changes nothing changes nothing."""
    for name in ("random", "maxherding"):
        plain = experiment(by_name(name)).ask(8)
        assert experiment(by_name(name), rules=SelectionRules(max_per_group=6, never=())).ask(8) == plain
        assert experiment(by_name(name), rules=SelectionRules()).ask(8) == plain


@given(most=st.integers(1, 4), of_parent=st.integers(1, 3) | st.none(), n=st.integers(1, 12), seed=st.integers(0, 20))
@settings(max_examples=8)
def test_limits_hold_or_the_number_is_refused(most, of_parent, n, seed):
    rules = SelectionRules(max_per_group=most, max_per_parent=of_parent)
    campaign = experiment(by_name("random"), seed=seed, rules=rules)
    possible = sum(min(most, 2 * (of_parent or 3)) for _ in range(6))
    if n > possible:
        with pytest.raises(ConfigurationError, match=f"n must be at most {possible}, because the rules leave no more"):
            campaign.ask(n)
        return
    asked = campaign.ask(n)
    assert max(Counter(PATIENTS[id] for id in asked).values()) <= most
    assert max(Counter(id[:3] for id in asked).values()) <= (of_parent or 3)


def test_a_limit_counts_all_images_of_a_round():
    campaign = experiment(by_name("random"), rules=SelectionRules(max_per_group=1))
    asked = campaign.ask(4)
    campaign.tell({id: MASKS[IDS.index(id)] for id in asked[:2]})
    campaign.withdraw()
    again = campaign.ask(4)
    assert len({PATIENTS[id] for id in (*asked[:2], *again)}) == 6
    campaign.tell({id: MASKS[IDS.index(id)] for id in again})
    with pytest.raises(ConfigurationError, match="n must be at most 0"):
        campaign.ask(1)
    campaign.fit()
    assert len(campaign.ask(6)) == 6


def test_images_that_come_first_come_before_the_best_ones():
    campaign = experiment(first_ones, rules=SelectionRules(first=["v11/2", "v10/*"]))
    assert campaign.ask(6) == ("v10/0", "v10/1", "v10/2", "v11/2", "v00/0", "v00/1")


def test_scores_and_meanings_stay_with_their_images():
    def ranked(view, n, rng):
        ids = view.candidates[:n]
        return alkit.Selection(ids, [float(IDS.index(id)) for id in ids], [f"image {id}" for id in ids])

    campaign = experiment(ranked, rules=SelectionRules(max_per_parent=1, first="v03/2"))
    campaign.ask(5)
    for query in campaign.queries():
        assert (query.score, query.stands_for) == (IDS.index(query.id), f"image {query.id}")
    assert [query.id for query in campaign.queries()] == ["v03/2", "v00/0", "v01/0", "v02/0", "v04/0"]


def test_picks_of_an_earlier_call_count_as_labelled():
    seen = []

    def noting(view, n, rng):
        seen.append((view.labelled, n))
        return view.candidates[:n]

    experiment(noting, rules=SelectionRules(max_per_group=1)).ask(3)
    assert seen == [((), 3), (("v00/0",), 2), (("v00/0", "v02/0"), 1)]


# Rules that cannot be kept.


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"never": "sit=A"},
            "never must name images of the pool: got 'sit=A', which matches none of 36, expected an id",
        ),
        ({"only": "w*"}, r"a pattern such as 'v\*', or a condition on group, patient, site"),
        ({"first": ["v00/0", "site=C"]}, "first must name images of the pool: got 'site=C'"),
        ({"only": "site=A", "never": "v*"}, "never must leave an image that may be selected: got none of 36"),
    ],
)
def test_rules_that_name_no_image_are_an_error_and_nothing_is_recorded(tmp_path, rules, message):
    store = Store(tmp_path / "r.db")
    with pytest.raises(ConfigurationError, match=message):
        experiment(by_name("random"), store, rules=SelectionRules(**rules))
    assert store.fact("rules") is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"only": 3}, "only must be a condition or a list of conditions: got 3"),
        ({"never": [3]}, "never must be ids, patterns such as 'ward3/\\*', or conditions such as 'site=A': got 3"),
        ({"first": [" "]}, "first must be ids"),
        ({"max_per_group": 0}, "max_per_group must be an integer >= 1: got 0"),
        ({"max_per_parent": True}, "max_per_parent must be an integer >= 1: got True"),
    ],
)
def test_wrong_rules_are_an_error(rules, message):
    with pytest.raises(ConfigurationError, match=message):
        SelectionRules(**rules)


def test_a_demand_that_the_rules_do_not_leave_says_what_to_change():
    campaign = experiment(by_name("random"), rules=SelectionRules(only="v00/*", max_per_parent=2))
    with pytest.raises(
        ConfigurationError,
        match=r"n must be at most 2, because the rules leave no more in this round: got 5, 3 candidates, and the rules "
        r"only v00/\*; at most 2 of a parent in a round. Try: n=2, or Experiment\(..., rules=...\).",
    ):
        campaign.ask(5)
    with pytest.raises(ConfigurationError, match="9 labels, but the pool has 36 images, and the rules allow 3 of them"):
        campaign.run(ORACLE, start=3, batch=3, rounds=2)


# Rules change.


def test_rules_change_at_any_time_and_the_record_keeps_the_dates(tmp_path):
    campaign = experiment(by_name("random"), tmp_path / "r.db", rules=SelectionRules(never="site=B"))
    assert "changes" not in str(Store(tmp_path / "r.db").fact("changes"))
    assert set(campaign.candidates) == {id for id in IDS if TABLE[id]["site"] == "A"}
    label(campaign, 4)
    again = alkit.Experiment.open(tmp_path / "r.db", pool=POOL, learner=MeanLearner())
    assert again.rules == SelectionRules(never="site=B")
    changed = SelectionRules(only="site=B", max_per_group=2)
    again = alkit.Experiment.open(tmp_path / "r.db", pool=POOL, learner=MeanLearner(), rules=changed)
    assert {TABLE[id]["site"] for id in again.ask(6)} == {"B"}
    assert campaign.rules == changed, "another process reads the rules of the record"
    (entry,) = Store(tmp_path / "r.db").fact("changes")
    assert entry["changed"] == [
        "only: recorded none, now site=B",
        "never: recorded site=B, now none",
        "max_per_group: recorded none, now 2",
    ]
    assert entry["at"].startswith("20")
    last = alkit.Experiment.open(tmp_path / "r.db", pool=POOL, learner=MeanLearner(), rules=SelectionRules())
    assert not last.rules
    assert Store(tmp_path / "r.db").fact("rules") is None
    assert len(Store(tmp_path / "r.db").fact("changes")) == 2


def test_a_condition_of_the_record_may_match_nothing_later(tmp_path):
    """An image that was named may be missing by then."""
    experiment(by_name("random"), tmp_path / "r.db", rules=SelectionRules(never=["v00/0"])).ask(2)
    rest = POOL.subset(IDS[1:])
    again = experiment(by_name("random"), tmp_path / "r.db", pool=rest, rules=SelectionRules(never=["v00/0", "v01/0"]))
    assert again.rules.never == ("v00/0", "v01/0")


def test_an_id_is_no_pattern_and_its_equals_sign_no_condition():
    ids = ["a=1", "a*", "ab", "b"]
    pool = alkit.ArrayPool(np.zeros((4, 8, 8), np.uint8), ids, groups={id: {"g": id, "a": "1"} for id in ids})
    for never, left in ((["a=1"], {"a*", "ab", "b"}), (["a*"], {"a=1", "ab", "b"}), (["a=?"], set(ids) - set(ids))):
        if left:
            assert set(experiment(first_ones, pool=pool, rules=SelectionRules(never=never)).candidates) == left
        else:
            with pytest.raises(ConfigurationError, match="never must leave an image"):
                experiment(first_ones, pool=pool, rules=SelectionRules(never=never))


def test_a_repeated_rule_is_not_a_change(tmp_path, caplog):
    rules = SelectionRules(never="site=B")
    campaign = experiment(by_name("random"), tmp_path / "r.db", rules=rules)
    campaign.ask(2)
    with caplog.at_level(logging.WARNING):
        experiment(by_name("random"), tmp_path / "r.db", rules=rules)
    assert Store(tmp_path / "r.db").fact("changes") is None


def test_a_pattern_of_a_stranger_takes_no_time():
    many = "*".join("a" * 40)
    assert matching([f"*{many}*b", "[a]*"], ["a" * 200, "[a]1"], ["", ""], [{}, {}]) == {
        f"*{many}*b": frozenset(),
        "[a]*": frozenset({"[a]1"}),
    }


class Own:
    """A pool of another package that knows its patients, and nothing of alkit."""

    ids = tuple(IDS)

    def read(self, ids):
        return POOL.read(ids)

    def groups_of(self, ids):
        return [PATIENTS[id] for id in ids]

    def metadata_of(self, ids):
        return [{"site": TABLE[id]["site"]} for id in ids]


def test_a_pool_of_another_package_has_groups_by_its_methods():
    rules = SelectionRules(only="site=A", max_per_group=1)
    campaign = experiment(first_ones, pool=Own(), rules=rules)
    asked = label(campaign, 3)
    assert [PATIENTS[id] for id in asked] == ["p0", "p1", "p2"]
    shown = campaign._repr_html_()
    assert "36 images of 6 groups; known of each: site." in shown
    assert "Rules of selection: only site=A; at most 1 of a group in a round." in shown
    campaign = experiment(first_ones, pool=Own(), rules=SelectionRules(max_per_group=1), hold_out=0.4)
    for _ in range(2):
        assert label(campaign, 6)
    held = {PATIENTS[id] for id in Store(campaign.path).fact("sides")["held_out"]}
    assert len(held) == 2
    assert not held & {PATIENTS[id] for id in Store(campaign.path).fact("sides")["trained"]}
