"""Greedy generation and what is read out of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from firm_lightning.critics.chat import Chat
from firm_lightning.critics.generation import ScoreLogits, end_token_ids, evaluation_mode, generate_verdicts
from firm_lightning.critics.local import LocalCritic
from firm_lightning.protocols import Critic
from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import ScoringRequest, Unreadable, Verdict
from tests.critics.small_start import SmallStart, picture


def request(number: int, images: int = 1, question: str = "Score it.") -> ScoringRequest:
    """A request of its own for each number."""
    pictures = tuple(picture(10 * number + place) for place in range(images))
    return ScoringRequest(f"r{number}", "alignment", pictures, question)


class Scripted:
    """Stands for a loaded model: writes the texts it is given, with logits of its own at each step.

    Args:
        chat: The tokenizer.
        texts: What to answer, one for each row.
        ends: Whether the end token follows.
    """

    def __init__(self, chat: Chat, texts: list[str], *, ends: bool = True) -> None:
        self.model, _ = SmallStart().load()
        self.device, self.generation_config = self.model.device, self.model.generation_config
        end = [chat.tokenizer.eos_token_id] if ends else []
        self.ids = [chat.tokenizer(text)["input_ids"] + end for text in texts]
        self.pad = chat.tokenizer.pad_token_id
        self.calls: list[dict[str, Any]] = []
        self.logits: list[torch.Tensor] = []

    def modules(self) -> list[torch.nn.Module]:
        """Nothing to switch."""
        return []

    def eval(self) -> None:
        """Nothing to switch."""

    def generate(self, *, logits_processor: Any, input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        """The prompt with the scripted answers behind it."""
        self.calls.append(options)
        length = max(map(len, self.ids))
        rows_BL = torch.tensor([ids + [self.pad] * (length - len(ids)) for ids in self.ids])
        for step in range(length):
            logits_BV = torch.randn(len(self.ids), 360, generator=torch.Generator().manual_seed(step))
            logits_BV.scatter_(1, rows_BL[:, step, None], 8.0)
            self.logits.append(logits_BV)
            for processor in logits_processor or []:
                assert processor(input_ids, logits_BV) is logits_BV
        return torch.cat([input_ids, rows_BL], dim=1)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return SmallStart().load()[1]


class Talkative(SmallStart):
    """Weights so large that every question gets another answer; a fresh model only repeats the last token."""

    def load(self) -> Any:
        """The model with another head than its embeddings."""
        model, chat = super().load()
        generator = torch.Generator().manual_seed(self.seed)
        model.lm_head.weight = torch.nn.Parameter(torch.randn(model.lm_head.weight.shape, generator=generator))
        with torch.no_grad():
            for layer in model.model.language_model.layers:
                for weight in layer.parameters():
                    weight.mul_(4 if weight.ndim == 2 else 1)
        return model, chat


def test_answers_come_in_the_order_of_the_requests_at_any_batch_size() -> None:
    """Left padding and batching change nothing, though the questions differ in length and pictures."""
    start = Talkative(seed=1)
    questions = ["Score it.", "Does the picture show a red circle? " * 3, "Judge.", "One two"] * 2
    requests = [request(n, images=n % 3, question=question) for n, question in enumerate(questions)]
    texts = [
        [verdict.text for verdict in LocalCritic(start=start, max_new_tokens=12, batch_size=size).judge(requests)]
        for size in (1, 3, 8)
    ]
    assert texts[0] == texts[1] == texts[2]
    assert len(set(texts[0])) > 4, "the answers must differ for their order to be seen"


def test_no_requests_need_no_model() -> None:
    class Never:
        def load(self) -> Any:
            raise AssertionError("loaded")

    critic = LocalCritic(start=Never())
    assert isinstance(critic, Critic)
    assert critic.judge([]) == []


@pytest.mark.parametrize("name", ["max_new_tokens", "batch_size"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} 0 must be at least 1$"):
        LocalCritic(start=SmallStart(), **{name: 0})


def test_model_is_loaded_once() -> None:
    loads = []

    class Counted(SmallStart):
        def load(self) -> Any:
            loads.append(1)
            return super().load()

    critic = LocalCritic(start=Counted(), max_new_tokens=2)
    first, second = critic.judge([request(0)]), critic.judge([request(0)])
    assert (len(loads), first) == (1, second)


def test_scripted_answers_become_verdicts(chat: Chat) -> None:
    texts = ['{"reasoning": "red", "score": [4]}', "no idea", "blue\n\\boxed{2}"]
    model = Scripted(chat, texts)
    verdicts = generate_verdicts(model, chat, [request(n) for n in range(3)], max_new_tokens=77)
    assert verdicts == [Verdict(4, "red", texts[0]), read_verdict("no idea"), Verdict(2, "blue", texts[2])]
    assert isinstance(verdicts[1], Unreadable)
    wanted = {"max_new_tokens": 77, "do_sample": False, "repetition_penalty": 1.0, "use_cache": True}
    assert wanted.items() <= model.calls[0].items()


def test_an_answer_cut_at_the_limit_says_so(chat: Chat) -> None:
    model = Scripted(chat, ['{"reasoning": "the circle', "the score is 3"], ends=False)
    cut, whole = generate_verdicts(model, chat, [request(0), request(1)], max_new_tokens=9)
    assert cut == Unreadable('{"reasoning": "the circle', "answer ends before its score (cut at 9 tokens)")
    assert isinstance(whole, Verdict)
    assert whole.score_1to5 == 3


def test_a_real_model_stops_at_the_limit() -> None:
    (verdict,) = LocalCritic(start=SmallStart(), max_new_tokens=5).judge([request(0)])
    assert isinstance(verdict, Unreadable)
    assert verdict.why.endswith("(cut at 5 tokens)")


def test_expected_score_is_the_softmax_at_the_last_token_of_the_score(chat: Chat) -> None:
    """By hand: the full softmax of the step that wrote the score, summed over the tokens of each score."""
    texts = ["1 of 4 items\n\\boxed{4}", "two\n\\boxed{2}", "nothing"]
    model = Scripted(chat, texts)
    verdicts = generate_verdicts(model, chat, [request(n) for n in range(3)], max_new_tokens=50, expected_score=True)
    for row, score in ((0, 4), (1, 2)):
        tokens = [chat.tokenizer.decode([token]) for token in model.ids[row]]
        step = max(place for place, text in enumerate(tokens) if text.strip() == str(score))
        weights = model.logits[step][row].double().exp()
        masses = {s: float(weights[chat.score_token_ids(s)].sum() / weights.sum()) for s in range(1, 6)}
        assert sum(masses.values()) > 0.5
        mean = sum(s * mass for s, mass in masses.items()) / sum(masses.values())
        verdict = verdicts[row]
        assert isinstance(verdict, Verdict) and verdict.expected_score_1to5 is not None
        assert verdict.score_1to5 == score
        assert math.isclose(verdict.expected_score_1to5, mean, rel_tol=1e-6)
    assert isinstance(verdicts[2], Unreadable)


def test_expected_score_of_a_real_model_comes_from_its_own_logits(chat: Chat) -> None:
    """The watcher sees what ``output_logits`` returns."""
    model, _ = SmallStart(seed=2).load()
    inputs = chat.encode([[picture(0)]], ["Score it."]).inputs
    watch = ScoreLogits(chat)
    output = model.generate(
        **inputs, max_new_tokens=4, do_sample=False, logits_processor=[watch],
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    for step, logits_BV in enumerate(output.logits):
        weights = logits_BV[0].double().exp()
        mass = sum(float(weights[chat.score_token_ids(score)].sum() / weights.sum()) for score in range(1, 6))
        kept = watch._steps[step][0].double().exp()
        assert math.isclose(float(kept[:-1].sum() / kept.sum()), mass, rel_tol=1e-5)


def test_no_expected_score_where_the_score_is_a_word(chat: Chat) -> None:
    model = Scripted(chat, ["Score: four"])
    (verdict,) = generate_verdicts(model, chat, [request(0)], max_new_tokens=50, expected_score=True)
    assert isinstance(verdict, Verdict)
    assert (verdict.score_1to5, verdict.expected_score_1to5) == (4, None)


def test_every_end_token_of_the_model_ends_an_answer(chat: Chat) -> None:
    model, _ = SmallStart().load()
    taught, other = chat.tokenizer.eos_token_id, chat.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    for named, ends in ((None, [taught]), (other, [taught, other]), ([taught, other], [taught, other])):
        model.generation_config.eos_token_id = named
        assert end_token_ids(model, chat) == ends


def test_evaluation_mode_is_given_back_part_by_part() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    model.train()
    model[1].eval()
    with pytest.raises(KeyError), evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in (model, model[0], model[1])] == [True, True, False]


def test_a_request_that_cannot_be_encoded_is_named() -> None:
    with pytest.raises(ValueError, match="^request 'r0': the question has 2 <image> marks for 1 pictures; "):
        LocalCritic(start=SmallStart()).judge([request(0, question="<image> <image>")])
