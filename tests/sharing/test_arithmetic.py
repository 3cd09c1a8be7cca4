"""A worker computes as the process that asks."""

from dataclasses import replace

import torch

from alkit import Ensemble, SegmentationLearner, UNet
from alkit.sharing.arithmetic import Arithmetic, machine, runtime_values


def test_a_worker_takes_over_all_settings_and_sets_them_back():
    own = Arithmetic.of_this_process()
    cudnn = tuple((name, not value) for name, value in own.cudnn)
    other = replace(
        own, precision="high", cudnn=cudnn, deterministic=not own.deterministic, process=("another", 1), threads=1
    )
    with other.applied():
        found = Arithmetic.of_this_process()
        assert found.named()[2:] == other.named()[2:]
        assert torch.get_num_threads() == 1
    assert Arithmetic.of_this_process().named() == own.named()


def test_where_and_how_a_learner_computes_is_told_also_inside_an_ensemble():
    plain, compiled = (Ensemble(SegmentationLearner(UNet, device="cpu", compile=value)) for value in (False, True))
    assert runtime_values(plain) == [["cpu"], ["compile", False], machine()]
    assert runtime_values(compiled) == [["cpu"], ["compile", True], machine()]
    assert runtime_values(object()) == []


def test_cuda_is_started_only_for_those_who_may_use_it(monkeypatch):
    names = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: names.append(number) or f"GPU of {number}")
    cpu, auto = (runtime_values(SegmentationLearner(UNet, device=device)) for device in ("cpu", "auto"))
    assert cpu[-1] == machine()
    assert auto[-1] == [*machine(), "GPU of 0", "GPU of 1"]
    assert names == [0, 1]
