"""The comparison with baal measures the same work on both sides, and computes its columns correctly."""

from __future__ import annotations

import ast
import csv
import itertools
import json
import mmap
import os
import sys
import time

import numpy as np
import pytest
import torch

from alkit.learners.predictor import NetworkPredictor
from alkit.rng import Stream
from benchmarks.cost import scoring
from benchmarks.cost.peers.meter import measure
from benchmarks.cost.peers.workload import Lesions, Network

MIB = 2**20


CASE = scoring.Case(n=3, size=16, draws=4)


def fake_way(folder, name: str, library: str = "baal") -> scoring.Way:
    """Return a way whose process appends its arguments to a file and reports fixed scores."""
    code = f"""
import json, os, sys
told = dict(zip(sys.argv[1::2], sys.argv[2::2]))
omp = os.environ["OMP_NUM_THREADS"]
with open({str(folder / "ran")!r}, "a") as file:
    print(json.dumps({{"name": {name!r}, "pid": os.getpid(), "told": told, "omp": omp}}), file=file)
print("output of a library")
scores = {{"a0": [1, 2, 3, 4], "a1": [1, 2, 4, 3], "b0": [1, 2, 3, 4], "b1": [4, 3, 2, 1]}}
print(json.dumps({{"cpu_s": 1, "scores": scores.get({name!r} + told["--seed"])}}))
"""
    return scoring.Way(library, name, "", (sys.executable, "-S", "-c", code))


def cost(cpu_s: float, anon_mib: float, **other: object) -> dict[str, object]:
    return {"cpu_s": cpu_s, "wall_s": 2 * cpu_s, "anon_mib": anon_mib, "rss_mib": anon_mib + 1, "threads": 1,
            "version": "1.0", "torch": "2.0", **other}  # fmt: skip


def test_an_image_depends_only_on_the_seed_and_its_position():
    assert torch.equal(Lesions(9, 32, seed=3)[4][0], Lesions(5, 32, seed=3)[4][0])
    assert not torch.equal(Lesions(9, 32, seed=3)[4][0], Lesions(9, 32, seed=4)[4][0])
    assert not torch.equal(Lesions(9, 32, seed=3)[4][0], Lesions(9, 32, seed=3)[5][0])


def test_images_are_colour_in_0_to_1_and_darker_inside_the_mask():
    images = list(Lesions(20, 32))
    assert len(images) == 20
    for image, mask in images:
        assert image.shape == (3, 32, 32)
        assert mask.shape == (32, 32)
        assert 0 <= image.min() <= image.max() <= 1
        assert 0 < mask.sum() < 32 * 32 / 2
        assert image[:, mask == 1].mean() < image[:, mask == 0].mean() - 0.02


def test_the_network_has_dropout_only_after_the_bottleneck_and_the_first_block_of_the_decoder():
    network, seen = Network(3, 2), []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout2d):
            layer.register_forward_hook(lambda layer, inputs, _: seen.append((layer.p, tuple(inputs[0].shape[1:]))))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 2, 32, 32)
    assert seen == [(0.5, (64, 8, 8)), (0.5, (32, 16, 16))]
    widths = {layer.out_channels for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)}
    assert widths == {16, 32, 64, 2}


def test_the_meter_measures_memory_that_was_freed_before_the_end():
    def hold() -> int:
        held = np.ones(64 * MIB, np.uint8)
        time.sleep(0.1)
        return int(held[-1])

    outcome, found = measure(hold)
    assert outcome == 1
    assert 60 < found["anon_mib"] < 90
    assert 60 < found["rss_mib"] < 90


def test_the_meter_separates_mapped_files_from_allocations(tmp_path):
    file = tmp_path / "mapped"
    file.write_bytes(bytes(64 * MIB))

    def touch() -> int:
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            total = sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE))
            time.sleep(0.1)
        return total

    _, found = measure(touch)
    assert found["rss_mib"] > 60
    assert found["anon_mib"] < 20


