from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from firm_lightning.callbacks.watch_dogs import WatchDogs, slope
from firm_lightning.metrics.picture_faults import FaultLimits
from firm_lightning.modules.drawing import Drawn
from firm_lightning.types import Prompt, Rewards, Rollout
from tests.callbacks.fake_drawing import Easel, drawn, module_that_draws, prompt_file, source_of, trainer_in
from tests.callbacks.test_show_pictures import FakeRounds, fit


def lively(number: int = 0) -> Image.Image:
    """Half grey, half white: neither blank nor saturated."""
    values = np.full((16, 16, 3), 120 + number, dtype=np.uint8)
    values[:8] = 250
    return Image.fromarray(values)


def fair(count: int, *, reward: float = 0.5, truth: float | None = None) -> Drawn:
    measured = None if truth is None else {"alignment_01": [truth] * count, "leftover_01": [0.0] * count}
    return drawn([lively()] * count, rewards=[reward] * count, truth=measured)


def watched(folder: Path, dogs: WatchDogs, rounds: list[Drawn | None]) -> tuple[dict[str, float], list[str], int]:
    """What was logged last, the warnings, and how many rounds were learnt."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = fit(folder, dogs, rounds, logger=False)
    logged = {name: float(value) for name, value in trainer.logged_metrics.items() if name.startswith("watch/")}
    return logged, [str(w.message) for w in caught if "watch/" in str(w.message)], trainer.current_epoch


def test_a_fair_round_is_logged_without_a_word(tmp_path: Path) -> None:
    logged, warned, _ = watched(tmp_path, WatchDogs(), [fair(4)])
    assert logged == {"watch/blank_share": 0.0, "watch/saturated_share": 0.0}
    assert warned == []


def test_copies_of_the_source(tmp_path: Path) -> None:
    prompt = Prompt("a", "add a hat", source=source_of(tmp_path, lively()))
    pictures = [lively(), lively(3), lively(60), lively(100)]  # changes of 0, 3, 60 and 100 of 255
    round_ = drawn(pictures, prompts=[prompt] * 4, rewards=[0.5] * 4)
    logged, warned, _ = watched(tmp_path, WatchDogs(max_copy_share=0.4), [round_])
    assert logged["watch/copy_share"] == 0.5
    assert warned == [
        "round 0: watch/copy_share 0.50 is above its limit 0.40: copies earn too much: use a reward formula that gives "
        "nothing for an edit that is not carried out (CME)"
    ]
    assert watched(tmp_path, WatchDogs(max_copy_share=0.5), [round_])[1] == []
    stricter = WatchDogs(max_copy_share=0.4, limits=FaultLimits(copy_change=0.01))
    assert watched(tmp_path, stricter, [round_])[0]["watch/copy_share"] == 0.25


def test_blank_and_saturated_pictures(tmp_path: Path) -> None:
    stripes = np.zeros((16, 16, 3), dtype=np.uint8)
    stripes[::2] = 255
    round_ = drawn([Image.new("RGB", (16, 16), (90, 90, 90)), Image.fromarray(stripes), lively(), lively()])
    logged, warned, _ = watched(tmp_path, WatchDogs(max_blank_share=0.2, max_saturated_share=0.2), [round_])
    assert logged == {"watch/blank_share": 0.25, "watch/saturated_share": 0.25}
    assert [message.partition(": ")[2].partition(": ")[0] for message in warned] == [
        "watch/blank_share 0.25 is above its limit 0.20",
        "watch/saturated_share 0.25 is above its limit 0.20",
    ]


def test_reward_up_while_the_truth_goes_down(tmp_path: Path) -> None:
    rounds: list[Drawn | None] = [fair(2, reward=0.5 + 0.03 * n, truth=0.8 - 0.02 * n) for n in range(5)]
    logged, warned, _ = watched(tmp_path, WatchDogs(window=5, min_rise=0.1, min_fall=0.05), rounds)
    assert logged["watch/reward_trend"] == pytest.approx(0.12, abs=1e-6)
    assert logged["watch/truth_alignment_01_trend"] == pytest.approx(-0.08, abs=1e-6)
    assert warned == [
        "round 4: watch/truth_alignment_01_trend -0.080 (limit -0.050) while watch/reward_trend is +0.120 (limit "
        "+0.100) over the last 5 rounds: the policy learns what pleases the critic; go back to an earlier checkpoint, "
        "and raise objective.kl_weight or mend the critic"
    ]


def test_what_was_before_the_window_does_not_count(tmp_path: Path) -> None:
    rounds: list[Drawn | None] = [fair(2, reward=0.9, truth=0.1)]
    rounds += [fair(2, reward=0.5 + 0.03 * n, truth=0.8 - 0.02 * n) for n in range(5)]
    logged, warned, _ = watched(tmp_path, WatchDogs(window=5, min_rise=0.1, min_fall=0.05), rounds)
    assert logged["watch/reward_trend"] == pytest.approx(0.12, abs=1e-6)
    assert logged["watch/truth_alignment_01_trend"] == pytest.approx(-0.08, abs=1e-6)
    assert [message[:7] for message in warned] == ["round 5"]


@pytest.mark.parametrize(("min_rise", "min_fall", "window"), [(0.13, 0.05, 5), (0.1, 0.09, 5), (0.1, 0.05, 6)])
def test_both_must_pass_their_limits_over_a_full_window(
    tmp_path: Path, min_rise: float, min_fall: float, window: int
) -> None:
    rounds: list[Drawn | None] = [fair(2, reward=0.5 + 0.03 * n, truth=0.8 - 0.02 * n) for n in range(5)]
    dogs = WatchDogs(window=window, min_rise=min_rise, min_fall=min_fall)
    logged, warned, _ = watched(tmp_path, dogs, rounds)
    assert warned == []
    assert ("watch/reward_trend" in logged) == (window == 5)


class HeldOut:
    """Likes every picture less than the one before."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def reward(self, rollouts: Sequence[Rollout]) -> Rewards:
        self.asked.append(len(rollouts))
        value = torch.full((len(rollouts),), 0.9 - 0.1 * len(self.asked))
        value[0] = float("nan")
        return Rewards(value, ~value.isnan(), {})


