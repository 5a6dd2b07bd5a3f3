"""An annotator in this process: batched greedy generation with a transformers model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from firm_lightning.critics.start import Start
from firm_lightning.types import Answer, Call, Refused

MYPY = False  # true to mypy; under TYPE_CHECKING, jsonargparse would import all this to check a config
if MYPY:
    from transformers import PreTrainedModel

    from firm_lightning.critics.chat import Chat, EncodedChat

CHARACTERS_PER_TOKEN = 4
"""About as many in English; it only has to put questions in order."""
PIXELS_PER_TOKEN = 32 * 32
"""One token of Qwen3-VL shows so many; it only has to put pictures in order."""


class LocalAnnotator:
    """A vision-language model of transformers that answers the questions of curation.

    Questions of about the same length are answered together, the longest first: if memory does not suffice, that is
    seen at once. Questions about pictures and about words alone are kept apart. A call that the model cannot take (a
    picture of an odd shape, too long a question) is set aside and the others go on.

    Args:
        start: Where weights and processor come from; loaded at the first question.
        name: What the annotator is called in the journal and in the provenance of records. Give other weights another
            name: a resumed run asks nothing again that this name has answered.
        max_new_tokens: Longest answer, in tokens; a longer one is cut.
        max_tokens: Longest question with its pictures, in tokens; a longer one is set aside. null takes any.
        batch_size: Questions that are answered together.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        threads: CPU threads of this process; null: all cores. Runs side by side are faster on one each.

    Raises:
        ValueError: A limit is below 1, or the name is empty.
    """

    def __init__(
        self,
        *,
        start: Start,
        name: str,
        max_new_tokens: int = 1024,
        max_tokens: int | None = None,
        batch_size: int = 16,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        for limit, value in (
            ("max_new_tokens", max_new_tokens),
            ("max_tokens", max_tokens),
            ("batch_size", batch_size),
            ("threads", threads),
        ):
            if value is not None and value < 1:
                raise ValueError(f"{limit} {value} must be at least 1")
        if not name.strip():
            raise ValueError("name is empty; say what the annotator is called")
        self.start = start
        self.name = name
        self.max_new_tokens = max_new_tokens
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.device = device
        self.threads = threads
        self._loaded: tuple[PreTrainedModel, Chat] | None = None

    def answer(self, calls: Sequence[Call], finished: Callable[[int, Answer | Refused], None]) -> None:
        """Answer every call; ``finished(place, answer)`` is called for all of a batch when that is done."""
        if not calls:
            return
        import torch

        from firm_lightning.critics.generation import generate

        if self._loaded is None:
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            model, chat = self.start.load()
            self._loaded = model.to(self.device), chat  # type: ignore[arg-type]
        model, chat = self._loaded
        for batch in batches(calls, self.batch_size):
            places, encoded = self._encoded(chat, calls, batch, finished)
            if encoded is None:
                continue
            generated = generate(model, chat, encoded, max_new_tokens=self.max_new_tokens)
            for place, each in zip(places, generated, strict=True):
                finished(place, Answer(each.text, each.is_cut, each.tokens_in, each.tokens_out))

    def _encoded(
        self, chat: Chat, calls: Sequence[Call], places: list[int], finished: Callable[[int, Answer | Refused], None]
    ) -> tuple[list[int], EncodedChat | None]:
        """One batch, without what cannot be encoded (which is finished at once), and whose it is."""
        try:
            return places, self._encode(chat, [calls[place] for place in places])
        except ValueError:
            kept = []  # one of them, at least: each is tried alone
        for place in places:
            try:
                self._encode(chat, [calls[place]])
            except ValueError as error:
                finished(place, Refused(f"cannot be asked: {error}"))
            else:
                kept.append(place)
        return kept, self._encode(chat, [calls[place] for place in kept]) if kept else None

    def _encode(self, chat: Chat, calls: Sequence[Call]) -> EncodedChat:
        return chat.encode(
            [call.images for call in calls],
            [call.question for call in calls],
            names=["this call"] * len(calls),
            max_tokens=self.max_tokens,
        )


def batches(calls: Sequence[Call], batch_size: int) -> Iterator[list[int]]:
    """Places of calls that are answered together: with or without pictures, of about one length, the longest first."""
    for has_pictures in (True, False):
        places = [place for place, call in enumerate(calls) if bool(call.images) is has_pictures]
        places.sort(key=lambda place: -_length(calls[place]))
        for first in range(0, len(places), batch_size):
            yield places[first : first + batch_size]


def _length(call: Call) -> float:
    """Tokens of a question with its pictures, roughly."""
    pixels = sum(image.width * image.height for image in call.images)
    return pixels / PIXELS_PER_TOKEN + len(call.question) / CHARACTERS_PER_TOKEN
