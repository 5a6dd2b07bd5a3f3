"""Questions, pictures and answers -> tensors."""

from __future__ import annotations

import re

import pytest
import torch

from firm_lightning.critics.chat import NOT_LEARNT, Chat
from tests.critics.small_start import SmallStart, picture

PICTURE = "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>"


@pytest.fixture(scope="module")
def chat() -> Chat:
    return SmallStart().load()[1]


def shown(chat: Chat, question: str, images: int, answer: str = "5") -> str:
    """One encoded sample as text with its label mask."""
    return chat.show_mask(chat.encode([[picture(n) for n in range(images)]], [question], [answer]))


def test_only_the_answer_and_its_end_are_learnt(chat: Chat) -> None:
    assert shown(chat, "Score it.", 1, "red\n\\boxed{5}") == (
        f"<|im_start|>user\n{PICTURE}Score it.<|im_end|>\n<|im_start|>assistant\n[[red\n\\boxed{{5}}<|im_end|>]]"
    )


@pytest.mark.parametrize(
    ("question", "images", "turn"),
    [
        ("Judge the edit.", 2, f"{PICTURE}{PICTURE}Judge the edit."),
        ("Judge the edit.", 0, "Judge the edit."),
        ("<image>\nJudge it.", 1, f"{PICTURE}\nJudge it."),
        ("Before: <image>, after: <image>. Judge.", 2, f"Before: {PICTURE}, after: {PICTURE}. Judge."),
    ],
)
def test_pictures_stand_at_their_marks_or_in_front(chat: Chat, question: str, images: int, turn: str) -> None:
    wanted = f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n[[5<|im_end|>]]"
    assert shown(chat, question, images) == wanted


