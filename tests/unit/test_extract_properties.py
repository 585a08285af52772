"""What holds of every answer, whatever a model writes."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from evalpack.extract import extract, split_reasoning

# Pieces that the rules look at, in any order: nearer to real answers than random characters.
VOCABULARY = r"""
    acceptable unacceptable not n't never neither nor is isn't it I think justified if but and or to
    from scale of out rating: final score = 1 5 6 7 8 10 11 /10 1-10 6-10 (never (always ) . , ; : ? ! ** _ |
    <b> </b> \boxed{ } { " ' [ ] % some people as an AI cannot rate ten seven half wait, actually justifiable
    <think> </think> analysis assistantfinal <|channel|> <|message|> § ½ ² ٨"""
PIECES = st.sampled_from([*VOCABULARY.split(), "\n", "\t", "\u200b", "\0"])
ANSWERS = (
    st.lists(PIECES, max_size=30).map(" ".join)
    | st.lists(PIECES, max_size=30).map("".join)
    | st.text()
)
ASCII = st.lists(PIECES, max_size=30).map(" ".join).filter(str.isascii)

NUMBER_FORMS = [
    "Rating: {}",
    "{}/10",
    "I would rate it a {}.",
    "**Score:** {} out of 10",
    "{}",
    "Final rating: {}/10",
]
WORD_FORMS = [
    "{}",
    "Judgment: {}",
    "I find it {}.",
    "It is {}.",
    "**{}**",
    "This is clearly {} to me.",
]


@given(ANSWERS)
@example("&#" + "9" * 5000 + ";")
@example("\ud800 8/10")
def test_any_text_is_read_without_an_error(text: str) -> None:
    read = extract(text)
    assert read.choice in {"acceptable", "unacceptable", "unknown"}
    assert read.moral_score is None or (
        type(read.moral_score) is int and 1 <= read.moral_score <= 10
    )
    assert not (read.disagreement and read.choice == "unknown")


@given(
    ANSWERS,
    st.text(alphabet=" \t\r\n\u00a0", max_size=5),
    st.text(alphabet=" \t\r\n\u00a0", max_size=5),
)
def test_blanks_around_an_answer_change_nothing(text: str, before: str, after: str) -> None:
    assert extract(before + text + after) == extract(text)


@given(ASCII)
def test_capitals_change_nothing(text: str) -> None:
    assert extract(text.upper()) == extract(text.lower())


@given(ANSWERS, st.integers(min_value=1, max_value=10))
def test_a_score_and_a_choice_that_disagree_are_said_to(text: str, score: int) -> None:
    read = extract(f"{text}\nFinal rating: {score}/10")
    if read.moral_score is not None and read.choice != "unknown":
        side = "acceptable" if read.moral_score >= 6 else "unacceptable"
        assert read.disagreement == (read.choice != side)


def test_the_usual_forms_give_every_rating_and_choice() -> None:
    words = {
        "acceptable": "acceptable",
        "unacceptable": "unacceptable",
        "not acceptable": "unacceptable",
    }
    for number_form, word_form, word, score in itertools.product(
        NUMBER_FORMS, WORD_FORMS, words, range(1, 11)
    ):
        number, judgment = number_form.format(score), word_form.format(word)
        for text in (
            f"{number}\n{judgment}",
            f"{judgment}\n\n{number}",
            f"{judgment}\nReason: trust.\n{number}",
        ):
            read = extract(text)
            side = "acceptable" if score >= 6 else "unacceptable"
            assert (read.choice, read.moral_score) == (words[word], score), text
            assert read.disagreement == (words[word] != side), text


@given(ANSWERS, st.sampled_from(["stop", "length", None]), st.booleans())
def test_any_text_is_split_without_an_error_and_nothing_is_made_up(
    text: str, reason: str | None, opened: bool
) -> None:
    split = split_reasoning(text, finish_reason=reason, opened=opened)
    kept = (split.reasoning or "") + split.answer
    assert len("".join(kept.split())) <= len("".join(text.split()))
    assert not (split.truncated and reason != "length")


@given(ANSWERS)
def test_a_text_without_reasoning_is_its_own_answer(text: str) -> None:
    split = split_reasoning(text, finish_reason="stop")
    if split.reasoning is None and "<" not in text and "final" not in text:
        assert split.answer == text
