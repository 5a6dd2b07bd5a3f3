from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.identity import identify
from firm_lightning.critics.local import LocalCritic
from firm_lightning.critics.start import Pretrained
from firm_lightning.modules.alignment_card import CARD_FORMAT, directions, meets, read_card, seal
from firm_lightning.modules.diffusion_rl import DiffusionRL
from firm_lightning.modules.min_alignment import MinAlignment
from tests.critics.test_identity import local, saved
from tests.modules.test_diffusion_rl import fit, module, prompts  # noqa: F401
from tests.modules.toy_policy import Brightness

FIGURES = {"pairwise": 0.871, "mae": 0.31, "bias": -0.2, "unreadable_rate": 0.0, "expected_mae": 0.3, "kendall": None}
RUBRIC = SimpleNamespace(name="alignment", sha256="a" * 64)
AGAIN = "make it again with: python train.py card"


def write(folder: Path, critic: LocalCritic | None, **changes: Any) -> Path:
    who = None if critic is None else identify(critic)
    card = {
        "format": CARD_FORMAT,
        "critic": None if who is None else {key: getattr(who, key) for key in ("name", "fingerprint", "settings")},
        "parity_critic": None,
        "rubrics": {"alignment": {"name": "alignment", "sha256": "a" * 64}},
        "tasks": {"alignment": {"figures": FIGURES, "intervals_95": {"pairwise": [0.85, 0.893]}}},
    }
    path = folder / "card.json"
    path.write_text(json.dumps(seal(card | changes)))
    return path


def reward_of(critic: object, rubric: object = RUBRIC) -> Any:
    return SimpleNamespace(critic=critic, rubrics={"alignment": rubric})


def trouble(card: Path, limits: dict[str, float], reward: object) -> str:
    return MinAlignment(card=card, limits=limits).trouble(reward)


def test_figures_are_held_to_their_own_sense(tmp_path: Path) -> None:
    critic = local(saved(tmp_path / "critic"))
    card = write(tmp_path, critic)
    met = {
        "alignment.pairwise": 0.871,
        "alignment.mae": 0.31,
        "alignment.bias": 0.2,
        "alignment.unreadable_rate": 0.0,
        "alignment.expected_mae": 0.4,
    }
    assert trouble(card, met, reward_of(critic)) == ""
    assert trouble(tmp_path, met, reward_of(critic)) == ""  # the folder will do
    missed = {
        "alignment.pairwise": 0.9,
        "alignment.mae": 0.25,
        "alignment.bias": 0.1,
        "alignment.retest_scores": 0.99,
        "alignment.kendall": 0.5,
        "quality.mae": 1.0,
    }
    assert trouble(card, missed, reward_of(critic)) == (
        f"{card}: the critic may not teach: alignment.pairwise is 0.871 (95 % interval 0.85 to 0.893), the limit is at "
        "least 0.9; alignment.mae is 0.31, the limit is at most 0.25; alignment.bias is -0.2, the limit is within ± 0.1"
        "; alignment.retest_scores is not measured, the limit is at least 0.99 (card: set retest or parity); "
        "alignment.kendall is not measured, the limit is at least 0.5; quality.mae is not measured, the limit is "
        "at most 1. Teach with a better critic (and its card), or change min_alignment.limits"
    )


def test_every_figure_of_a_card_has_a_sense() -> None:
    from firm_lightning.metrics.agreement import AGREEMENT_FIELDS

    assert set(AGREEMENT_FIELDS) - {"best_constant_mae"} <= set(directions())
    assert meets(0.9, 0.9, "at least") and not meets(0.89, 0.9, "at least")
    assert meets(0.9, 0.9, "at most") and not meets(0.91, 0.9, "at most")
    assert meets(-0.1, 0.1, "within ±") and not meets(-0.2, 0.1, "within ±") and not meets(0.2, 0.1, "within ±")
    assert not any(meets(float("nan"), 1.0, way) for way in ("at least", "at most", "within ±"))


def test_a_card_of_another_critic_or_rubric_is_no_proof(tmp_path: Path) -> None:
    critic, other = local(saved(tmp_path / "one")), local(saved(tmp_path / "two", b"weighus"))
    limits = {"alignment.mae": 0.5}
    card, remedy = write(tmp_path, critic), "Make a card of the critic that teaches: python train.py card"
    one, two = identify(critic), identify(other)
    assert trouble(card, limits, reward_of(other)) == (
        f"{card}: the card is of another critic: it measured {one}, and {two} would teach. {remedy}"
    )
    another = SimpleNamespace(name="mine.txt", sha256="b" * 64)
    assert trouble(card, limits, reward_of(critic, another)) == (
        f"{card}: the card is of another rubric: 'alignment' was measured with 'alignment' (aaaaaaaaaaaa), and "
        f"'mine.txt' (bbbbbbbbbbbb) would be asked. {remedy}"
    )
    assert trouble(write(tmp_path, None), limits, reward_of(critic)) == (
        f"{card}: the card was made from predictions and does not say which critic gave them. {remedy}"
    )
    gone = LocalCritic(start=Pretrained(path=str(tmp_path / "gone")))
    message = f"{tmp_path / 'gone'}: there is no such folder; give the folder of a saved critic"
    assert trouble(write(tmp_path, critic), limits, reward_of(gone)) == message
    assert (
        trouble(card, limits, Brightness())
        == "min_alignment is set, but Brightness has no critic; leave min_alignment out"
    )