def test_reward_up_while_a_held_out_critic_goes_down(tmp_path: Path) -> None:
    held_out = HeldOut()
    rounds: list[Drawn | None] = [fair(3, reward=0.1 * n) for n in range(7)]
    dogs = WatchDogs(window=5, held_out=held_out, held_out_every_n_rounds=2)
    logged, warned, _ = watched(tmp_path, dogs, rounds)
    assert held_out.asked == [3, 3, 3, 3]  # rounds 0, 2, 4, 6
    assert logged["watch/held_out_reward"] == pytest.approx(0.5)
    assert logged["watch/held_out_reward_trend"] == pytest.approx(-0.2)  # 0.1 less every second round, over 4
    (message,) = warned  # round 4; in round 6 the same window is not over
    assert message.startswith("round 4: watch/held_out_reward_trend -0.200 (limit -0.020) while ")


def test_each_figure_warns_once_per_window(tmp_path: Path) -> None:
    blank: list[Drawn | None] = [drawn([Image.new("RGB", (8, 8))] * 2)] * 8
    _, warned, learnt = watched(tmp_path, WatchDogs(window=3), blank)
    by_figure = [message for message in warned if "blank" in message.partition("watch/")[2].partition(" ")[0]]
    assert [message[:7] for message in by_figure] == ["round 0", "round 3", "round 6"]
    assert learnt == 8


def test_stop_ends_the_run_cleanly(tmp_path: Path) -> None:
    rounds: list[Drawn | None] = [fair(2), drawn([Image.new("RGB", (8, 8), (99, 99, 99))] * 2), fair(2), fair(2)]
    _, warned, learnt = watched(tmp_path, WatchDogs(stop=True), rounds)
    assert learnt == 2
    assert warned == [
        "round 1: watch/blank_share 1.00 is above its limit 0.25: blank pictures earn too much, or the weights broke: "
        "look at the pictures, lower the learning rate; the run stops here"
    ]