def test_the_meter_counts_work_but_not_waiting_or_its_own_thread():
    def spin() -> None:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass

    _, busy = measure(spin)
    _, idle = measure(lambda: time.sleep(0.4), interval=0.0)  # the thread reads the memory without a pause
    assert busy["cpu_s"] > 0.15
    assert idle["cpu_s"] < 0.1
    assert idle["wall_s"] >= 0.4


def test_the_process_of_alkit_scores_the_pool_with_the_given_weights_and_draws(tmp_path):
    network = scoring.train_network(CASE.size, steps=30).eval()
    with torch.no_grad():
        network.logits.weight *= 3  # after so few steps, draws hardly differ
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    report = scoring.run(scoring.OURS, CASE, tmp_path / "weights.pt", seed=5)
    predictor, expected = NetworkPredictor(network, 3, 2), []
    for image, _ in Lesions(CASE.n, CASE.size):
        chunks = predictor.posterior(image[None].numpy()).dropout(CASE.draws, Stream(5))
        p = torch.cat([chunk[:, 0] for chunk in chunks]).double().numpy()  # (draws, classes, h, w)
        total, each = (-(q * np.log(q)).sum(axis=-3) for q in (p.mean(axis=0), p))
        expected.append(float((total - each.mean(axis=0)).mean()))
    assert min(abs(a - b) for a, b in itertools.combinations([0, *expected], 2)) > 1e-5
    assert report["scores"] == pytest.approx(expected, abs=1e-6)
    assert report["threads"] == 1
    assert report["cpu_s"] > 0


def test_ways_take_turns_in_separate_processes_with_one_thread_and_the_turn_as_seed(tmp_path):
    ways = [fake_way(tmp_path, name) for name in "abc"]
    costs = scoring.measure(ways, CASE, tmp_path / "weights", repeat=2)
    ran = [json.loads(line) for line in (tmp_path / "ran").read_text().splitlines()]
    assert "".join(one["name"] for one in ran) == "abcbca"
    assert len({one["pid"] for one in ran} | {os.getpid()}) == 7
    case = {"--n": "3", "--size": "16", "--draws": "4", "--weights": str(tmp_path / "weights")}
    assert [one["told"] for one in ran] == [{**case, "--seed": str(turn)} for turn in (0, 0, 0, 1, 1, 1)]
    assert {one["omp"] for one in ran} == {"1"}
    assert {way.mode: len(some) for way, some in costs.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_failing_process_ends_the_measurement_with_its_error_output(tmp_path):
    way = scoring.Way("baal", "memory", "8", (sys.executable, "-S", "-c", "raise SystemExit('bad input')"))
    with pytest.raises(RuntimeError, match=r"baal memory on Case\(n=3.* ended with 1: bad input"):
        scoring.run(way, CASE, tmp_path, seed=0)


def test_rows_have_medians_and_extremes_and_compare_with_the_peer_that_needs_least_cpu():
    slow, quick = (scoring.Way("baal", mode, "8", ()) for mode in ("memory", "stream"))
    costs = {
        scoring.OURS: [cost(2, 10), cost(9, 30), cost(3, 20)],
        slow: [cost(8, 90), cost(1, 90), cost(9, 90)],  # the fastest once, but not by its median
        quick: [cost(6, 60), cost(4, 50), cost(7, 40)],
    }
    rows = {row["mode"]: row for row in scoring.rows_of(CASE, costs, {"spearman": 0.9})}
    ours = rows[""]
    assert (ours["cpu_s"], ours["cpu_least"], ours["cpu_most"], ours["wall_s"]) == (3, 2, 9, 6)
    assert (ours["anon_mib"], ours["rss_mib"]) == (30, 31)
    assert (ours["cpu_ratio"], ours["anon_ratio"]) == (0.5, 0.5)
    assert (rows["memory"]["cpu_ratio"], rows["memory"]["anon_ratio"]) == (1.333, 1.5)
    assert (rows["stream"]["cpu_ratio"], rows["stream"]["anon_ratio"]) == (1, 1)
    assert {row["spearman"] for row in rows.values()} == {0.9}
    assert {(row["library"], row["n"], row["repeats"]) for row in rows.values()} == {("alkit", 3, 3), ("baal", 3, 3)}
    assert "CPU x 0.5, memory x 0.5" in scoring.format_rows(list(rows.values()))


def test_rows_without_a_peer_have_no_ratios():
    [row] = scoring.rows_of(CASE, {scoring.OURS: [cost(2, 10)]}, scoring.NO_AGREEMENT)
    assert (row["cpu_ratio"], row["anon_ratio"], row["spearman"]) == ("", "", "")
    assert "best" not in scoring.format_rows([row])


def test_agreement_is_the_mean_over_pairs_of_seeds_beside_that_of_the_peer_with_itself(tmp_path):
    found = scoring.agreement(fake_way(tmp_path, "a", "alkit"), fake_way(tmp_path, "b"), CASE, tmp_path)
    assert found == {"spearman": 0.0, "spearman_self": -1.0, "spearman_draws": 4}  # 1, -1, 0.8 and -0.8


def test_rank_correlation_gives_ties_their_mean_rank():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 5, (2, 12)).tolist()
        ranks = [[sum(y < x for y in some) + sum(y == x for y in some) / 2 for x in some] for some in (a, b)]
        assert scoring.rank_correlation(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_training_is_reproducible_and_changes_the_weights():
    first, again, less = (scoring.train_network(16, steps).state_dict() for steps in (2, 2, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], less[name]) for name in first if name.endswith("weight"))