def test_a_card_of_other_settings_is_no_proof(tmp_path: Path) -> None:
    start = Pretrained(path=str(saved(tmp_path / "critic")))
    card = write(tmp_path, LocalCritic(start=start, max_new_tokens=1024))
    limits = {"alignment.mae": 0.5}
    assert trouble(card, limits, reward_of(LocalCritic(start=start, max_new_tokens=1024, batch_size=3))) == ""
    assert trouble(card, limits, reward_of(LocalCritic(start=start, max_new_tokens=8))) == (
        f"{card}: the critic was measured with max_new_tokens 1024, and would teach with max_new_tokens 8. "
        "Make a card of the critic that teaches: python train.py card"
    )


def test_a_task_that_was_measured_without_a_rubric_is_no_proof(tmp_path: Path) -> None:
    critic = local(saved(tmp_path / "critic"))
    card = write(tmp_path, critic, rubrics={})
    assert trouble(card, {"alignment.mae": 0.5}, reward_of(critic)) == (
        f"{card}: 'alignment' was measured with the questions of its records, not with a rubric, and 'alignment' "
        "(aaaaaaaaaaaa) would be asked. Make a card of the critic that teaches: python train.py card"
    )


def test_the_second_engine_of_a_card_may_teach_where_parity_has_a_limit(tmp_path: Path) -> None:
    critic, served = local(saved(tmp_path / "critic")), HttpCritic(endpoints=["http://localhost:1"], model="served")
    who = identify(served)
    second = {key: getattr(who, key) for key in ("name", "fingerprint", "settings")}
    figures = FIGURES | {"parity_scores": 0.98}
    tasks = {"alignment": {"figures": figures, "intervals_95": {}}}
    card = write(tmp_path, critic, parity_critic=second, tasks=tasks)
    limits = {"alignment.mae": 0.5}
    assert trouble(card, limits, reward_of(served)) == (
        f"{card}: {who} is the card's second engine; to teach by it give limits of alignment.parity_scores. "
        "Make a card of the critic that teaches: python train.py card"
    )
    assert trouble(card, limits | {"alignment.parity_scores": 0.95}, reward_of(served)) == ""
    assert "alignment.parity_scores is 0.98, the limit is at least 0.99" in trouble(
        card, limits | {"alignment.parity_scores": 0.99}, reward_of(served)
    )


def test_a_card_that_is_missing_or_damaged_is_no_proof(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))}: there is no such card; make one with: python train"
    ):
        read_card(tmp_path)
    critic = local(saved(tmp_path / "critic"))
    whole = write(tmp_path, critic).read_text()
    assert read_card(path)["tasks"]["alignment"]["figures"]["mae"] == 0.31
    altered = f"{path}: the card is damaged: its content has another hash than was written; {AGAIN}"
    for text, message in (
        (whole.replace("0.31", "0.11"), altered),
        (whole.replace('"format"', '"fomat"'), f"{path}: this is no alignment card ('format' is missing); {AGAIN}"),
        ("[]", f"{path}: this is no alignment card ('format' is missing); {AGAIN}"),
        (whole[:-9], f"{path}: the card is damaged (Unterminated string starting at: "),
        (
            whole.replace('"format": 1', '"format": 2'),
            f"{path}: a card of format 2, and this program knows formats up to 1; install the version that wrote it, "
            f"or {AGAIN}",
        ),
    ):
        path.write_text(text)
        assert trouble(path, {"alignment.mae": 0.5}, reward_of(critic)).startswith(message)
    path.write_text(json.dumps(seal({"format": 1, "critic": None})))
    assert "the card is damaged (KeyError('rubrics'))" in trouble(path, {"alignment.mae": 0.5}, reward_of(critic))


def test_limits_are_checked_with_the_config(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^min_alignment.limits is empty; give a limit, for example \{alignment\.pair"
    ):
        MinAlignment(card=tmp_path, limits={})
    with pytest.raises(
        ValueError, match=r"^min_alignment.limits: figure 'alignment\.pairwize' is not known; nearest: 'al"
    ):
        MinAlignment(card=tmp_path, limits={"alignment.pairwize": 0.9})
    with pytest.raises(
        ValueError, match=r"^min_alignment.limits: the limit of 'quality\.mae' is nan; give a finite num"
    ):
        MinAlignment(card=tmp_path, limits={"quality.mae": float("nan")})


def test_a_critic_below_a_limit_stops_before_the_policy_is_loaded(prompts: Any, tmp_path: Path) -> None:  # noqa: F811
    class Judged(Brightness):
        critic = local(saved(tmp_path / "critic"))
        checked = False

        def check(self) -> None:
            Judged.checked = True

    card = write(tmp_path, Judged.critic)
    rl: DiffusionRL = module(prompts, reward=Judged(), min_alignment=MinAlignment(card, {"alignment.mae": 0.3}))
    message = (
        f"{card}: the critic may not teach: alignment.mae is 0.31, the limit is at most 0.3. Teach with a better "
        "critic (and its card), or change min_alignment.limits"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(rl, tmp_path, 1)
    assert rl.policy.passes == [] and rl.policy.sets is None and not Judged.checked
    good = module(prompts, reward=Judged(), min_alignment=MinAlignment(card, {"alignment.mae": 0.31}))
    fit(good, tmp_path, 1)
    assert good.policy.sets is not None and Judged.checked
