"""Plain text: one alphabet, one kind of digit, dash and quote, lower case, nothing invisible."""

import html
import re
import unicodedata

_ENTITY = re.compile(r"&#?\w{1,10};")
_APOSTROPHES = "'\u2019\u2018\u201b\u00b4\u02bc"
_DASHES = "\u2014\u2015"  # these stand between phrases; all others join words or numbers
_SPECIAL = {
    **dict.fromkeys(_APOSTROPHES, "'"),
    **dict.fromkeys(_DASHES, " - "),
    **dict.fromkeys("\n\r\v\f\x85\u2028\u2029", "\n"),
    **dict.fromkeys('`"', ""),
    "\t": "\t",
    "\u2212": "-",  # minus
    "\u3002": ". ",
    "\u3001": ", ",
    "½": ".5",
    "¼": ".25",
    "¾": ".75",
    "🔟": "10",
    "§": " section ",  # `scale` marks what it masks with this sign
}
_BY_CATEGORY = {
    **dict.fromkeys(("Cc", "Cf", "Cs", "Co", "Me")),  # NUL, zero-width and bidi marks, keycaps
    "Pd": "-",
    "Pi": "",
    "Pf": "",
    "Zs": " ",
}


class _Table(dict[int, str | None]):
    """A translation table (code point -> text, None to drop) that fills itself on first sight."""

    def __missing__(self, code: int) -> str | None:
        self[code] = _plain(chr(code))
        return self[code]


_TABLE = _Table()


def _plain(char: str) -> str | None:
    category = unicodedata.category(char)
    if char in _SPECIAL:
        return _SPECIAL[char]
    if category in _BY_CATEGORY or unicodedata.name(char, "").startswith("VARIATION SELECTOR"):
        return _BY_CATEGORY.get(category)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "No" and unicodedata.decomposition(char).startswith(("<super>", "<sub>")):
        return None  # a footnote mark: a seven with a raised two is not 72
    folded = unicodedata.normalize("NFKC", char)
    return folded if folded == char else folded.translate(_TABLE)


def to_plain(text: str) -> str:
    r"""`text` in lower case with full-width, Arabic-Indic and keycap digits as 0-9, and so on.

    >>> to_plain("Rating\uff1a \uff18\uff0f\uff11\uff10, \u201cAcceptable\u201d")
    'rating: 8/10, acceptable'
    """
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text.translate(_TABLE).lower()
