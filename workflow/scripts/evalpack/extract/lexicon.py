"""English words that decide how "acceptable" is meant by what stands before it."""

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATORS = _set(
    """not never cannot nor neither hardly scarcely rarely seldom nothing none nobody
    isnt arent wasnt dont doesnt didnt cant couldnt wouldnt shouldnt wont"""
)
# Between the negation and the word they leave it open: "not always acceptable".
WHOLLY = _set(
    """always completely totally entirely absolutely fully wholly perfectly universally necessarily
    strictly inherently exactly automatically unconditionally categorically sufficiently"""
)
MAY = _set("can could may might only")
BE = _set(
    """is are be been being am remain remains seem seems become becomes appear appears
    stay stays"""
)
# Verbs that ascribe the word to something: "i find it acceptable".
JUDGE = _set(
    """find finds found consider considers considered deem deems deemed see sees seen view views
    viewed regard regards regarded judge judged call called rate rated think believe feel say declare
    label labelled labeled classify classified choose pick select rank lean leans leaning treat treated make
    makes"""
)
# After a negation they carry it into the clause that follows: "i do not think that it is".
RAISING = _set(
    """think believe feel find consider see view regard agree say support condone accept deem call
    rate judge suggest imagine mean imply prove show understand make makes"""
)
FILLERS = _set(
    """i it this that these those they them such me myself a an the there as to by would should will
    shall must do does did has have had ever at all really truly very quite rather pretty highly
    extremely deeply utterly clearly definitely certainly simply just plainly generally usually
    typically normally commonly widely often mostly largely mainly broadly somewhat fairly morally
    ethically socially legally culturally personally also still both overall itself any even
    something behaviour behavior therefore thus ultimately probably likely economically profoundly
    fundamentally indeed toward towards"""
)
# With these before it the word compares, points or looks back; the sign stands for the scale.
ELSEWHERE = _set("more less most least how too enough there was were used §")
PREPOSITIONS = _set(
    "of beyond outside against within for with from below above between about on under"
)
# A claim about a claim: "no one says that it is acceptable".
DOUBTING = _set(
    """no deny denies disagree reject rejects refuse doubt unlikely impossible false untrue incorrect
    barely unsure wonder debatable pretend wrong mistake misleading easy tempting"""
)

_IDIOMS = (
    (r"\b(?:there(?:'s| is) )?(?:no|without(?: any| a)?) (?:doubt|question)(?: that)?\b", ""),
    (
        r"\b(?:cannot|can't|can not) (?:stress|emphasi[sz]e|say) (?:this |it )?enough(?: that)?\b",
        "",
    ),
    (r"\bno matter\b", ""),
    (r"\bnot (?:only|just|merely|simply)\b", ""),
    (
        r"\b(?:anything but|far from|by no means|in no way|under no circumstances?|on no account"
        r"|no longer|not in any way)\b",
        "not",
    ),
    (
        r"\bthere (?:is|are) no (?:circumstances?|situations?|scenarios?|cases?|contexts?|way)"
        r" (?:under|in|where|that)(?: which)?\b",
        "never",
    ),
    (r"\bnothing (?:about|in) (?:this|that|it)\b", "not"),
    (r"\bfail to\b", "do not"),
    (r"\b(never|not),? (?:ever|in the least)\b", r"\1"),
    (r"\bcan not\b", "cannot"),
    (r"(?:\bnot|n't) entitled\b", " unentitled"),  # a topic of the survey, not a negation
    (r"\b(?:in my (?:\w{1,12} )?(?:opinion|view)|from my perspective|for me|to me)\b", "i"),
    (r"(\bnot|\bnever|n't), [^,.\n]{1,40}, ", r"\1 "),  # "it is not, i think, acceptable"
)
_COMPILED = tuple((re.compile(pattern), by) for pattern, by in _IDIOMS)
_WORD = re.compile(r"[^\W\d_]{1,40}(?:'[^\W\d_]{1,9})?|§")


def unfold_idioms(text: str) -> str:
    """`text` with set phrases put plainly.

    >>> unfold_idioms("that is far from acceptable")
    'that is not acceptable'
    """
    for pattern, by in _COMPILED:
        text = pattern.sub(by, text)
    return text


def split_words(text: str) -> list[str]:
    """The words of `text`, without numbers and punctuation."""
    return _WORD.findall(text)


def negates(word: str) -> bool:
    """True for "not", "never", "isn't", "hardly", ..."""
    return word in NEGATORS or word.endswith("n't")


def is_be(word: str) -> bool:
    """True for "is", "it's", "remains", ..."""
    return word in BE or word.endswith(("'s", "'re", "'m"))
