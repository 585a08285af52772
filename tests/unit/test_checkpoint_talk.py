"""How a checkpoint is talked to, found out by trying its chat template."""

import json
from pathlib import Path
from typing import Any

import pytest
from checkpoints import CHATML, TOKENIZER

from evalpack.checkpoint.source import open_source
from evalpack.checkpoint.talk import Talk, read_talk
from evalpack.errors import UserError

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    '{% set date_string = strftime_now("%d %b %Y") %}{% else %}'
    '{% set date_string = "26 Jul 2024" %}{% endif %}{% endif %}Today: {{ date_string }}' + CHATML
)


def talk(folder: Path, tokenizer: dict[str, Any], files: dict[str, str] | None = None) -> Talk:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    return read_talk(open_source(str(folder), None), {}, "2026-11-25")


def special(**tokens: int) -> dict[str, Any]:
    return {str(i): {"content": f"<{t}>", "special": True} for t, i in tokens.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "m"


def test_a_template_that_takes_all_needs_no_word(folder: Path) -> None:
    assert talk(folder, TOKENIZER) == Talk()


def test_without_a_template_prompts_go_to_the_model_as_they_are(folder: Path) -> None:
    assert talk(folder, {"eos_token": "</s>"}).format == "completion"


@pytest.mark.parametrize(
    ("tokenizer", "files"),
    [
        ({}, {"chat_template.jinja": CHATML}),
        ({"chat_template": [{"name": "rag", "template": "{{ 1/0 }}"}]}, {}),
        (
            {
                "chat_template": [
                    {"name": "tool_use", "template": "{{ 1/0 }}"},
                    {"name": "default", "template": CHATML},
                ]
            },
            {},
        ),
    ],
)
def test_wherever_the_template_lies_it_is_found(
    folder: Path, tokenizer: dict[str, Any], files: dict[str, str]
) -> None:
    expected = "completion" if len(tokenizer.get("chat_template", "xx")) == 1 else "chat"
    assert talk(folder, tokenizer, files).format == expected


def test_a_template_that_only_processors_read_is_written_into_the_entry(folder: Path) -> None:
    """The tokenizer, which the engine asks, does not know of chat_template.json."""
    beside = {"chat_template.json": json.dumps({"chat_template": CHATML})}
    assert talk(folder, {}, beside).chat_template == CHATML


@pytest.mark.parametrize(
    "template",
    [GEMMA, "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}{% endfor %}"],
)
def test_a_system_prompt_that_is_refused_or_dropped_is_merged(folder: Path, template: str) -> None:
    assert talk(folder, {"chat_template": template, "bos_token": "<s>"}).system_role == "merge"


@pytest.mark.parametrize(
    ("template", "kwargs"),
    [
        (LLAMA, {"date_string": "26 Jul 2024"}),
        ("{{ strftime_now('%Y-%m-%d') }}" + CHATML, {"strftime_now": "2026-11-25"}),
        ("{% if enable_thinking is false %}{% endif %}" + CHATML, {"enable_thinking": False}),
        ("{{ reasoning_effort }}" + CHATML, {"reasoning_effort": "low"}),
    ],
)
def test_what_would_change_by_itself_is_fixed(
    folder: Path, template: str, kwargs: dict[str, Any]
) -> None:
    assert talk(folder, {"chat_template": template}).chat_template_kwargs == kwargs


def test_tags_and_filters_of_transformers_are_known(folder: Path) -> None:
    template = (
        "{{ messages | tojson(indent=2) }}{% for m in messages %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% if loop.first %}{% continue %}{% endif %}{% endfor %}"
    )
    assert talk(folder, {"chat_template": template}).format == "chat"


class TestTheEndOfATurn:
    TOKENIZER: dict[str, Any] = {  # noqa: RUF012
        "chat_template": GEMMA,
        "eos_token": {"content": "<eos>"},
        "added_tokens_decoder": special(eos=1, start_of_turn=106, end_of_turn=107),
    }

    def test_one_at_which_no_engine_stops_is_a_stop_token(self, folder: Path) -> None:
        generation = {"generation_config.json": '{"eos_token_id": 1}'}
        assert talk(folder, self.TOKENIZER, generation).sampling == {"stop_token_ids": [107]}

    def test_one_at_which_it_stops_is_none(self, folder: Path) -> None:
        generation = {"generation_config.json": '{"eos_token_id": [1, 107]}'}
        assert talk(folder, self.TOKENIZER, generation).sampling == {}

    def test_it_is_found_in_tokenizer_json_as_well(self, folder: Path) -> None:
        tokenizer = {k: v for k, v in self.TOKENIZER.items() if k != "added_tokens_decoder"}
        added = [{"id": 107, "content": "<end_of_turn>", "special": True}]
        files = {"tokenizer.json": json.dumps({"added_tokens": added})}
        assert talk(folder, tokenizer, files).sampling == {"stop_token_ids": [107]}

    def test_a_model_with_channels_goes_on_after_each_of_them(self, folder: Path) -> None:
        template = GEMMA + "{# <|channel|> #}"
        found = talk(folder, {**self.TOKENIZER, "chat_template": template})
        assert found.sampling == {"skip_special_tokens": False}


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for m in", "fails on a plain question"),
        ("{{ raise_exception('give images') }}", "fails on a plain question (give images)"),
        ("{{ ''.__class__.__mro__ }}", "fails on a plain question"),
        (
            "{% for m in messages %}{% for c in m.content if c.type == 'text' %}{{ c.text }}"
            "{% endfor %}{% endfor %}",
            "drops a question that is plain text",
        ),
    ],
)
def test_a_template_that_takes_no_question_is_refused(
    folder: Path, template: str, says: str
) -> None:
    with pytest.raises(UserError) as caught:
        talk(folder, {"chat_template": template})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
