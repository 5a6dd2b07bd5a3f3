"""The truth about drawn pictures: worked cases, damaged pictures, and the reward made of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.testing import assert_close

from firm_lightning.policy_protocols import PictureReward, Truth
from firm_lightning.rewards.formulas import cme
from firm_lightning.rewards.reward_formulas import Cme, Qma, SingleScore
from firm_lightning.scenes.corrupt import GENERATION_FAULTS, carry_out, corrupt
from firm_lightning.scenes.degrade import Degradation
from firm_lightning.scenes.draw import draw
from firm_lightning.scenes.edits import Edit, Instruction, random_instruction
from firm_lightning.scenes.graph import DEMO_WORLD, FULL_WORLD, Scene, Thing, pick
from firm_lightning.scenes.plain_json import instruction_to_json, request_to_json, scene_to_json
from firm_lightning.scenes.prompts import CATEGORIES, Request, Subject, fulfil, random_request
from firm_lightning.scenes.truth import SceneTruth, TruthReward, read_question
from firm_lightning.types import Prompt, Rollout

RED_LEFT_OF_BLUE = Request("position", (Subject("circle", colour="red"), Subject("square", colour="blue")), "left of")
RIGHT = Scene((Thing("circle", "red", 3), Thing("square", "blue", 5)))
SOURCE = Scene((Thing("circle", "red", 0), Thing("square", "blue", 4), Thing("triangle", "green", 8)))
RECOLOUR = Instruction((Edit("recolour", old=Thing("circle", "red", 0), new=Thing("circle", "yellow", 0)),))


def asking(request: Request, id: str = "p") -> Prompt:
    return Prompt(id, "words", extra={"scenes": {"request": request_to_json(request)}}, origin=f"{id}.jsonl:1")


def telling(source: Scene, instruction: Instruction, id: str = "p") -> Prompt:
    scenes = {"source": scene_to_json(source), "instruction": instruction_to_json(instruction)}
    return Prompt(id, "words", extra={"scenes": scenes}, origin=f"{id}.jsonl:1")


def measure(prompt: Prompt, picture: Scene | Image.Image) -> dict[str, float]:
    drawn = draw(picture) if isinstance(picture, Scene) else picture
    return {name: values[0] for name, values in SceneTruth().measure([prompt], [drawn]).items()}


@pytest.mark.parametrize(
    ("scene", "met", "score", "exact"),
    [
        (RIGHT, 1.0, 1.0, 1.0),
        # Presence, count and colour of two subjects, and the relation: 7 requirements.
        (Scene((Thing("circle", "red", 5), Thing("square", "blue", 3))), 6 / 7, 0.75, 0.0),
        (Scene((Thing("circle", "blue", 3), Thing("square", "red", 5))), 5 / 7, 0.5, 0.0),
        (Scene((Thing("circle", "red", 3),)), 3 / 7, 0.5, 0.0),
        (Scene((Thing("triangle", "red", 3),)), 0.0, 0.0, 0.0),
        (Scene(()), 0.0, 0.0, 0.0),
    ],
)
def test_pictures_for_a_text(scene: Scene, met: float, score: float, exact: float) -> None:
    expected = {"alignment_01": met, "alignment_score": score, "exact": exact, "leftover_01": 0.0}
    assert measure(asking(RED_LEFT_OF_BLUE), scene) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("edited", "execution", "consistency", "copy"),
    [
        (SOURCE, 0.0, 1.0, 1.0),
        (RECOLOUR.apply(SOURCE), 1.0, 1.0, 0.0),
        (RECOLOUR.apply(SOURCE).without(8), 1.0, 0.75, 0.0),
        # Nothing of the rest is left, over another background.
        (Scene((Thing("circle", "yellow", 0),), "black"), 1.0, 0.0, 0.0),
        # Both shape and colour are wrong at the place: barely; and the shape is a change that nobody asked for.
        (SOURCE.put(Thing("cross", "purple", 0)), 0.25, 0.75, 0.0),
    ],
)
def test_edited_pictures(edited: Scene, execution: float, consistency: float, copy: float) -> None:
    expected = {
        "execution_01": execution,
        "consistency_01": consistency,
        "cme": execution * (0.6 + 0.4 * consistency),
        "copy": copy,
        "leftover_01": 0.0,
    }
    assert measure(telling(SOURCE, RECOLOUR), edited) == pytest.approx(expected, abs=1e-12)


def test_the_reward_of_edits_is_that_of_the_formula() -> None:
    grid = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    rng = np.random.default_rng(1)
    for _ in range(20):
        source = DEMO_WORLD.random_scene(rng)
        instruction = random_instruction(rng, DEMO_WORLD, source, edits=2)
        edited = carry_out(rng, DEMO_WORLD, source, instruction, botched=1, unasked=1)
        found = measure(telling(source, instruction), edited)
        execution, consistency = torch.tensor([found["execution_01"]]), torch.tensor([found["consistency_01"]])
        assert execution in grid
        assert float(cme(execution, consistency)) == pytest.approx(found["cme"], abs=1e-6)


def test_what_is_no_clean_thing_is_a_leftover_and_no_thing() -> None:
    picture = draw(RIGHT)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((2, 2, 5, 5), fill=(38, 84, 220))  # a crumb
    pen.rectangle((45, 45, 60, 60), fill=(0, 200, 200))  # of no known colour
    found = measure(asking(RED_LEFT_OF_BLUE), picture)
    assert found == {"alignment_01": 1.0, "alignment_score": 1.0, "exact": 1.0, "leftover_01": 0.5}
    assert measure(telling(RIGHT, RECOLOUR), picture)["copy"] == 1.0
    small = Scene((Thing("circle", "red", 3, "small"), Thing("square", "blue", 5)))
    of_the_full_world = SceneTruth().measure([asking(RED_LEFT_OF_BLUE)], [draw(small)])
    of_the_demo_world = SceneTruth(world=DEMO_WORLD).measure([asking(RED_LEFT_OF_BLUE)], [draw(small)])
    assert (of_the_full_world["exact"], of_the_full_world["leftover_01"]) == ([1.0], [0.0])
    assert (of_the_demo_world["exact"], of_the_demo_world["leftover_01"]) == ([0.0], [0.5])


def softened(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """As a small autoencoder decodes: a little blur and grain."""
    return Degradation(blur=1, noise=1).apply(draw(scene), rng)


SPOILT: dict[str, Callable[[Scene, np.random.Generator], Image.Image]] = {
    **{
        kind: lambda scene, rng, kind=kind: Degradation(**{kind: 1}).apply(draw(scene), rng)
        for kind in ("blur", "noise", "washed", "ragged")
    },
    "blur and noise": softened,
}


@pytest.mark.parametrize("kind", SPOILT)
def test_slightly_spoilt_pictures_keep_their_truth(kind: str) -> None:
    """Level 1 of each degradation, on pictures that are right and on pictures that are not."""
    rng = np.random.default_rng(3)
    off: list[float] = []
    for number in range(120):
        request = random_request(rng, DEMO_WORLD, pick(rng, tuple(CATEGORIES)))
        scene = fulfil(rng, DEMO_WORLD, request)
        if number % 2:
            scene = corrupt(rng, DEMO_WORLD, scene, GENERATION_FAULTS, 2)
        clean, spoilt = measure(asking(request), scene), measure(asking(request), SPOILT[kind](scene, rng))
        off.append(abs(clean["alignment_01"] - spoilt["alignment_01"]) + spoilt["leftover_01"])
    if kind != "ragged":
        assert off == [0.0] * 120
    # Torn rims alone turn a few small outlines into others.
    assert np.mean([one == 0 for one in off]) >= 0.93
    assert np.mean(off) < 0.05


def test_a_torn_picture_shows_in_the_leftovers() -> None:
    rng = np.random.default_rng(3)
    torn = [Degradation(ragged=4).apply(draw(SOURCE), rng) for _ in range(10)]
    found = SceneTruth().measure([telling(SOURCE, RECOLOUR)] * 10, torn)
    assert np.mean(found["leftover_01"]) > 0.1
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert measure(telling(SOURCE, RECOLOUR), noise)["leftover_01"] > 0.9


def test_truth_as_a_reward() -> None:
    def rollouts(prompt: Prompt, pictures: list[Image.Image]) -> list[Rollout]:
        return [Rollout(prompt, seed, torch.zeros(1), picture) for seed, picture in enumerate(pictures)]

    reward = TruthReward(formula=Cme())
    assert isinstance(reward, PictureReward)
    edits = rollouts(telling(SOURCE, RECOLOUR), [draw(scene) for scene in (SOURCE, RECOLOUR.apply(SOURCE).without(8))])
    rewards = reward.reward(edits)
    assert_close(rewards.reward_01, torch.tensor([0.0, 0.9]), rtol=0, atol=1e-6)
    assert rewards.readable.tolist() == [True, True]
    assert {task: score.tolist() for task, score in rewards.scores_01.items()} == {
        "execution": [0.0, 1.0],
        "consistency": [1.0, 0.75],
    }
    crumbed = draw(RIGHT)
    ImageDraw.Draw(crumbed).rectangle((45, 45, 60, 60), fill=(0, 200, 200))  # one part of three
    rewards = TruthReward(formula=Qma()).reward(rollouts(asking(RED_LEFT_OF_BLUE), [draw(RIGHT), crumbed]))
    assert_close(rewards.reward_01, torch.tensor([1.0, 0.4 + 0.6 * 2 / 3]), rtol=0, atol=1e-6)
    with pytest.raises(ValueError) as caught:
        TruthReward(formula=SingleScore(task="alignment")).reward(edits)
    assert str(caught.value) == "p.jsonl:1: the formula needs 'alignment', which a picture for an edit does not have"


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "found nothing"),
    ({"scenes": "x"}, "found 'x'"),
    ({"scenes": {"request": {}, "source": {}}}, "found request, source"),
]


@pytest.mark.parametrize(("extra", "found"), BAD)
def test_prompts_from_elsewhere_have_no_truth(extra: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_question(Prompt("7", "a cat", extra=extra, origin="p.jsonl:7"))
    assert str(caught.value) == (
        f"p.jsonl:7: 'scenes' must hold 'request', or 'source' and 'instruction', {found}; "
        "the truth is known of prompts from the command `scenes` only"
    )


def test_errors_say_where() -> None:
    broken = replace(asking(RED_LEFT_OF_BLUE), extra={"scenes": {"request": {"category": "colors"}}}, origin="")
    with pytest.raises(ValueError, match="^prompt 'p': scenes.request.subjects: is missing$"):
        read_question(broken)
    truth = SceneTruth()
    assert isinstance(truth, Truth)
    with pytest.raises(ValueError, match="^prompts of texts and of edits in one call: they are measured by different"):
        truth.measure([asking(RED_LEFT_OF_BLUE), telling(SOURCE, RECOLOUR)], [draw(RIGHT), draw(SOURCE)])
    assert truth.measure([], []) == {}
    assert not math.isnan(sum(measure(asking(RED_LEFT_OF_BLUE), Image.new("RGB", (64, 64))).values()))


def test_a_config_makes_truth_and_reward() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--truth", type=Truth | None, default=None)
    parser.add_argument("--reward", type=PictureReward)
    formula = {"class_path": "firm_lightning.rewards.reward_formulas.Cme"}
    settings = {"formula": formula, "world": {"shapes": ["circle"], "sizes": ["large"]}}
    config = {
        "truth": {"class_path": "firm_lightning.scenes.truth.SceneTruth"},
        "reward": {"class_path": "firm_lightning.scenes.truth.TruthReward", "init_args": settings},
    }
    made = parser.instantiate_classes(parser.parse_object(config))
    assert made.truth.world == FULL_WORLD
    assert made.reward.formula == Cme()
    assert made.reward.truth.world == replace(FULL_WORLD, shapes=("circle",), sizes=("large",))
