"""What a model is asked: samples × conditions × draws, in the form the model can take."""

from pathlib import Path
from typing import Any

from builders import GREEDY, WARM, Run, prepared, question

from evalpack.asks import Ask, asks
from evalpack.jobs import Asking, ModelJob
from evalpack.models import Model

CHAT = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Good day"},
    {"role": "user", "content": "Is it justifiable?"},
]
PLAIN = Asking("default", GREEDY)
STRICT = Asking("strict", GREEDY, system_prompt="Be brief.")


def asked(
    folder: Path,
    *askings: Asking,
    rows: list[dict[str, Any]] | None = None,
    **model: Any,
) -> list[Ask]:
    samples = prepared(folder / "run", rows or [question(0), question(1)])
    job = ModelJob(Model("tiny", path="models/tiny", **model), askings or (PLAIN,))
    return list(asks(samples, job, "settings"))


def chat(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"id": "s0", "messages": messages}]


def turns(ask: Ask) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in ask.messages or ()]


def test_every_sample_is_asked_under_every_condition_and_draw_in_the_files_order(
    tmp_path: Path,
) -> None:
    found = asked(tmp_path, PLAIN, Asking("warm", WARM, n=2))
    assert [(a.sample["sample_id"], a.condition, a.draw) for a in found] == [
        (sample, condition, draw)
        for sample in ("s0", "s1")
        for condition, draw in (("default", 0), ("warm", 0), ("warm", 1))
    ]
    assert len({a.key for a in found}) == 6


def test_the_order_holds_over_many_batches(tmp_path: Path) -> None:
    found = asked(tmp_path, rows=[question(i) for i in range(2500)])
    assert [a.sample["sample_id"] for a in found] == [f"s{i}" for i in range(2500)]


def test_equal_prompts_share_a_greedy_answer_but_not_a_drawn_one(tmp_path: Path) -> None:
    rows = [question(0), {**question(0), "id": "again"}]
    found = asked(tmp_path, PLAIN, Asking("warm", WARM), rows=rows)
    greedy = [a.key for a in found if a.condition == "default"]
    drawn = [a.key for a in found if a.condition == "warm"]
    assert len(set(greedy)) == 1
    assert len(set(drawn)) == 2


def test_a_request_holds_what_the_row_is_asked(tmp_path: Path) -> None:
    (ask, _) = asked(tmp_path)
    request = ask.request()
    assert request.key == ask.key
    assert request.messages == ({"role": "user", "content": "Is act 0 justifiable?"},)
    assert request.prompt is None
    assert request.sampling == GREEDY
    assert ask.shown == "Is act 0 justifiable?"


def test_a_chat_goes_to_the_model_turn_by_turn_and_shows_its_last(tmp_path: Path) -> None:
    (ask,) = asked(tmp_path, rows=chat(CHAT))
    assert turns(ask) == [(m["role"], m["content"]) for m in CHAT]
    assert ask.shown == "Is it justifiable?"


class TestSystemPrompt:
    def test_a_native_one_is_a_turn_of_its_own(self, tmp_path: Path) -> None:
        ask = asked(tmp_path, STRICT)[0]
        assert turns(ask) == [("system", "Be brief."), ("user", "Is act 0 justifiable?")]

    def test_a_merged_one_stands_before_the_question(self, tmp_path: Path) -> None:
        ask = asked(tmp_path, STRICT, system_role="merge")[0]
        assert turns(ask) == [("user", "Be brief.\n\nIs act 0 justifiable?")]

    def test_a_merged_one_of_the_sample_itself_does_too(self, tmp_path: Path) -> None:
        own = [{"role": "system", "content": "Be kind."}, *CHAT]
        (ask,) = asked(tmp_path, rows=chat(own), system_role="merge")
        assert turns(ask)[0] == ("user", "Be kind.\n\nHello")
        assert len(turns(ask)) == 3

    def test_where_it_is_an_error_the_row_is_refused_for_good(self, tmp_path: Path) -> None:
        found = asked(tmp_path, PLAIN, STRICT, system_role="error")
        refusals = [a.refusal for a in found[:2]]
        assert refusals[0] is None
        assert refusals[1] is not None
        assert (refusals[1].type, refusals[1].permanent) == ("UnsupportedChat", True)
        assert "tiny has no system role" in refusals[1].message

    def test_a_condition_can_have_none(self, tmp_path: Path) -> None:
        ask = asked(tmp_path, Asking("silent", GREEDY, system_prompt=""))[0]
        assert turns(ask) == [("user", "Is act 0 justifiable?")]

    def test_merging_leaves_no_system_turn_where_sample_and_condition_have_one(
        self, tmp_path: Path
    ) -> None:
        own = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Is it?"}]
        (ask,) = asked(tmp_path, STRICT, rows=chat(own), system_role="merge")
        assert turns(ask) == [("user", "Be brief.\n\nBe kind.\n\nIs it?")]

    def test_merging_puts_nothing_into_the_models_mouth(self, tmp_path: Path) -> None:
        (ask,) = asked(tmp_path, STRICT, rows=chat(CHAT[1:]), system_role="merge")
        assert turns(ask)[0] == ("assistant", "Good day")


