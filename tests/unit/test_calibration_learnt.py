"""What plans learn from finished jobs: true of what was measured, and no more than that."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineups import option, work
from measurements import A100, EIGHT, HUGE, SEVEN, having, measured, predicted, slower

from evalpack.plan import calibration
from evalpack.plan.calibration import Calibration, source_of
from evalpack.plan.cost import job_cost
from evalpack.plan.options import Option
from evalpack.plan.settings import MODES, Mode, Settings
from evalpack.plan.start import IMPORT, Storage
from evalpack.plan.workload import Workload, prompt_tokens


class TestPace:
    def test_without_measurements_nothing_changes(self) -> None:
        asked, plain = work(), option(2, 1, 30.0, 60.0)
        for one in (calibration.UNCALIBRATED, having()):
            assert one.workload(EIGHT, asked) == asked
            assert one.option(EIGHT, plain) == plain
            assert one.factors(EIGHT, 1) == (1.0, 1.0)

    def test_a_models_own_measurement_goes_over_those_of_others(self) -> None:
        of_another = slower(3.0, job="a/n/1", source=source_of(SEVEN))
        assert having(of_another).factors(EIGHT, 1) == pytest.approx((3, 3))
        assert having(of_another, slower(2.0)).factors(EIGHT, 1) == pytest.approx((2, 2))

    def test_a_measurement_on_as_many_gpus_goes_over_others_of_the_model(self) -> None:
        both = having(slower(2.0, gpus=1), slower(4.0, job="a/m/2", gpus=2))
        assert both.factors(EIGHT, 1) == pytest.approx((2, 2))
        assert both.factors(EIGHT, 2) == pytest.approx((4, 4))
        assert 2 < both.factors(EIGHT, 4)[1] < 4

    def test_a_warm_start_is_held_against_a_warm_prediction(self) -> None:
        cold, warm = (predicted(measured(warm=warm))[0] for warm in (False, True))
        assert warm < cold - IMPORT
        assert having(slower(2.0, warm=True)).factors(EIGHT, 1) == pytest.approx((2, 2))

    def test_models_of_the_same_weights_share_what_was_learnt(self) -> None:
        again = replace(EIGHT, name="llama3.1:8b-warm", sampling={"temperature": 1.0})
        assert having(slower(2.0)).factors(again, 1) == pytest.approx((2, 2))

    def test_a_model_of_unknown_shape_takes_the_seconds_that_are_predicted(self) -> None:
        shapeless = replace(EIGHT, weight_bytes=None, active_parameters=None)
        one = Calibration(A100, Storage(), [measured()], {source_of(EIGHT): shapeless})
        assert one.factors(shapeless, 1)[1] == 1.0

    @given(
        model=st.sampled_from([EIGHT, SEVEN, HUGE]),
        gpus=st.sampled_from([1, 2, 4]),
        mode=st.sampled_from(MODES),
        engines=st.sampled_from([1, 2]),
        warm=st.booleans(),
        max_num_seqs=st.sampled_from([None, 64, 256, 1024]),
        utilization=st.floats(0.5, 0.95),
        requests=st.integers(1, 20_000),
        prompt=st.integers(1, 4000),
        answer=st.integers(1, 512),
        characters=st.integers(0, 10_000_000),
        start=st.floats(0.1, 1e4),
        generate=st.floats(0.1, 1e5),
    )
    def test_a_calibrated_prediction_of_a_measured_job_is_its_measurement(
        self,
        model: Any,
        gpus: int,
        mode: Mode,
        engines: int,
        warm: bool,
        max_num_seqs: int | None,
        utilization: float,
        requests: int,
        prompt: int,
        answer: int,
        characters: int,
        start: float,
        generate: float,
    ) -> None:
        one = measured(
            source=source_of(model),
            gpus=gpus,
            mode=mode,
            engines=engines,
            warm=warm,
            max_num_seqs=max_num_seqs,
            utilization=utilization,
            requests=requests,
            prompt_characters=characters,
            prompt_tokens=requests * prompt,
            output_tokens=requests * answer,
            start=start,
            generate=generate,
        )
        history = having(one)
        guess = prompt_tokens(characters / requests)
        asked = history.workload(model, Workload(requests, guess, 512, 2048, 0, limit=512))
        assert asked.prompt_tokens == pytest.approx(prompt)
        assert asked.output_tokens == pytest.approx(answer)
        settings = Settings(gpus, max_num_seqs or 256, mode, utilization, engines=engines)
        storage = replace(history.storage, warm=warm)
        cost = job_cost(model, A100, asked, settings, storage)
        cost = history.option(model, Option(1, settings, cost)).cost
        assert (cost.start, cost.generate) == pytest.approx((start, generate))


class TestLengths:
    def test_measured_lengths_replace_the_guess(self) -> None:
        asked = having(measured()).workload(EIGHT, Workload(5000, 130.0, 512, 2000, 0, limit=512))
        assert asked.output_tokens == 60
        assert asked.prompt_tokens == pytest.approx(126)
        assert (asked.requests, asked.longest, asked.limit) == (5000, 2000, 512)

    def test_a_prompt_twice_as_long_as_those_measured_is_twice_as_many_tokens(self) -> None:
        history = having(measured(prompt_tokens=260_000))  # the guess would be 130 a prompt
        longer = Workload(5000, 260.0, 512, 2000, 0, limit=512)
        assert history.workload(EIGHT, longer).prompt_tokens == pytest.approx(520)

    def test_no_answer_is_longer_than_is_allowed(self) -> None:
        history = having(measured(output_tokens=400_000))
        short = Workload(5000, 100.0, 64, 2000, 0, limit=128)
        assert history.workload(EIGHT, short).output_tokens == 128

    def test_of_several_jobs_the_mean_over_all_requests_counts(self) -> None:
        few = measured(job="a/m/1", requests=100, output_tokens=10_000)
        many = measured(job="a/m/2", requests=900, output_tokens=9_000)
        asked = having(few, many).workload(EIGHT, work(output=512))
        assert asked.output_tokens == 19

    def test_lengths_of_other_models_are_none_of_a_models_own(self) -> None:
        asked = work(output=512)
        assert having(measured(source=source_of(SEVEN))).workload(EIGHT, asked) == asked

    def test_servers_that_tell_no_prompt_tokens_leave_the_guess(self) -> None:
        asked = having(measured(prompt_tokens=0)).workload(EIGHT, work(prompt=100, output=512))
        assert asked.prompt_tokens == 100


def test_a_pilot_is_held_against_its_longest_answer() -> None:
    # One batch lasts until its longest answer ends, however short the others are.
    pilot = {"requests": 64, "prompt_tokens": 64 * 126, "output_tokens": 64 * 100}
    short, long = (measured(**pilot, longest_output=most) for most in (100, 1000))
    (_, quick), (_, slow) = (having().predicted(one) or (0.0, 0.0) for one in (short, long))
    assert slow > 5 * quick


def test_lengths_that_a_lower_limit_cut_are_not_learnt() -> None:
    cut, free = (measured(output_tokens=1000 * 50, max_tokens=most) for most in (50, 2048))
    asked = work(output=2048, limit=2048)
    assert having(cut).workload(EIGHT, asked).output_tokens == 2048
    assert having(free).workload(EIGHT, asked).output_tokens == 50
