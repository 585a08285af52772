"""Layout: blanks, hard-wrapped lines, list numbers, and where the model starts to play the user."""

import re

_BLANKS = re.compile(r"[ \t]+")
_LINE_ENDS = re.compile(r" ?\n[ \n]*")
# A line that ends so is wrapped, not finished: "it is not\nacceptable" is one sentence.
_UNFINISHED = re.compile(
    r"\b(not|never|cannot|\w{1,8}n't|is|are|was|be|been|being|the|to|of|and|it's|that|this"
    r"|would|should|considered|morally|ethically|hardly|neither|nor|less|than)\n"
)
_LIST_NUMBER = re.compile(r"^\(?(\d{1,2})[.)] (?=\S)", re.MULTILINE)
# A base model runs on and writes the next turn itself.
_NEXT_TURN = re.compile(r"\n(?:(?:user|human)(?:'s)?(?: \w{1,12})? ?:|#{0,6} ?instructions? ?:)")
_ABBREVIATIONS = re.compile(r"\b(e\. ?g|i\. ?e|vs|approx|etc)\.")


def lay_out(text: str) -> str:
    r"""`text` with one sentence or item a line at least, single blanks, and no list numbers.

    >>> lay_out("1. it is not\n   acceptable\n2. rating: 7")
    'it is not acceptable\nrating: 7'
    """
    text = _LINE_ENDS.sub("\n", _BLANKS.sub(" ", text)).strip()
    text = _ABBREVIATIONS.sub(lambda short: re.sub(r"[. ]", "", short[1]), text)
    if turn := _NEXT_TURN.search(text):
        text = text[: turn.start()]
    return _strip_list_numbers(_UNFINISHED.sub(r"\1 ", text))


def _strip_list_numbers(text: str) -> str:
    numbers = _LIST_NUMBER.findall(text)
    # "8. because ..." is a rating and its reason; "1. ..." or several such lines are a list.
    if len(numbers) > 1 or numbers == ["1"]:
        return _LIST_NUMBER.sub("", text)
    return text
