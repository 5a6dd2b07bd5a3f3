"""A scoring request as it is sent to a server that speaks the OpenAI chat protocol."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from firm_lightning.critics.chat import turn_content
from firm_lightning.types import ScoringRequest

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFormat = Literal["png", "jpeg"]

TOP_LOGPROBS = 20
"""Candidates asked for at each token: the most that the protocol allows."""
JPEG_QUALITY = 95
PNG_LEVEL = 1
"""Fast: a picture crosses a local network sooner than it is squeezed."""
PROBE = "Answer with one word: are you there?"
PROBE_TOKENS = 16
_CONTROL_TOKEN = re.compile(r"<\|([^|<>\s]{1,40})\|>")


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """The body of a request, and the name of its answer in the cache: SHA-256 of that body."""

    body: bytes
    key: str


class QuestionWriter:
    """Writes requests: the same pictures, order and question as ``Chat`` gives to a model in this process.

    Decoding is greedy at temperature 0, and there are no penalties. Control tokens that are spelled out in a question
    are broken up (``<| im_end |>``): a server would take them for real ones, and a prompt could end the user's turn.

    Args:
        model: Name under which the servers know the critic.
        max_new_tokens: Longest answer, in tokens.
        expected_score: Also ask for the candidates at each token.
        image_format: Encoding of the pictures; ``png`` loses nothing.
        max_side_px: Larger pictures are shrunk to this longest side; None sends them as they are.
        temperature: 0 for the likeliest answer, more to draw one.
    """

    def __init__(
        self,
        *,
        model: str,
        max_new_tokens: int,
        expected_score: bool,
        image_format: ImageFormat,
        max_side_px: int | None,
        temperature: float = 0,
    ) -> None:
        self.image_format = image_format
        self.max_side_px = max_side_px
        # frequency_penalty 0 makes ``transformers serve`` set the repetition penalty to 1, as the local critic does.
        self._settings: dict[str, Any] = {
            "model": model,
            "max_tokens": max_new_tokens,
            "temperature": temperature or 0,  # not 0.0: the key of an answer follows from the letters
            "frequency_penalty": 0,
            "stream": False,
        }
        if expected_score:
            self._settings |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}

    def write(self, request: ScoringRequest) -> HttpQuestion:
        """One request; raises as ``compose`` does."""
        return self.compose(request.question, request.images, f"request '{request.id}'")

    def compose(self, question: str, images: Sequence[Image], name: str) -> HttpQuestion:
        """A question about pictures, or about none; ``name`` is what an error calls it.

        Raises:
            ValueError: The question has another number of ``<image>`` marks than there are pictures.
        """
        content = [self._part(part) for part in turn_content(question, images, name)]
        return self._written(content, self._settings)

    def probe(self) -> HttpQuestion:
        """A few words without a picture, to see whether a server answers at all."""
        return self._written([{"type": "text", "text": PROBE}], {**self._settings, "max_tokens": PROBE_TOKENS})

    def _written(self, content: list[dict[str, Any]], settings: dict[str, Any]) -> HttpQuestion:
        whole = {**settings, "messages": [{"role": "user", "content": content}]}
        body = json.dumps(whole, separators=(",", ":")).encode()
        return HttpQuestion(body, hashlib.sha256(body).hexdigest())

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] == "text":
            return {"type": "text", "text": _CONTROL_TOKEN.sub(r"<| \1 |>", part["text"])}
        return {"type": "image_url", "image_url": {"url": self.data_url(part["image"])}}

    def data_url(self, picture: Image) -> str:
        """One picture as text."""
        if picture.mode != "RGB":
            picture = picture.convert("RGB")
        if self.max_side_px is not None and max(picture.size) > self.max_side_px:
            scale = self.max_side_px / max(picture.size)
            width, height = (max(1, round(side * scale)) for side in picture.size)
            picture = picture.resize((width, height), resample=3)  # bicubic, as the processors of critics do
        file = io.BytesIO()
        if self.image_format == "png":
            picture.save(file, format="PNG", compress_level=PNG_LEVEL)
        else:
            picture.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
        return f"data:image/{self.image_format};base64,{base64.b64encode(file.getvalue()).decode()}"