def test_a_resumed_run_watches_on(tmp_path: Path) -> None:
    def rounds(count: int) -> list[Drawn | None]:
        return [fair(2, reward=0.1 * n, truth=0.9 - 0.1 * n) for n in range(count)]

    settings: dict[str, Any] = {"window": 5}
    saver = ModelCheckpoint(dirpath=tmp_path, filename="three", save_last=False)
    trainer = trainer_in(
        tmp_path, WatchDogs(**settings), saver, max_epochs=3, enable_checkpointing=True,
        reload_dataloaders_every_n_epochs=1,
    )  # fmt: skip
    trainer.fit(FakeRounds(rounds(3)))
    dogs = WatchDogs(**settings)
    resumed = trainer_in(tmp_path, dogs, max_epochs=5, reload_dataloaders_every_n_epochs=1)
    with pytest.warns(UserWarning, match=r"^round 4: watch/truth_alignment_01_trend -0\.400 "):
        resumed.fit(FakeRounds(rounds(5)), ckpt_path=tmp_path / "three.ckpt", weights_only=True)
    assert list(dogs.state_dict()["history"]) == ["0", "1", "2", "3", "4"]


def test_warnings_are_kept_in_the_run_folder(tmp_path: Path) -> None:
    """Also those of before a run was resumed; without any, the file says so."""
    blank = drawn([Image.new("RGB", (8, 8), (99, 99, 99))] * 2)
    dogs = WatchDogs(window=3)
    watched(tmp_path, dogs, [fair(2)])
    assert json.loads((tmp_path / "warnings.json").read_text()) == []
    watched(tmp_path, dogs, [blank])
    event = {
        "round": 0,
        "figure": "watch/blank_share",
        "problem": "1.00 is above its limit 0.25: blank pictures earn too much, or the weights broke: look at the "
        "pictures, lower the learning rate",
    }
    assert json.loads((tmp_path / "warnings.json").read_text()) == [event]
    resumed = WatchDogs(window=3)
    resumed.load_state_dict(dogs.state_dict())
    watched(tmp_path, resumed, [fair(2)])
    assert json.loads((tmp_path / "warnings.json").read_text()) == [event]


def test_truth_numbers_that_nobody_measures_are_refused(tmp_path: Path) -> None:
    message = (
        "WatchDogs.truth_numbers names none of what the truth measures: alignment_01, leftover_01; choose those of "
        "them that should not fall"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        watched(tmp_path, WatchDogs(truth_numbers=["beauty"]), [fair(1, truth=0.5)])


def test_a_module_without_rounds_is_refused(tmp_path: Path) -> None:
    module = module_that_draws(prompt_file(tmp_path, 1), Easel())
    with pytest.raises(
        ValueError,
        match=r"^WatchDogs watches the rounds of a DiffusionRL, not a FlowMatching: remove it from callbacks$",
    ):
        WatchDogs().setup(trainer_in(tmp_path), module, "fit")


def test_a_held_out_critic_that_would_never_be_watched_is_refused() -> None:
    """Of rounds 0 to 9, every fifth is two rounds and every fourth three."""
    with pytest.raises(
        ValueError,
        match=r"^held_out_every_n_rounds 5: of a window of 10 rounds fewer than 3 would be scored, so no fall would be "
        r"seen; set it to 4 at most, or window to 11 at least$",
    ):
        WatchDogs(window=10, held_out=HeldOut(), held_out_every_n_rounds=5)
    WatchDogs(window=10, held_out=HeldOut(), held_out_every_n_rounds=4)
    WatchDogs(window=11, held_out=HeldOut(), held_out_every_n_rounds=5)
    WatchDogs(window=10, held_out_every_n_rounds=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_copy_share": 30}, "max_copy_share 30 is not in [0, 1]: it is a share"),
        ({"window": 2}, "window 2 must be at least 3 rounds"),
        ({"held_out_every_n_rounds": 0}, "held_out_every_n_rounds 0 must be at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WatchDogs(**settings)


def test_the_slope_is_that_of_the_least_squares_line() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 50, 20), rng.normal(0, 1, 20)
    assert slope(list(zip(x, y, strict=True))) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    assert slope([(4, 1.0), (6, 2.0), (8, 0.0)]) == -0.25
