"""What the demo's own configs leave for TensorBoard: shortened here, and whole where the demo has run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from firm_lightning.cli import main
from firm_lightning.types import ScoringRequest, Unreadable, Verdict
from tests.report.html_page import Page

ROOT = Path(__file__).parents[2]
SCENES = ROOT / "checkpoints" / "scenes"
DEMO = ROOT / "checkpoints" / "demo" / "index.html"
QUICK = ["--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1"]
TRAINING = {"train/loss", "train/learning_rate", "train/gradient_norm", "throughput/samples_per_s"}
CRITIC = TRAINING | {"throughput/tokens_per_s", "throughput/images_per_s", "memory/resident_mib"}
CRITIC |= {f"test/{task}/{name}" for task in ("alignment", "quality") for name in ("n", "unreadable_rate")}
CONFUSIONS = {"test/alignment/confusion", "test/quality/confusion"}
ROUNDS = {"round/reward", "round/reward_spread", "round/group_spread", "round/usable_share", "train/deviation"}
ROUNDS |= {"round/critic/alignment", "round/critic/quality", "round/truth/alignment_01", "round/unreadable_share"}
ROUNDS |= {"watch/blank_share", "watch/saturated_share", "test/critic/reward", "test/truth/alignment_01"}
TIMES = {"time/sampling_s", "time/waiting_for_critic_s", "time/scoring_s", "time/learning_s"}
TIMES |= {f"time/{name}_share" for name in ("sampling", "scoring", "learning")}
RL = TRAINING | ROUNDS | TIMES | {"throughput/images_per_s", "memory/resident_mib"}
SHEETS = {"round/pictures", "val/pictures", "test/pictures"}
TEXTS = {"round/prompts/text_summary", "val/prompts/text_summary", "test/prompts/text_summary"}


class BrightnessCritic:
    """Gives scores that follow from pixels and question, all five of them."""

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """A score from 1 to 5 for each."""
        return [self._verdict(request) for request in requests]

    def _verdict(self, request: ScoringRequest) -> Verdict:
        pixels = request.images[0].convert("L").tobytes()
        score = 1 + (sum(pixels) + len(request.question)) % 5
        return Verdict(score, "as bright as that", f"as bright as that \\boxed{{{score}}}")


def held(folder: Path) -> tuple[set[str], set[str], set[str]]:
    """Names of scalars, pictures and texts."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 1, "images": 1, "tensors": 1})
    found.Reload()
    tags = found.Tags()
    return set(tags["scalars"]), set(tags["images"]), set(tags["tensors"])


def check(checkpoints: Path) -> None:
    """Critic and policy hold every name, their settings for the tab HPARAMS among them."""
    scalars, images, _ = held(checkpoints / "critic_gen")
    assert CRITIC - scalars == set() and CONFUSIONS - images == set()
    scalars, images, texts = held(checkpoints / "rl_gen")
    assert RL - scalars == set() and SHEETS - images == set() and TEXTS - texts == set()


@pytest.mark.slow
def test_the_demo_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of the critic of generation, and two small rounds with a critic of brightness."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "scenes").symlink_to(SCENES)
    counts = "{train: {alignment: 24, quality: 8}, test: {alignment: 2, quality: 2}}"
    main(["scenes", "--config", str(ROOT / "conf/scenes/demo_gen_data.yaml"), "--counts", counts])
    critic = ["--config", str(ROOT / "conf/scenes/critic_gen.yaml"), *QUICK, "--model.init_args.max_new_tokens", "4"]
    main(["fit", *critic])
    main(["test", *critic, "--ckpt_path", "last"])
    prompts = ["--prompts", "{train: 8, test: 3}"]
    main(["scenes", "--config", str(ROOT / "conf/scenes/policy_gen_prompts.yaml"), *prompts])
    small = ["--model.init_args.prompts_per_round", "2", "--model.init_args.pictures_per_prompt", "4"]
    small += ["--model.init_args.batch_size", "8", "--trainer.max_epochs", "2"]
    small += ["--trainer.check_val_every_n_epoch", "1"]
    critic_class = f"{__name__}.{BrightnessCritic.__name__}"
    small += ["--model.init_args.reward.init_args.critic", critic_class]
    policy = ["--config", str(ROOT / "conf/scenes/rl_gen.yaml"), *QUICK, *small]
    main(["fit", *policy])
    main(["test", *policy, "--ckpt_path", "last"])
    check(tmp_path / "checkpoints")
    main(["report", "--run", "checkpoints/rl_gen"])
    page = Page(Path("checkpoints/rl_gen/report/index.html").read_text(encoding="utf-8"))
    assert "python train.py fit --config" in page.text and "Shares of the time of a round" in page.text


@pytest.mark.skipif(not DEMO.exists(), reason="the demo has not run here")
def test_the_demo_that_ran_here() -> None:
    check(ROOT / "checkpoints")
