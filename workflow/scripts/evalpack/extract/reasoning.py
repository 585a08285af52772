"""What a reasoning model thought before its answer, taken out of its text.

The tags are those that models write; nothing here needs a tokenizer, so that stored answers can
be split again at any time.
"""

import re
from dataclasses import dataclass, field

_NAMES = r"(?:think|thinking|thought|reasoning|seed:think|mm:think)"
_OPEN = rf"(?:<{_NAMES}>|\[THINK\]|<\|START_THINKING\|>|◁think▷)"
_CLOSE = rf"(?:</{_NAMES}>|\[/THINK\]|<\|END_THINKING\|>|◁/think▷)"
_TAG = re.compile(rf"(?P<open>{_OPEN})|{_CLOSE}", re.IGNORECASE)
_OPENED = re.compile(_OPEN + r"\s{0,16}\Z", re.IGNORECASE)
_HARMONY = re.compile(r"<\|(start|channel|message|end|return|call|constrain)\|>")
# The same with the special tokens left out when it was detokenised.
_BARE_ANALYSIS = re.compile(r"\s{0,8}analysis(?=[A-Z])")
_BARE_FINAL = re.compile(r"\s{0,8}(?:assistant)?final(?=[A-Z0-9*{\"])")
_BARE_SWITCH = re.compile(r"assistant(?:commentary|analysis)")


@dataclass(frozen=True, slots=True)
class Split:
    """A model's text in two.

    Attributes:
        reasoning: what it thought; None if it shows none.
        answer: what it said; the text itself if it shows no reasoning.
        truncated: the token limit came before any answer.
    """

    reasoning: str | None
    answer: str
    truncated: bool


@dataclass(slots=True)
class _Parts:
    thought: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    closed: bool = True


def split_reasoning(text: str, *, finish_reason: str | None, opened: bool = False) -> Split:
    """Take the reasoning out of `text`.

    A block that never closed holds no answer: it is `truncated` if the limit cut it
    (`finish_reason` "length"), and an empty answer if the model stopped by itself.

    Args:
        text: all that the model generated.
        finish_reason: why it stopped, as the engine says ("stop", "length", ...).
        opened: the prompt ended with an opening tag (see `opens_reasoning`), so that the text
            starts as reasoning.
    """
    parts = _harmony(text) or _stripped_harmony(text) or _tagged(text, opened=opened)
    if parts is None:
        cut = finish_reason == "length" and not text.strip()
        return Split(reasoning=None, answer=text, truncated=cut)
    answer = _joined(parts.answer)
    cut = finish_reason == "length" and (not parts.closed or not answer)
    return Split(reasoning=_joined(parts.thought) or None, answer=answer, truncated=cut)


def opens_reasoning(prompt: str) -> bool:
    """True if a rendered prompt ends with an opening tag, as some chat templates write it."""
    return _OPENED.search(prompt[-64:]) is not None


def _joined(pieces: list[str]) -> str:
    return "\n\n".join(filter(None, map(str.strip, pieces)))


def _tagged(text: str, *, opened: bool) -> _Parts | None:
    parts = _Parts()
    inside, at = opened, 0
    end = len(text.rstrip())
    for tag in _TAG.finditer(text):
        piece, at = text[at : tag.start()], tag.end()
        if inside or tag["open"]:
            (parts.thought if inside else parts.answer).append(piece)
        elif at >= end and parts.thought:  # a closing tag too many, after the answer
            parts.answer.append(piece)
        else:  # its opening tag was in the prompt: all until here was thought
            parts.thought += [*parts.answer, piece]
            parts.answer.clear()
        inside = tag["open"] is not None
    if at == 0 and not opened:
        return None
    (parts.thought if inside else parts.answer).append(text[at:])
    parts.closed = not inside
    return parts


def _harmony(text: str) -> _Parts | None:
    """Messages of gpt-oss: `<|channel|>analysis<|message|>...<|end|>...final<|message|>...`."""
    tokens = list(_HARMONY.finditer(text))
    if not any(token[1] in {"channel", "message"} for token in tokens):
        return None
    parts = _Parts(closed=False)
    state, channel, at = "channel" if tokens[0][1] == "message" else "message", "final", 0
    for token in [*tokens, None]:
        piece = text[at : token.start() if token else len(text)]
        if state == "channel":
            channel = (piece.split() or ["final"])[0]
        elif state == "message" and piece.strip():
            final = channel == "final"
            (parts.answer if final else parts.thought).append(piece)
            parts.closed |= final
        if token:
            state, at = token[1], token.end()
            channel = "final" if state == "start" else channel
    return parts


def _stripped_harmony(text: str) -> _Parts | None:
    """The same without its special tokens: `analysisWe need ...assistantfinal8/10`."""
    if final := _BARE_FINAL.match(text):
        return _Parts(answer=[text[final.end() :]])
    thought, switch, answer = text.partition("assistantfinal")
    begins = text.lstrip().startswith("analysis") if switch else _BARE_ANALYSIS.match(text)
    if not begins:
        return None
    pieces = _BARE_SWITCH.split(thought.lstrip().removeprefix("analysis"))
    return _Parts(thought=pieces, answer=[answer], closed=bool(switch))
