"""What must hold of the cost model whatever its constants are."""

import math
from dataclasses import replace
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st
from lineups import MODELS, work

from evalpack.models import Model
from evalpack.plan.cost import (
    OVERHEAD_BYTES,
    batch,
    generate_seconds,
    job_cost,
    kv_room,
    step_seconds,
)
from evalpack.plan.fit import tp_sizes
from evalpack.plan.hardware import CPU, GPUS, Device
from evalpack.plan.settings import MODES, Settings
from evalpack.plan.start import Storage, engine_seconds, start_seconds

DISK = Storage()
MOST = Settings(max_num_seqs=1024)
models = st.sampled_from([model for model in MODELS.values() if model.active_parameters])
devices = st.sampled_from(list(GPUS.values()))
settings = st.builds(
    Settings,
    max_num_seqs=st.sampled_from([1, 64, 256, 1024]),
    mode=st.sampled_from(MODES),
    engines=st.sampled_from([1, 2]),
    utilization=st.floats(0.5, 0.95),
)
requests = st.integers(1, 20_000)
lengths = st.floats(1, 4000)


def no_slower(after: float, before: float) -> bool:
    return after <= before * (1 + 1e-9)


@given(models, devices, settings, requests, lengths, lengths, st.floats(1, 4))
def test_more_flops_bandwidth_or_host_never_make_it_slower(
    model: Model, device: Device, how: Settings, count: int, prompt: float, out: float, by: float
) -> None:
    asked = work(count, prompt, out)
    before = generate_seconds(model, device, asked, how)
    for better in (
        replace(device, flops=device.flops * by),
        replace(device, bandwidth=device.bandwidth * by),
        replace(device, host=device.host / by),
    ):
        assert no_slower(generate_seconds(model, better, asked, how), before)


@given(models, devices, st.sampled_from([2, 4, 8]), requests, st.floats(1, 20))
def test_a_faster_link_never_makes_tensor_parallelism_slower(
    model: Model, device: Device, tp: int, count: int, by: float
) -> None:
    assume(tp in tp_sizes(model, tp))
    faster = replace(device, link=device.link * by)
    how = Settings(tp=tp)
    asked = work(count)
    before = generate_seconds(model, device, asked, how)
    assert no_slower(generate_seconds(model, faster, asked, how), before)


@given(models, devices, st.sampled_from([0.3, 0.5, 0.7]), requests, lengths)
def test_more_memory_never_makes_a_step_hold_fewer_requests(
    model: Model, device: Device, share: float, count: int, out: float
) -> None:
    small = replace(device, memory=int(device.memory * share))
    asked = work(count, output=out)
    assert batch(model, small, asked, MOST) <= batch(model, device, asked, MOST)


@given(models, devices, settings, requests, requests, lengths, lengths)
def test_more_requests_are_never_quicker(
    model: Model, device: Device, how: Settings, count: int, more: int, prompt: float, out: float
) -> None:
    few = generate_seconds(model, device, work(count, prompt, out), how)
    many = generate_seconds(model, device, work(count + more, prompt, out), how)
    assert no_slower(few, many)
    assert few > 0


@given(models, devices, settings, requests, lengths, lengths, st.floats(1, 3))
def test_longer_answers_are_never_quicker(
    model: Model, device: Device, how: Settings, count: int, prompt: float, out: float, by: float
) -> None:
    # In graphs, the fewer requests join a step the more steps are launched as one.
    assume(how.mode != "graphs")
    short = generate_seconds(model, device, work(count, prompt, out), how)
    assert no_slower(short, generate_seconds(model, device, work(count, prompt, out * by), how))


@given(models, devices, settings, st.integers(1, 1023), lengths, lengths)
def test_a_step_of_more_requests_takes_longer_and_less_for_each(
    model: Model, device: Device, how: Settings, size: int, prompt: float, out: float
) -> None:
    asked = work(5000, prompt, out)
    one, two = (step_seconds(model, device, asked, how, n) for n in (size, size + 1))
    assert one <= two
    if how.mode == "eager":  # beyond the largest CUDA graph the host launches kernels again
        assert no_slower(two / (size + 1), one / size)


