"""What every training of a policy shares: each process encodes its share of the prompts ahead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from firm_lightning.modules.policy_module import PolicyModule
from firm_lightning.types import Prompt
from tests.modules.toy_policy import ToyPolicy

PROMPTS = [Prompt(f"p{number}", "words") for number in range(5)]


class Process(PolicyModule):
    """One of several processes; notes how much was encoded whenever it waits for the others."""

    def __init__(self, rank: int, processes: int) -> None:
        super().__init__(policy=ToyPolicy(), evaluation=None)
        self.rank = rank
        self.waited_after: list[int] = []
        strategy = SimpleNamespace(barrier=lambda: self.waited_after.append(len(self.ahead)))
        self.fake = SimpleNamespace(world_size=processes, strategy=strategy)

    @property
    def global_rank(self) -> int:
        return self.rank

    @property
    def trainer(self) -> Any:
        return self.fake

    @property
    def ahead(self) -> list[str]:
        return [prompt.id for prompt in self.policy.ahead]  # type: ignore[attr-defined]


def test_a_single_process_encodes_everything_once() -> None:
    alone = Process(0, 1)
    alone.encode_ahead(PROMPTS)
    assert alone.ahead == ["p0", "p1", "p2", "p3", "p4"] and alone.waited_after == []


@pytest.mark.parametrize(("rank", "share"), [(0, ["p0", "p2", "p4"]), (1, ["p1", "p3"])])
def test_processes_share_the_work_and_then_look_for_what_they_lack(rank: int, share: list[str]) -> None:
    one = Process(rank, 2)
    one.encode_ahead(PROMPTS)
    assert one.ahead[: len(share)] == share
    assert one.waited_after == [len(share)]
    assert one.ahead[len(share) :] == ["p0", "p1", "p2", "p3", "p4"]
