"""The engine settings that a plan chooses, and how it tells vLLM of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineups import MODELS, plan, work

from evalpack.errors import UserError
from evalpack.models import Model
from evalpack.plan.choices import SPARE_BYTES, choices
from evalpack.plan.cost import kv_room, most_sequences
from evalpack.plan.fit import able_sizes
from evalpack.plan.hardware import GPUS
from evalpack.plan.plan import ModelPlan
from evalpack.plan.settings import MODES, Settings, capture_sizes, mode_of
from evalpack.plan.start import Storage, lead_seconds, start_seconds
from evalpack.plan.workload import Workload

ONE, THREE, EIGHT = (MODELS[f"llama3.{n}"] for n in ("2:1b", "2:3b", "1:8b"))
H100, A100 = GPUS["H100-80GB"], GPUS["A100-80GB"]
LAST = [8, 16, 32, 64, 128, 256, 384, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048]


def chosen(model: Model, gpu: str = "H100-80GB", gpus: int = 1, **asked: Any) -> ModelPlan:
    return plan([model], gpus, gpu, asked=work(**asked)).models[0]


def with_engine(model: Model, **engine: Any) -> Model:
    return replace(model, engine=engine)


def found(model: Model, asked: Workload | None = None, gpu: str = "H100-80GB") -> list[Settings]:
    return choices(model, GPUS[gpu], asked or work(), Storage(warm=True), 1, 0.9)


class TestModes:
    def test_graphs_are_chosen_where_they_hold_for_every_step(self) -> None:
        for model in (ONE, THREE, EIGHT):
            args = chosen(model).engine_args
            assert args["enforce_eager"] is False
            assert args["compilation_config"]["mode"] == 0
            assert args["compilation_config"]["cudagraph_mode"] == "FULL"

    def test_eager_is_chosen_where_there_is_little_to_do(self) -> None:
        args = chosen(EIGHT, requests=20, output=4).engine_args
        assert args["enforce_eager"] is True
        assert "compilation_config" not in args

    def test_graphs_that_hold_for_few_steps_are_not_worth_their_capture(self) -> None:
        # On an A100 a step that lets a request in launches its kernels one by one: short answers
        # and a large batch have such steps only.
        assert mode_of(chosen(EIGHT, "A100-80GB", output=64).engine_args) == "eager"
        assert mode_of(chosen(ONE, "A100-80GB", requests=200, output=2000).engine_args) != "eager"

    def test_compiling_is_worth_it_where_it_alone_has_graphs_of_mixed_steps(self) -> None:
        long = chosen(with_engine(ONE, max_num_seqs=128), "A100-80GB", requests=200_000, output=200)
        assert mode_of(long.engine_args) == "compiled"
        assert "compilation_config" not in long.engine_args
        assert "kv_cache_memory_bytes" not in long.engine_args  # compiling measures memory anyway

    @pytest.mark.parametrize(
        ("engine", "mode"),
        [
            ({"enforce_eager": True}, "eager"),
            ({"enforce_eager": False}, "compiled"),
            ({"compilation_config": {"mode": 3}}, "compiled"),
            ({"enforce_eager": True, "compilation_config": {"mode": 3}}, "eager"),
        ],
    )
    def test_what_the_user_says_is_taken_as_vllm_takes_it(
        self, engine: dict[str, Any], mode: str
    ) -> None:
        assert {one.mode for one in found(with_engine(EIGHT, **engine))} == {mode}
        args = chosen(with_engine(EIGHT, **engine)).engine_args
        assert args["enforce_eager"] is (mode == "eager")
        assert "compilation_config" not in args

    @given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(GPUS)))
    def test_the_mode_of_what_a_plan_says_is_the_mode_it_counted_with(
        self, name: str, gpu: str
    ) -> None:
        args = plan([MODELS[name]], 8, gpu).models[0].engine_args
        assert mode_of(args) in MODES
        assert (mode_of(args) == "graphs") == ("compilation_config" in args)


class TestCaptureSizes:
    def test_they_are_those_that_were_measured(self) -> None:
        assert capture_sizes(1024) == LAST

    @given(st.integers(1, 4096))
    def test_they_are_few_multiples_of_8_up_to_twice_the_batch(self, batch: int) -> None:
        sizes = capture_sizes(batch)
        assert sizes == sorted(set(sizes))
        assert len(sizes) <= 16
        assert all(size % 8 == 0 for size in sizes)
        assert sizes[0] == 8
        assert min(2 * batch, 2048) <= sizes[-1] <= min(2 * batch + 14, 2048)
        assert any(batch <= size < batch + 8 for size in sizes) or batch > 1024

    def test_they_are_of_the_batch_that_is_run(self) -> None:
        args = chosen(with_engine(EIGHT, max_num_seqs=100)).engine_args
        assert args["max_num_seqs"] == 100
        assert args["compilation_config"]["cudagraph_capture_sizes"] == capture_sizes(100)


class TestEnginesPerGpu:
    def test_two_1b_share_a_gpu_and_two_8b_do_not(self) -> None:
        one, eight = chosen(ONE), chosen(EIGHT)
        assert one.engine_args["engines_per_gpu"] == 2
        assert one.cost.weight_bytes == 2 * (ONE.weight_bytes or 0)
        assert one.cost.peak_bytes <= 0.9 * H100.memory
        assert "engines_per_gpu" not in eight.engine_args

    def test_a_second_engine_must_be_worth_its_start(self) -> None:
        assert "engines_per_gpu" not in chosen(ONE, requests=300).engine_args

    def test_engines_that_span_gpus_share_none(self) -> None:
        wide = chosen(replace(ONE, tensor_parallel_size=2), gpus=2)
        assert "engines_per_gpu" not in wide.engine_args

    def test_the_users_number_stands(self) -> None:
        assert {one.engines for one in found(with_engine(ONE, engines_per_gpu=1))} == {1}
        assert {one.engines for one in found(with_engine(EIGHT, engines_per_gpu=2))} == {2}
        few = chosen(with_engine(EIGHT, engines_per_gpu=2), requests=20, gpus=4)
        assert (few.gpus, few.engine_args["engines_per_gpu"]) == (1, 2)

    @pytest.mark.parametrize(
        ("model", "count", "says"),
        [
            (
                MODELS["qwen2.5-32b"],
                2,
                "2 engines with 65.5 GB of weights each do not fit on one H100",
            ),
            (
                MODELS["llama3.3-70b"],
                2,
                "only engines on one GPU each can share it, and these span 2",
            ),
            (ONE, 0, "must be a whole number, 1 or more"),
            (ONE, "two", "must be a whole number, 1 or more"),
        ],
    )
    def test_a_number_that_cannot_be_is_refused(self, model: Model, count: Any, says: str) -> None:
        with pytest.raises(
            UserError, match=f"models.{model.name}: engines_per_gpu {count}"
        ) as caught:
            chosen(with_engine(model, engines_per_gpu=count), gpus=4)
        assert says in str(caught.value)


class TestMemory:
    @given(
        st.sampled_from(sorted(MODELS)),
        st.sampled_from(sorted(GPUS)),
        st.sampled_from([64, 126, 1500]),
        st.sampled_from([16, 128, 1000]),
    )
    def test_the_kv_cache_holds_a_full_batch_to_its_last_token(
        self, name: str, gpu: str, prompt: int, output: int
    ) -> None:
        model, asked = MODELS[name], work(5000, prompt, output)
        try:
            sizes = able_sizes(model, GPUS[gpu], 8, asked)
        except UserError:
            return
        for tp in sizes:
            for one in choices(model, GPUS[gpu], asked, Storage(), tp, 0.9):
                held = most_sequences(model, GPUS[gpu], asked, one)
                assert held is not None
                assert one.max_num_seqs <= held

    def test_gpt_oss_on_one_h100_runs_no_more_than_it_holds(self) -> None:
        args = chosen(MODELS["gpt-oss-120b"], prompt=200, output=512).engine_args
        room = kv_room(MODELS["gpt-oss-120b"], H100, Settings()) or 0.0
        tokens = room / MODELS["gpt-oss-120b"].kv_bytes_per_token
        assert 100 < args["max_num_seqs"] <= tokens / 712

    def test_a_cache_that_leaves_room_is_given_its_size_and_a_quarter_more(self) -> None:
        planned = chosen(EIGHT)
        needed = planned.cost.batch * (126 + 128) * EIGHT.kv_bytes_per_token
        assert planned.engine_args["kv_cache_memory_bytes"] == int(1.25 * needed)

    def test_for_two_engines_it_is_the_size_of_each(self) -> None:
        planned = chosen(ONE)
        needed = planned.cost.batch / 2 * (126 + 128) * ONE.kv_bytes_per_token
        assert planned.engine_args["kv_cache_memory_bytes"] == int(1.25 * needed)

    def test_it_never_takes_what_is_to_be_spared(self) -> None:
        for model in MODELS.values():
            for one in found(model) if (model.weight_bytes or 0) < 70e9 else ():
                if one.kv_bytes is not None:
                    room = kv_room(model, H100, replace(one, kv_bytes=None)) or 0.0
                    assert one.kv_bytes <= room - SPARE_BYTES

    def test_a_cache_that_takes_all_there_is_is_left_to_vllm(self) -> None:
        assert "kv_cache_memory_bytes" not in chosen(MODELS["qwen2.5-32b"]).engine_args

    def test_one_request_of_the_longest_fits_into_it(self) -> None:
        few = plan([EIGHT], 1, "H100-80GB", asked=work(10, 10, 10), max_model_len=100_000)
        given = few.models[0].engine_args["kv_cache_memory_bytes"]
        assert given >= 100_000 * EIGHT.kv_bytes_per_token
        unknown = plan([EIGHT], 1, "H100-80GB", asked=work(10, 10, 10), max_model_len=None)
        assert "kv_cache_memory_bytes" not in unknown.models[0].engine_args

    def test_what_the_user_says_of_memory_stands(self) -> None:
        for said in ({"gpu_memory_utilization": 0.8}, {"kv_cache_memory_bytes": 9_000_000_000}):
            args = chosen(with_engine(EIGHT, **said)).engine_args
            assert said.items() <= {"kv_cache_memory_bytes": None, **args}.items()
        # 9 GB hold 270 such requests, so no more are run.
        assert args["max_num_seqs"] <= 9e9 / (254 * EIGHT.kv_bytes_per_token)


class TestStart:
    def test_a_warm_start_is_what_needs_the_gpu(self) -> None:
        disk = Storage(bytes_per_second=1e12, warm=True)
        eager, graphs = (Settings(mode=mode, kv_bytes=1) for mode in ("eager", "graphs"))
        # Measured on an H100: 2.57 s for an 8B model, 2.33 s for two engines of a 1B.
        assert start_seconds(EIGHT, H100, eager, disk) == pytest.approx(2.5, abs=0.2)
        assert start_seconds(EIGHT, H100, graphs, disk) == pytest.approx(4, abs=0.5)
        two = start_seconds(EIGHT, H100, replace(eager, tp=2), disk)
        assert two == pytest.approx(8.5, abs=0.5)
        assert start_seconds(EIGHT, H100, replace(eager, engines=2), disk) < 3
        assert start_seconds(EIGHT, H100, eager, replace(disk, warm=False)) > 35

    def test_memory_that_is_measured_takes_its_time(self) -> None:
        measured, said = Settings(), Settings(kv_bytes=1)
        for disk in (Storage(), Storage(warm=True)):
            spared = start_seconds(EIGHT, H100, measured, disk) - start_seconds(
                EIGHT, H100, said, disk
            )
            assert 1 < spared < 3

    def test_a_warm_run_has_a_lead_in_and_short_jobs(self) -> None:
        warm, cold = (
            plan([EIGHT, ONE, THREE], 1, "H100-80GB", {"warm_start": on}) for on in (True, False)
        )
        assert warm.lead == lead_seconds(H100) == 28
        assert warm.schedule.placed[0].begin == warm.lead
        assert cold.lead == cold.schedule.placed[0].begin == 0
        assert warm.schedule.makespan + 40 < cold.schedule.makespan
        for each in (warm, cold):
            assert each.lower_bound <= each.schedule.makespan <= each.phases * (1 + 1e-9)
            assert each.lead < each.lower_bound

    def test_neither_a_cpu_nor_a_server_elsewhere_waits_for_an_import(self) -> None:
        server = Model(name="gpt", backend="openai", base_url="http://localhost/v1")
        assert plan([server]).lead == 0
        assert plan([server]).lower_bound == 0
