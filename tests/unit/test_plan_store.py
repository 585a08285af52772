"""Plans on disk: found by what they were made from, unless they move what the run has begun."""

from dataclasses import replace
from pathlib import Path

import pytest
from lineups import MODELS, TEN, plan, pool, work

from evalpack.atomic import write_json
from evalpack.paths import RunPaths
from evalpack.plan import store
from evalpack.plan.plan import Ask, Kept, Plan
from evalpack.plan.pool import Pool

ASKS = [Ask(model, work(), 8192) for model in TEN]


def digest(asks: list[Ask] = ASKS, where: Pool | None = None, **planning: int) -> str:
    return store.inputs_digest(asks, where or pool(), planning)


def begin(paths: RunPaths, planned: Plan, *slugs: str) -> None:
    """Write what a run keeps of its plan, and the mark of a job of these models."""
    jobs = [
        {"slug": m.slug, "gpus": m.gpus, "shards": m.shards, "inputs": m.inputs}
        for m in planned.models
    ]
    write_json(paths.plan, {"models": jobs})
    for slug in slugs:
        paths.generations(slug).mkdir(parents=True)


def test_a_plan_is_found_by_the_digest_of_its_inputs_and_no_other(tmp_path: Path) -> None:
    planned = plan(TEN)
    store.save(tmp_path / "cache", digest(), planned)
    assert store.find(tmp_path / "cache", digest()) == planned
    assert store.find(tmp_path / "cache", digest(shards=2)) is None
    assert store.find(tmp_path / "none", digest()) is None


def test_the_order_of_the_config_and_the_solvers_time_are_no_inputs() -> None:
    assert digest(ASKS[::-1]) == digest()
    assert digest(solver_seconds=60) == digest()


@pytest.mark.parametrize(
    "other",
    [
        digest(ASKS[:-1]),
        digest([replace(ASKS[0], work=work(6000)), *ASKS[1:]]),
        digest([replace(ASKS[0], max_model_len=4096), *ASKS[1:]]),
        digest([replace(ASKS[0], model=replace(TEN[0], shards=2)), *ASKS[1:]]),
        digest(where=pool(8)),
        digest(where=pool(4, "H100-80GB")),
        digest(output_tokens=64),
        digest(warm_start=False),
    ],
)
def test_whatever_a_plan_hangs_on_is_an_input(other: str) -> None:
    assert other != digest()


def test_what_is_kept_is_the_plan_of_models_that_have_begun(tmp_path: Path) -> None:
    paths, planned = RunPaths(tmp_path), plan(TEN)
    assert store.kept(paths) == {}
    begin(paths, planned, "llama3.1-8b")
    model = planned.model("llama3.1-8b")
    assert store.kept(paths) == {model.slug: Kept(model.gpus, model.shards, model.inputs)}


def test_a_plan_made_before_the_run_began_otherwise_is_not_taken(tmp_path: Path) -> None:
    planned = plan([MODELS["llama3.1:8b"]], asked=work(50_000))
    model = planned.models[0]
    store.save(tmp_path, "made", planned)
    as_planned = Kept(model.gpus, model.shards, model.inputs)
    otherwise = replace(as_planned, shards=model.shards + 1)
    assert store.find(tmp_path, "made", {model.slug: as_planned}) == planned
    assert store.find(tmp_path, "made", {"another": otherwise}) == planned
    assert store.find(tmp_path, "made", {model.slug: otherwise}) is None
    # What was begun from other inputs is planned anew anyway.
    changed = replace(otherwise, inputs="other")
    assert store.find(tmp_path, "made", {model.slug: changed}) == planned


def test_a_model_that_a_plan_left_out_and_that_comes_back_is_kept(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    begin(paths, plan(TEN), "llama3.1-8b", "mistral-7b")
    before = store.kept(paths)
    left_out = {slug: vars_of(choice) for slug, choice in before.items() if slug == "mistral-7b"}
    write_json(paths.plan, {"models": [], "kept": left_out})
    assert store.kept(paths) == {"mistral-7b": before["mistral-7b"]}


def vars_of(choice: Kept) -> dict[str, object]:
    return {"gpus": choice.gpus, "shards": choice.shards, "inputs": choice.inputs}
