"""What a model is asked, in numbers: generations that equal prompts share, lengths, rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import Run, question
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalpack.jobs import Asking
from evalpack.plan.workload import (
    CHARACTERS_PER_TOKEN,
    CHAT_TOKENS,
    TEMPLATE_TOKENS,
    Workload,
    workload,
)
from evalpack.samples import Glance

SURVEY = Glance(650, 13, 600, 400.0, exact=True)
"""50 respondents who answer 13 questions each."""


def asking(name: str = "plain", *, temperature: float = 0.0, **more: Any) -> Asking:
    sampling = {"temperature": temperature, "max_tokens": more.pop("max_tokens", 100)}
    return Asking(name, sampling, **more)


def asked(*askings: Asking, samples: Glance = SURVEY, **more: Any) -> Workload:
    return workload(askings, samples, **more)


class TestGenerations:
    def test_equal_prompts_at_temperature_0_are_one(self) -> None:
        assert asked(asking()).requests == 13

    def test_at_any_other_temperature_each_sample_is_one(self) -> None:
        assert asked(asking(temperature=0.7)).requests == 650

    def test_sampling_without_temperature_is_greedy(self) -> None:
        assert asked(Asking("plain", {"max_tokens": 100})).requests == 13

    @pytest.mark.parametrize(("temperature", "requests"), [(0.0, 39), (1.0, 1950)])
    def test_each_draw_is_one_of_its_own(self, temperature: float, requests: int) -> None:
        assert asked(asking(temperature=temperature, n=3)).requests == requests

    def test_a_template_of_the_conditions_own_makes_other_prompts(self) -> None:
        assert asked(asking(template="Rate {{ question }}.")).requests == 650

    def test_conditions_add_up(self) -> None:
        both = asked(asking(), asking("warm", temperature=1.0, n=2))
        assert both.requests == 13 + 2 * 650

    @settings(
        deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        prompts=st.lists(st.sampled_from(["a?", "b?", "c?"]), min_size=1, max_size=6),
        temperature=st.sampled_from([0.0, 0.7]),
        draws=st.integers(1, 3),
    )
    def test_they_are_as_many_as_the_keys_that_a_job_asks_for(
        self, tmp_path: Path, prompts: list[str], temperature: float, draws: int
    ) -> None:
        one = asking(temperature=temperature, n=draws)
        rows = [{**question(i), "prompt": prompt} for i, prompt in enumerate(prompts)]
        run = Run(tmp_path, rows, askings=[one])
        counted = Glance(len(prompts), len(set(prompts)), 2, 2.0, exact=True)
        asks = run.asks()
        found = asked(one, samples=counted)
        assert found.requests == len({ask.key for ask in asks})
        assert found.rows == len(asks)


class TestRows:
    def test_every_sample_condition_and_draw_is_a_row(self) -> None:
        assert asked(asking(n=3), asking("warm", temperature=1.0)).rows == 4 * 650

    def test_rows_that_nobody_counted_are_not_counted_here(self) -> None:
        assert asked(asking(), samples=replace(SURVEY, exact=False)).rows == 0


class TestLengths:
    def test_answers_are_as_long_as_allowed_unless_more_is_known(self) -> None:
        assert asked(asking()).output_tokens == 100
        assert asked(asking(), output_tokens=40).output_tokens == 40
        assert asked(asking(), output_tokens=400).output_tokens == 100

    def test_the_mean_is_over_generations_and_the_limit_is_the_largest(self) -> None:
        mixed = asked(asking(max_tokens=100), asking("warm", temperature=1.0, max_tokens=10))
        assert mixed.output_tokens == pytest.approx((13 * 100 + 650 * 10) / 663)
        assert mixed.most_output == mixed.limit == 100

    def test_prompts_are_characters_by_rule_of_thumb_and_the_chats_frame(self) -> None:
        assert asked(asking()).prompt_tokens == 400 / CHARACTERS_PER_TOKEN + CHAT_TOKENS

    def test_a_system_prompt_and_a_longer_template_count(self) -> None:
        plain = asked(asking()).prompt_tokens
        with_system = asked(asking(system_prompt="x" * 80)).prompt_tokens
        with_template = asked(asking(template="x" * 4000)).prompt_tokens
        assert with_system == plain + 80 / CHARACTERS_PER_TOKEN
        assert with_template == 4000 / CHARACTERS_PER_TOKEN + CHAT_TOKENS

    def test_the_longest_is_an_upper_bound_of_prompt_and_answer(self) -> None:
        assert asked(asking()).longest == 600 + TEMPLATE_TOKENS + 100
        longer = asking("long", max_tokens=500, system_prompt="x" * 50)
        assert asked(asking(), longer).longest == 600 + 50 + TEMPLATE_TOKENS + 500

    def test_no_conditions_ask_nothing(self) -> None:
        assert asked() == Workload(0, 0.0, 0.0, 0, 0, 0)