def test_training_uses_no_image_of_the_pool(monkeypatch):
    class Watched(Lesions):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            shown.append(super().__getitem__(index)[0])
            return super().__getitem__(index)

    shown: list[torch.Tensor] = []
    monkeypatch.setattr(scoring, "Lesions", Watched)
    scoring.train_network(16, steps=2)
    assert len({tuple(image.ravel().tolist()) for image in shown}) == 16
    assert not any(torch.equal(image, other) for image in shown for other, _ in Lesions(64, 16))


def test_the_modes_are_those_of_baals_script():
    tree = ast.parse((scoring.PEERS / "baal_bald.py").read_text())
    assigned = (node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "MODES")
    assert ast.literal_eval(next(assigned).value) == scoring.MODES


def test_the_command_measures_each_case_and_appends_rows_with_and_without_a_peer(tmp_path, monkeypatch, capsys):
    def fake(way: scoring.Way, case: scoring.Case, weights: object, seed: int) -> dict[str, object]:
        assert set(torch.load(weights, weights_only=True)) == set(Network().state_dict())
        ran.append((way.library, way.mode, case.n, case.draws))
        return cost(case.n, 1, scores=list(range(case.n)))

    def command(*arguments: str) -> list[dict[str, str]]:
        ran.clear()
        small = "--n 8 4 --size 16 --draws 2 3 --repeat 2 --steps 1 --out".split()
        monkeypatch.setattr(sys, "argv", ["scoring.py", *small, str(out), *arguments])
        scoring.main()
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    ran: list[tuple[str, str, int, int]] = []
    out = tmp_path / "rows.csv"
    monkeypatch.setattr(scoring, "run", fake)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    cases = [("8", "2"), ("8", "3"), ("4", "2"), ("4", "3")]

    alone = command()
    assert [(row["n"], row["draws"], row["library"], row["cpu_ratio"]) for row in alone] == [
        (n, draws, "alkit", "") for n, draws in cases
    ]
    assert len(ran) == 4 * 2
    both = command("--peer-python", "python", "--modes", "memory", "stream-loop")[4:]
    expected = [(*case, *way) for case in cases for way in (("alkit", ""), ("baal", "memory"), ("baal", "stream-loop"))]
    assert [(row["n"], row["draws"], row["library"], row["mode"]) for row in both] == expected
    assert {(row["n"], row["spearman"], row["spearman_draws"]) for row in both} == {("8", "", ""), ("4", "1.0", "100")}
    assert ran[:4] == [("alkit", "", 4, 100)] * 2 + [("baal", "stream-loop", 4, 100)] * 2
    printed = capsys.readouterr().out
    assert "rank correlation over 100 draws: alkit and baal 1.0, baal under two seeds 1.0" in printed
    assert printed.count("4 images of 16 x 16, 3 draws") == 2