@given(models, devices, settings, requests, requests, st.floats(1.01, 4))
def test_starting_takes_longer_with_more_weights_and_not_with_more_requests(
    model: Model, device: Device, how: Settings, count: int, other: int, by: float
) -> None:
    heavier = replace(model, weight_bytes=int((model.weight_bytes or 0) * by))
    start = engine_seconds(model, device, how, DISK)
    assert start < engine_seconds(heavier, device, how, DISK)
    assert start > engine_seconds(model, device, how, replace(DISK, bytes_per_second=math.inf))
    costs = [job_cost(model, device, work(n), how, DISK) for n in (count, other)]
    assert costs[0].start == costs[1].start > start  # a job is more than its engine
    assert costs[0].end == costs[1].end > 0


@given(models, devices, settings)
def test_what_is_warm_starts_no_later(model: Model, device: Device, how: Settings) -> None:
    start = start_seconds(model, device, how, replace(DISK, compiled=True))
    for cold in (
        replace(DISK, compiled=False),
        replace(DISK, compiled=True, inspected=False),
        replace(DISK, compiled=True, triton=False),
    ):
        assert start <= start_seconds(model, device, how, cold)
    assert start_seconds(model, device, how, replace(DISK, compiled=True, warm=True)) < start
    eager = replace(how, mode="eager")
    assert start_seconds(model, device, eager, DISK) <= start


@given(models, devices, settings, st.sampled_from([1, 2, 4, 8]), requests, lengths, lengths)
def test_the_peak_is_within_what_the_engine_may_take(
    model: Model, device: Device, how: Settings, tp: int, count: int, prompt: float, out: float
) -> None:
    assume(tp in tp_sizes(model, tp))
    how = replace(how, tp=tp, engines=how.engines if tp == 1 else 1)
    cost = job_cost(model, device, work(count, prompt, out), how, DISK)
    room = kv_room(model, device, how)
    assert room is not None
    if room >= 0:  # the weights fit
        assert cost.peak_bytes <= how.utilization * device.memory
    assert cost.other_bytes == OVERHEAD_BYTES * how.engines
    assert cost.kv_bytes >= 0
    assert cost.seconds == cost.start + cost.generate + cost.end


@given(models, devices, settings, requests, lengths, lengths)
def test_a_wider_engine_leaves_more_room_and_holds_no_fewer_requests(
    model: Model, device: Device, how: Settings, count: int, prompt: float, out: float
) -> None:
    asked = work(count, prompt, out)
    sizes = [replace(how, tp=tp) for tp in tp_sizes(model, 8)]
    rooms = [kv_room(model, device, one) or 0.0 for one in sizes]
    assert rooms == sorted(rooms)
    assert all(wider > narrow for narrow, wider in pairwise(rooms))
    batches = [batch(model, device, asked, one) for one in sizes]
    assert batches == sorted(batches)


@given(models, devices, requests, st.sampled_from([1, 16, 64, 128]))
def test_calls_that_are_drained_are_not_quicker_than_a_sliding_window(
    model: Model, device: Device, count: int, call: int
) -> None:
    window = generate_seconds(model, device, work(count), MOST)
    calls = generate_seconds(model, device, work(count), replace(MOST, call=call))
    # A last wave of a few requests, which a window spreads in truth, is counted like a full one.
    assert window <= calls * 1.05


def test_nothing_is_said_of_a_model_of_unknown_shape_but_how_long_it_loads() -> None:
    unknown = Model("new", weight_bytes=16_000_000_000)
    cost = job_cost(unknown, GPUS["A100-80GB"], work(), MOST, Storage(bytes_per_second=2e9))
    assert cost.generate == 0.0
    assert cost.kv_bytes == 0
    assert cost.start > 8.0


def test_no_requests_take_no_time() -> None:
    assert generate_seconds(MODELS["llama3.1:8b"], GPUS["A100-80GB"], work(0), MOST) == 0.0


def test_the_cpu_has_no_memory_to_plan_and_the_measured_speed() -> None:
    model = MODELS["smollm2:135m"]
    how = Settings(max_num_seqs=64)
    cost = job_cost(model, CPU, work(64), how, DISK)
    assert (cost.other_bytes, cost.kv_bytes) == (0, 0)
    rate = 64 * 128 / cost.generate  # 260 tokens/s on two cores of a development machine
    assert 130 < rate < 520