class TestCompletion:
    def test_the_prompt_goes_to_the_model_as_it_is(self, tmp_path: Path) -> None:
        request = asked(tmp_path, format="completion")[0].request()
        assert (request.messages, request.prompt) == (None, "Is act 0 justifiable?")

    def test_a_system_prompt_stands_before_it(self, tmp_path: Path) -> None:
        ask = asked(tmp_path, STRICT, format="completion")[0]
        assert ask.prompt == "Be brief.\n\nIs act 0 justifiable?"

    def test_a_chat_with_answers_in_it_is_refused(self, tmp_path: Path) -> None:
        (ask,) = asked(tmp_path, rows=chat(CHAT), format="completion")
        assert ask.refusal is not None
        assert ask.refusal.type == "UnsupportedChat"
        assert "give the sample a prompt" in ask.refusal.message


class TestTemplate:
    BY_COLUMN = Asking("own", GREEDY, template="{{ country }}: {{ prompt }}")

    def test_it_makes_the_prompt_from_the_samples_columns(self, tmp_path: Path) -> None:
        ask = asked(tmp_path, self.BY_COLUMN)[0]
        assert ask.shown == "DEU: Is act 0 justifiable?"
        assert turns(ask) == [("user", "DEU: Is act 0 justifiable?")]

    def test_it_takes_the_place_of_a_chat(self, tmp_path: Path) -> None:
        template = Asking("own", GREEDY, template="{{ sample_id }}?")
        (ask,) = asked(tmp_path, template, rows=chat(CHAT))
        assert turns(ask) == [("user", "s0?")]

    def test_a_sample_that_it_fails_on_is_a_refused_row_and_the_others_are_asked(
        self, tmp_path: Path
    ) -> None:
        rows = [question(0, country=None), question(1)]
        lost, kept = asked(tmp_path, self.BY_COLUMN, rows=rows)
        assert kept.refusal is None
        assert lost.refusal is not None
        assert (lost.refusal.type, lost.refusal.permanent) == ("TemplateError", True)
        assert "condition own" in lost.refusal.message

    def test_one_that_tells_the_humans_answer_is_a_leak(self, tmp_path: Path) -> None:
        rows = [question(0, human_response=7)]
        telling = Asking(
            "telling", GREEDY, template="{{ prompt }} People said {{ human_response }}"
        )
        found = asked(tmp_path, PLAIN, telling, rows=rows)
        assert [a.label_leak for a in found] == [False, True]

    def test_a_failed_template_takes_no_answer_from_another_condition(self, tmp_path: Path) -> None:
        good, lost = asked(tmp_path, PLAIN, self.BY_COLUMN, rows=[question(0, country=None)])
        assert good.refusal is None
        assert lost.refusal is not None
        assert good.key != lost.key


def test_a_refused_row_can_be_asked_once_the_entry_is_mended(tmp_path: Path) -> None:
    refused = asked(tmp_path / "a", STRICT, system_role="error")[0]
    mended = asked(tmp_path / "b", STRICT, system_role="native")[0]
    assert refused.refusal is not None
    assert mended.refusal is None
    assert refused.key != mended.key


LONGER = {**GREEDY, "max_tokens": 128}


def test_conditions_that_differ_in_their_limit_only_have_answers_of_their_own(
    tmp_path: Path,
) -> None:
    short, long = Asking("short", GREEDY), Asking("long", LONGER)
    keys = {a.condition: a.key for a in asked(tmp_path, short, long, rows=[question(0)])}
    assert keys["short"] != keys["long"]


def test_the_first_of_them_keeps_its_answer_when_another_is_added(tmp_path: Path) -> None:
    (alone,) = asked(tmp_path / "a", PLAIN, rows=[question(0)])
    first, _ = asked(tmp_path / "b", PLAIN, Asking("long", LONGER), rows=[question(0)])
    assert first.key == alone.key


def test_conditions_of_one_limit_share_their_answer_also_after_one_of_another(
    tmp_path: Path,
) -> None:
    askings = (PLAIN, Asking("long", LONGER), Asking("same", GREEDY), Asking("as long", LONGER))
    keys = [a.key for a in asked(tmp_path, *askings, rows=[question(0)])]
    assert keys[0] == keys[2] != keys[1] == keys[3]


def test_the_limit_alone_does_not_change_the_key_where_no_condition_differs(
    tmp_path: Path,
) -> None:
    (before,) = asked(tmp_path / "a", rows=[question(0)])
    (after,) = asked(tmp_path / "b", Asking("default", LONGER), rows=[question(0)])
    assert before.key == after.key


def test_a_seed_counts_up_so_that_draws_differ(tmp_path: Path) -> None:
    seeded = Asking("warm", {**WARM, "seed": 7}, n=3)
    found = asked(tmp_path, seeded, rows=[question(0)])
    assert [a.request().sampling["seed"] for a in found] == [7, 8, 9]
    assert len({a.key for a in found}) == 3


def test_without_a_seed_draws_have_none(tmp_path: Path) -> None:
    found = asked(tmp_path, Asking("warm", WARM, n=2), rows=[question(0)])
    assert [dict(a.sampling) for a in found] == [WARM, WARM]


def test_other_weights_give_other_keys(tmp_path: Path) -> None:
    run = Run(tmp_path, [question(0)], models=("tiny", "small"))
    assert run.asks("tiny")[0].key != run.asks("small")[0].key
