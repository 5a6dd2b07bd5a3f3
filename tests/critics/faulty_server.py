"""A server of the OpenAI chat protocol that fails as it is told, with a critic behind it that can be computed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from firm_lightning.rewards.reading import read_verdict
from firm_lightning.types import ScoringRequest, Unreadable, Verdict

MODEL = "critic"
Fault = Callable[[int], str | None]
"""Number of a chat request, from 0 -> what goes wrong; None: nothing."""


class PixelCritic:
    """Answers with a score that follows from the pixels and the words; every seventh or so without one."""

    def judge(self, requests: Sequence[ScoringRequest]) -> list[Verdict | Unreadable]:
        """The verdict on every request."""
        return [read_verdict(self.text(request.images, request.question)) for request in requests]

    def text(self, images: Sequence[Image.Image], question: str) -> str:
        """The answer."""
        seen = b"".join(repr(image.size).encode() + image.tobytes() for image in images) + question.encode()
        digest = hashlib.sha256(seen).digest()
        if digest[0] % 7 == 0:
            return f"I see {digest.hex()} and cannot decide."
        return json.dumps({"reasoning": f"seen {digest.hex()}", "score": [1 + digest[1] % 5]})


def decoded(content: Sequence[dict[str, Any]]) -> tuple[list[Image.Image], str]:
    """Pictures and words of a user's turn as they arrive."""
    images, words = [], ""
    for part in content:
        if part["type"] == "text":
            words += part["text"]
        else:
            data = base64.b64decode(part["image_url"]["url"].partition(";base64,")[2])
            images.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return images, words


class Server(ThreadingHTTPServer):
    """Counts what arrives.

    Attributes:
        bodies: Every chat request, parsed.
        headers: The headers of every request.
        most_at_once: Largest number of chat requests that were in work together.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fault: Fault, *, models: Sequence[str] = (MODEL,), delay_s: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.fault, self.models, self.delay_s = fault, list(models), delay_s
        self.critic = PixelCritic()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.extra: Callable[[dict[str, Any], dict[str, Any]], None] = lambda asked, answer: None
        self.most_at_once = self._at_once = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that the client cuts are no news."""

    def enter(self, step: int) -> None:
        """Count what is in work."""
        with self.lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        if self.path == "/v1/models":
            self._send(200, json.dumps({"object": "list", "data": [{"id": name} for name in self.server.models]}))
        else:
            self._send(404, "{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(asked)
            self.server.headers.append(dict(self.headers))
        self.server.enter(1)
        try:
            time.sleep(self.server.delay_s)
            self._answer(self.server.fault(number), asked)
        finally:
            self.server.enter(-1)

    def _answer(self, fault: str | None, asked: dict[str, Any]) -> None:
        text = self.server.critic.text(*decoded(asked["messages"][0]["content"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer = {"object": "chat.completion", "model": asked["model"], "choices": [choice]}
        self.server.extra(asked, answer)
        whole = json.dumps(answer)
        match (fault or "").split(" ", 1):
            case [""]:
                self._send(200, whole)
            case ["hang"]:
                self.server.closing.wait(300)
                self.close_connection = True
            case ["cut"]:
                self.close_connection = True
            case ["cut-half-way"]:
                self._send(200, whole, announced=2 * len(whole))
                self.close_connection = True
            case ["drip"]:
                self._drip(whole)
            case ["body", body]:
                self._send(200, body)
            case ["torn"]:
                self._send(200, whole[: len(whole) // 2])
            case ["redirect", target]:
                self._send(307, "", Location=target)
            case ["echo", status]:
                self._send(int(status), json.dumps({"error": {"message": f"bad: {self.headers['Authorization']}"}}))
            case ["busy", wait]:
                self._send(429, "{}", **{"Retry-After": wait})
            case [status]:
                self._send(int(status), json.dumps({"error": {"message": f"told to answer {status}"}}))

    def _send(self, status: int, body: str, *, announced: int | None = None, **headers: str) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(announced or len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _drip(self, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for letter in body:
            self.wfile.write(letter.encode())
            self.wfile.flush()
            if self.server.closing.wait(0.1):
                return


@contextmanager
def serving(fault: Fault = lambda number: None, **options: Any) -> Iterator[Server]:
    """A server in a thread, as long as the block lasts."""
    server = Server(fault, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
