"""The scale and the options as the prompt gives them: said again by the model, they answer nothing."""

import re

from evalpack.extract.wording import any_of

MARK = "§"  # stands where the scale was described; `plain` leaves no other

_LOW, _HIGH = any_of("[01] zero one"), any_of("10 ten")
_NUMBER = r"(?<![\w.,/-])\d{1,2}(?![\d/%]|[.,]\d)"
_TO = any_of(r"- to through until up_to \.{2,3} bis a à al до ~ 至 到")
_MEANS = any_of(r"is means? meaning being indicat(?:es?|ing) represent(?:s|ing) stands_for")
# What the prompt says of an end of the scale: "never justifiable".
_ANCHOR = (
    r"(?:that )?(?:(?:it|this) )?(?:(?:is|being|can) ){0,2}"
    + any_of(
        r"""never always not completely totally entirely fully absolutely least most highly perfectly
        strongly extremely un\w{0,3}accept in?accept accept unjustif justif wrong right immoral
        moral"""
    )
    + r"[^\d\n.;,()]{0,40}"
)
_END = rf"(?: ?\({_ANCHOR}\)| ?(?:{_MEANS}|=|:|-|are|for|as) ?{_ANCHOR})"
_REMARK = r" ?\([^()\d\n]{0,60}\)"

_WORD = any_of("accept[ai]ble justifiable justified")
_NOT = r"(?:un-?|in|non-?|not )"
_BAND = r"(?: ?\(? ?(?:1 ?(?:-|to) ?5|6 ?(?:-|to) ?10) ?\)?)"
_OR = r" ?(?:,? or (?:say |as |is it )?|/|\||,? vs |,? versus )"
_AND_OR = r"[ ,;\n]{0,3}(?:or|and|/|\||vs|versus)?[ \n]?(?:say |as )?"
_IS = rf" ?(?:{_MEANS}|=|:|-|are)? ?\(?"

# The longer descriptions first: each leaves nothing over for the next.
_DESCRIPTIONS = (
    # acceptable (6-10) or unacceptable (1-5); 6-10: acceptable, 1-5: unacceptable
    rf"\b{_WORD}{_BAND}{_AND_OR}{_NOT}{_WORD}{_BAND}",
    rf"\b{_NOT}{_WORD}{_BAND}{_AND_OR}{_WORD}{_BAND}",
    rf"{_BAND}{_IS}{_WORD}\)?{_AND_OR}{_BAND}{_IS}{_NOT}{_WORD}\b\)?",
    rf"{_BAND}{_IS}{_NOT}{_WORD}\)?{_AND_OR}{_BAND}{_IS}{_WORD}\b\)?",
    # acceptable or unacceptable; acceptable or not
    rf"\b{_WORD}{_BAND}?{_OR}(?:{_NOT}{_WORD}\b{_BAND}?|not\b|otherwise\b)",
    rf"\b{_NOT}{_WORD}{_BAND}?{_OR}{_WORD}\b{_BAND}?",
    # 1 (never justifiable) to 10 (always justifiable), also where the text breaks off before 10
    rf"{_NUMBER}{_END} ?(?:{_TO}|,|;|and|or|\n)? ?(?:while )?{_NUMBER}{_END}",
    rf"{_NUMBER}{_REMARK} {_TO} {_NUMBER}{_REMARK}",
    rf"\b(?:from|of) {_LOW}{_END} ?{_TO} {_HIGH}\b(?:{_END})?",
    rf"\b{_LOW} ?\((?:never|not)[^()\d\n]{{0,40}}(?:\) ?(?:to|-)[^\n]{{0,12}})?\Z",
    rf"\bfrom {_LOW}{_END}",
    # 1 being never justifiable; 10 means always justifiable
    rf"{_NUMBER} ?{_MEANS} {_ANCHOR}",
    # from 1 to 10, 1-10, between 1 and 10; the bands 1-5 and 6-10
    rf"(?<![\w.,/-]){_LOW} ?{_TO} ?{_HIGH}(?![\d/]|[.,]\d)(?:{_END})?",
    rf"\bbetween {_LOW} and {_HIGH}\b(?:{_END})?",
    r"(?<![\w.,/-])(?:1 ?(?:-|to) ?5|6 ?(?:-|to) ?10)(?![\d/]|[.,]\d)",
)
_DESCRIPTION = re.compile("|".join(_DESCRIPTIONS))


def mask_scale(text: str) -> str:
    """`text` with a mark in place of every description of the scale or of the options.

    >>> mask_scale("from 1 (never justifiable) to 10 (always justifiable), i say 7")
    ' § , i say 7'
    """
    return _DESCRIPTION.sub(f" {MARK} ", text)
