"""Before a run: every endpoint serves the model and answers."""

from __future__ import annotations

from typing import Any

import pytest

from firm_lightning.critics.http_check import canary
from firm_lightning.critics.http_critic import HttpCritic
from firm_lightning.critics.http_errors import CriticUnavailable
from tests.critics.faulty_server import MODEL, Server, decoded, serving
from tests.critics.test_http_critic import at_most, free_url


def critic(*servers: Server | str, **settings: Any) -> HttpCritic:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    wanted: dict[str, Any] = {"model": MODEL, "backoff_s": 0.01} | settings
    return HttpCritic(endpoints=urls, **wanted)


def trouble(critic: HttpCritic, *tasks: Any) -> list[str]:
    """The lines of the error."""
    with pytest.raises(CriticUnavailable) as error:
        critic.check(*tasks)
    head, *lines = str(error.value).split("\n")
    assert head == "the critic is not ready to judge:"
    return lines


def test_every_endpoint_is_asked_for_its_models_and_each_canary() -> None:
    with serving() as first, serving() as second:
        critic(first, second).check(("alignment", "consistency"))
        for server in (first, second):
            assert len(server.headers) == 3
            pictures = [len(decoded(body["messages"][0]["content"])[0]) for body in server.bodies]
            assert pictures == [1, 2]


def test_canaries_ask_the_packages_rubric_about_tiny_pictures() -> None:
    request = canary("execution")
    assert (request.id, [image.size for image in request.images]) == ("canary/execution", [(64, 64)] * 2)
    assert "a red square on a white background" in request.question
    assert canary("alignment").images[0].getpixel((32, 32)) == (255, 0, 0)


def test_a_wrong_name_lists_what_is_served() -> None:
    with serving(models=["other", *map(str, range(12))]) as server:
        assert trouble(critic(server)) == [
            f"- {server.url}: serves 'other', '0', '1', '2', '3', '4', '5', '6', '7', '8' and 3 more, not 'critic'; "
            "set model to the name that it serves, or start it with that name (vllm: --served-model-name)"
        ]
    with serving(lambda number: "404", models=["other"]) as server:
        assert trouble(critic(server)) == [
            f"- {server.url}: {server.url}/chat/completions refuses the request with status 404: told to answer 404 "
            "(serves 'other', not 'critic'; set model to the name that it serves, or start it with that name (vllm: "
            "--served-model-name))"
        ]


def test_a_server_that_signs_with_the_resolved_name_need_not_list_it() -> None:
    with serving(models=[]) as server:
        assert len(trouble(critic(server))) == 1, "it repeats the name, which says nothing"
        server.extra = lambda asked, answer: answer.update(model=f"{asked['model']}@main")
        critic(server).check()


def test_an_answer_of_nothing_is_no_answer() -> None:
    with serving() as server:
        server.extra = lambda asked, answer: answer["choices"][0]["message"].update(content=" \n")
        assert trouble(critic(server)) == [
            f"- {server.url}: answers the canary of 'alignment' with nothing; is it the model that was trained?"
        ]


def test_expected_scores_need_candidates() -> None:
    logprobs = {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": 0.0}]}]}
    with serving() as server:
        assert trouble(critic(server, expected_score=True)) == [
            f"- {server.url}: gives no top_logprobs; set expected_score to false, or serve with a server that does "
            "(vllm)"
        ]
        server.extra = lambda asked, answer: answer["choices"][0].update(logprobs=logprobs)
        critic(server, expected_score=True).check()


def test_each_endpoint_that_is_not_ready_has_its_line() -> None:
    dead = free_url()
    with serving() as well, serving(lambda number: "500") as broken:
        lines = trouble(critic(well, dead, broken))
        assert lines == [
            f"- {dead}: cannot connect (All connection attempts failed); start the server, or correct endpoints",
            f"- {broken.url}: status 500: told to answer 500; start the server, or correct endpoints",
        ]
        assert len(broken.bodies) == 3, "two further attempts"


def test_a_failure_that_passes_is_no_trouble() -> None:
    with serving(lambda number: "503" if number < 2 else None) as server:
        critic(server).check()


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_silence_ends_in_time(fault: str) -> None:
    with serving(lambda number: fault) as server:
        with at_most(1):
            lines = trouble(critic(server, request_timeout_s=0.3))
        assert lines == [
            f"- {server.url}: no whole answer within request_timeout_s 0.3 s; start the server, or correct endpoints"
        ]
        with at_most(1):
            lines = trouble(critic(server, round_timeout_s=0.3))
        assert lines == [f"- {server.url}: not ready within round_timeout_s 0.3 s; is the model still loading?"]
