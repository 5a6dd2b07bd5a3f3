from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from firm_lightning import __version__
from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.local import LocalCritic
from firm_lightning.critics.start import Pretrained
from firm_lightning.report.card_machine import ELSEWHERE, answer_tokens, cpu_name, hardware_of, versions
from tests.critics.small_start import SmallStart, small_tokenizer


def test_tokens_are_those_of_the_critics_own_tokenizer(tmp_path: Path) -> None:
    small_tokenizer().save_pretrained(tmp_path)
    texts = ["the square is blue, not green\n\\boxed{2}", "", "zzz"]
    expected = sum(len(small_tokenizer()(text, add_special_tokens=False)["input_ids"]) + 1 for text in texts)
    assert answer_tokens(SimpleNamespace(start=Pretrained(path=str(tmp_path))), texts) == expected
    assert answer_tokens(SimpleNamespace(start=Pretrained(path="some/name")), texts) is None
    assert answer_tokens(LocalCritic(start=SmallStart()), texts) is None


def test_the_machine_is_named_where_it_is_known() -> None:
    torch.set_num_threads(1)
    assert hardware_of(LocalCritic(start=SmallStart())) == f"{cpu_name()}, 1 thread"
    assert cpu_name()
    assert hardware_of(HttpCritic(endpoints=["http://127.0.0.1:9"], model="m")) == ELSEWHERE
    assert versions()["firm_lightning"] == __version__ and versions()["torch"] == torch.__version__.partition("+")[0]
