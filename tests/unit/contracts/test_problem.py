import pytest

from contracts import problem


@pytest.mark.parametrize("kind", problem.ALL)
def test_a_problem_comes_back_as_the_class_that_was_sent(kind: type[problem.Problem]) -> None:
    sent = kind("what was wrong", actual={"release:a": 3})
    body = sent.as_json()
    assert {"type", "title", "status", "detail", "actual"} == set(body)
    received = problem.from_json(body, sent.status)
    assert type(received) is kind
    assert received.detail == "what was wrong"
    assert received.members == {"actual": {"release:a": 3}}


def test_an_answer_that_is_no_problem_becomes_a_plain_one() -> None:
    assert problem.from_json({}, 502).detail == "HTTP status 502"


def test_slugs_are_unique() -> None:
    assert len({kind.slug for kind in problem.ALL}) == len(problem.ALL)


def test_overload_says_when_to_try_again() -> None:
    assert problem.Unavailable("full", retry_after_seconds=7).headers == {"Retry-After": "7"}
