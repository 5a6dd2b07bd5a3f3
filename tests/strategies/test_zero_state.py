"""Writing and loading what processes hold: threads in place of processes, DeepSpeed's optimiser made by hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from firm_lightning.strategies.zero_folder import ZeroFolder, consolidated
from firm_lightning.strategies.zero_state import WholeFile, ZeroState

ADAM = {"lr": 0.1, "weight_decay": 0.5}


class Model(nn.Module):
    """A weight that learns, the same under another name, one that does not learn, and a buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.arange(5.0) * value)
        self.tied = self.w
        self.ema = nn.Parameter(torch.arange(3.0) * value, requires_grad=False)
        self.register_buffer("table", torch.tensor([value]))


def state_of(model: Model, rank: int, *, processes: int = 2) -> ZeroState:
    """As stage 2 leaves it: the flattened weight with a zero at its end, cut into equal parts."""
    size = 6 // processes
    start, count = rank * size, min(size, 5 - rank * size)
    whole = torch.cat([model.w.detach(), torch.zeros(1)])
    flat = whole[start : start + size].clone().requires_grad_()
    address = SimpleNamespace(start=start, numel=count)
    model.w._hp_mapping = SimpleNamespace(  # type: ignore[attr-defined]
        param_group_index=0, lp_fragment_address=address, hp_fragment_address=SimpleNamespace(start=0, numel=count)
    )
    inner = torch.optim.AdamW([flat], **ADAM)
    return ZeroState(model, SimpleNamespace(optimizer=inner), [["w"]], rank, processes)


def write(path: Path, value: float = 2.0, *, with_optimizer: bool = True) -> None:
    """As two processes do after 7 steps."""
    barrier = threading.Barrier(2)

    def one(rank: int) -> None:
        model = Model(value)
        state = state_of(model, rank)
        (flat,) = state.optimizer.optimizer.param_groups[0]["params"]
        state.optimizer.optimizer.state[flat] = {"step": torch.tensor(7.0), "exp_avg": flat.detach() * 10}
        kept: dict[str, Any] = {"global_step": 7, "state_dict": model.state_dict()}
        kept |= {"optimizer_states": []} if with_optimizer else {}
        state.write(path, kept, stage=2, barrier=barrier.wait)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(one, range(2)))


def test_pieces_of_two_processes_are_one_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "c")
    whole = consolidated(ZeroFolder(tmp_path / "c"))
    assert whole["global_step"] == 7
    assert {name: value.tolist() for name, value in whole["state_dict"].items()} == {
        "w": [0, 2, 4, 6, 8],
        "tied": [0, 2, 4, 6, 8],
        "ema": [0, 2, 4],
        "table": [2],
    }
    (state,) = whole["optimizer_states"]
    assert state["state"][0]["exp_avg"].tolist() == [0, 20, 40, 60, 80] and state["state"][0]["step"] == 7
    group = {key: state["param_groups"][0][key] for key in (*ADAM, "params")}
    assert group == {**ADAM, "params": [0]}
    write(tmp_path / "weights", with_optimizer=False)
    assert "optimizer_states" not in consolidated(ZeroFolder(tmp_path / "weights"))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("one_file", [False, True])
def test_any_number_of_processes_loads_it(tmp_path: Path, processes: int, one_file: bool) -> None:
    write(tmp_path / "c")
    folder = ZeroFolder(tmp_path / "c")
    source = WholeFile(tmp_path / "f", consolidated(folder)) if one_file else folder
    for rank in range(processes):
        model = Model(1.0)
        state = state_of(model, rank, processes=processes)
        inner = state.optimizer.optimizer
        inner.param_groups[0]["lr"] = 0.9
        state.load_weights(source)
        state.load_optimizer(source)
        assert model.w.tolist() == [0, 2, 4, 6, 8] and model.ema.tolist() == [0, 2, 4] and model.table.tolist() == [2]
        (flat,) = inner.param_groups[0]["params"]
        size = 6 // processes
        mine = [0, 2, 4, 6, 8, 0][rank * size : (rank + 1) * size]
        assert flat.tolist() == mine
        assert inner.state[flat]["exp_avg"].tolist() == [10 * value for value in mine]
        assert inner.state[flat]["step"] == 7 and inner.param_groups[0]["lr"] == 0.1


class Other(Model):
    def __init__(self) -> None:
        super().__init__(1.0)
        self.w = nn.Parameter(torch.zeros(4))
        self.more = nn.Parameter(torch.zeros(4))
        del self.ema


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "c")
    with pytest.raises(ValueError) as error:
        ZeroState(Other(), None, [], 0, 1).load_weights(ZeroFolder(tmp_path / "c"))
    assert str(error.value) == (
        f"{tmp_path / 'c'}: its weights do not fit this run's model: 'ema' is left over; 'tied' is missing; "
        "'more' is missing; and 1 more"
    )


def test_optimiser_of_another_config_is_refused(tmp_path: Path) -> None:
    checkpoint: dict[str, Any] = {"state_dict": {"w": torch.zeros(5)}}
    state = state_of(Model(1.0), 0)
    groups: list[dict[str, Any]] = [{"params": [0]}, {"params": [1]}]
    for given, message in (
        (groups, "its optimiser has 2 groups of weights, this run's 1"),
        ([{"params": [0, 1]}], "its optimiser has 2 weights in a group and this run 1"),
    ):
        checkpoint["optimizer_states"] = [{"param_groups": given, "state": {}}]
        with pytest.raises(ValueError) as error:
            state.load_optimizer(WholeFile(tmp_path / "f", checkpoint))
        assert str(error.value) == f"{tmp_path / 'f'}: {message}; give the config that it was trained with"