@pytest.mark.parametrize(("marks", "images"), [(1, 2), (2, 1), (1, 0)])
def test_marks_that_do_not_fit_the_pictures_are_an_error(chat: Chat, marks: int, images: int) -> None:
    message = (
        f"record 'a7' (set.jsonl:3): the question has {marks} <image> marks for {images} pictures; "
        "write <image> once for each picture, or not at all"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        chat.encode([[picture(0)] * images], ["<image>" * marks], names=["record 'a7' (set.jsonl:3)"])


def test_pictures_go_to_their_marks_in_order(chat: Chat) -> None:
    both = chat.encode([[picture(1), picture(2)]], ["<image> then <image>"]).inputs
    first, second = (chat.encode([[picture(n)]], [""]).inputs["pixel_values"] for n in (1, 2))
    assert torch.equal(both["pixel_values"], torch.cat([first, second]))


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|image_pad|>", "<|vision_start|>", "<|endoftext|>"])
def test_control_tokens_in_a_question_are_plain_text(chat: Chat, token: str) -> None:
    """Otherwise a prompt could end the user's turn and put words into the critic's mouth."""
    clean, dirty = (chat.encode([[picture(0)]], [f"Score {text}it."], ["5"]) for text in ("", f"{token} "))
    special = torch.tensor(chat.tokenizer.convert_tokens_to_ids(chat.tokenizer.all_special_tokens))
    counts = [torch.isin(encoded.inputs["input_ids"], special).sum() for encoded in (clean, dirty)]
    assert counts[0] == counts[1]
    assert f"{PICTURE}Score {token} it.<|im_end|>" in chat.show_mask(dirty)


def test_control_tokens_in_an_answer_are_plain_text(chat: Chat) -> None:
    encoded = chat.encode([[]], ["Score."], ["red<|im_end|>5"])
    assert encoded.labels_BL.eq(chat.tokenizer.eos_token_id).sum() == 1
    assert chat.show_mask(encoded).endswith("[[red<|im_end|>5<|im_end|>]]")


def test_batch_of_0_1_and_2_pictures_equals_its_samples(chat: Chat) -> None:
    """Left-padded rows hold what each sample holds alone, and the model gives the same logits."""
    model, _ = SmallStart().load()
    images = [[], [picture(0)], [picture(1), picture(2)]]
    questions = ["One.", "Does the picture show a red circle?", "Judge the edit."]
    answers = ["5", "the circle is red", "2"]
    batch = chat.encode(images, questions, answers)
    logits_BLV = model(**batch.inputs).logits
    for row in range(3):
        alone = chat.encode([images[row]], [questions[row]], [answers[row]])
        length = alone.labels_BL.shape[1]
        for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
            assert torch.equal(batch.inputs[name][row, -length:], alone.inputs[name][0])
            if name != "input_ids":
                assert not batch.inputs[name][row, :-length].any()
        assert torch.equal(batch.labels_BL[row, -length:], alone.labels_BL[0])
        assert (batch.labels_BL[row, :-length] == NOT_LEARNT).all()
        torch.testing.assert_close(logits_BLV[row, -length:], model(**alone.inputs).logits[0], atol=2e-5, rtol=0)
    assert batch.inputs["image_grid_thw"].tolist() == [[1, 4, 4]] * 3


def test_prompt_is_that_of_the_stock_chat_template(chat: Chat) -> None:
    turns = [{"role": "user", "content": [{"type": "image", "image": picture(0)}, {"type": "text", "text": "\nA b?"}]}]
    stock = chat.processor.apply_chat_template(
        turns, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    ours = chat.encode([[picture(0)]], ["\nA b?"]).inputs
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"):
        assert torch.equal(ours[name], stock[name]), name


def test_training_sees_the_tokens_that_generation_saw_and_wrote(chat: Chat) -> None:
    model, _ = SmallStart(seed=3).load()
    images, questions = [[picture(0)], [picture(1), picture(2)]], ["Score it.", "Judge the edit from 1 to 5."]
    asked = chat.encode(images, questions).inputs
    answer_ids = chat.tokenizer("the circle is red\n\\boxed{5}")["input_ids"]
    end = chat.tokenizer.eos_token_id

    def force(step_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Makes the model write one and the same answer, through its own generation loop."""
        place = step_ids.shape[1] - asked["input_ids"].shape[1]
        forced = torch.full_like(scores, -torch.inf)
        forced[:, [*answer_ids, end][place]] = 0
        return forced

    written = model.generate(
        **asked, max_new_tokens=60, do_sample=False, eos_token_id=end, logits_processor=[force],
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    texts = chat.decode(written.sequences[:, asked["input_ids"].shape[1] :])
    assert texts == ["the circle is red\n\\boxed{5}"] * 2
    taught = chat.encode(images, questions, texts)
    assert torch.equal(taught.inputs["input_ids"], written.sequences)
    seen_BLV = model(**taught.inputs).logits[:, -len(written.logits) - 1 : -1]
    torch.testing.assert_close(seen_BLV, torch.stack(written.logits, dim=1), atol=2e-5, rtol=0)


def test_too_long_sample_is_refused_and_never_cut(chat: Chat) -> None:
    encoded = chat.encode([[picture(0)]], ["Score it."], ["the circle is red"])
    length, answer = encoded.labels_BL.shape[1], int((encoded.labels_BL != NOT_LEARNT).sum())
    chat.encode([[picture(0)]], ["Score it."], ["the circle is red"], max_tokens=length)
    message = (
        f"record 'r': {length} tokens (question and pictures {length - answer}, answer {answer}) are more than "
        f"max_tokens {length - 1}; raise max_tokens, lower max_pixels of the start, or leave the record out"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        chat.encode([[picture(0)]], ["Score it."], ["the circle is red"], names=["record 'r'"], max_tokens=length - 1)


def test_score_tokens_with_and_without_a_space(chat: Chat) -> None:
    """The toy tokenizer spells `` 5`` as one token where its corpus had it; all ids are distinct."""
    ids = {score: chat.score_token_ids(score) for score in range(1, 6)}
    for score, found in ids.items():
        assert {chat.tokenizer.decode([token]).strip() for token in found} == {str(score)}
    assert len({token for found in ids.values() for token in found}) == sum(len(found) for found in ids.values())
    assert len(ids[5]) == 2


def test_score_tokens_of_a_tokenizer_that_splits_the_space_off() -> None:
    """Qwen's tokenizer takes digits one by one and the space before them as a token of its own."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    qwen = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(qwen), behavior="isolated"), as_bytes])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(["4 5 score"], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    processor = type("Processor", (), {"tokenizer": tokenizer})()
    assert Chat(processor).score_token_ids(4) == [tokenizer.convert_tokens_to_ids("4")]


def test_batch_moves_as_a_whole(chat: Chat) -> None:
    encoded = chat.encode([[picture(0)]], ["Score it."], ["5"]).to("meta")
    assert {value.device.type for value in (*encoded.inputs.values(), encoded.labels_BL)} == {"meta"}
    assert len(encoded) == 1
