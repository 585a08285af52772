"""Whether a text is English: "acceptable" is also a French and a Catalan word."""

import re

_ENGLISH = re.compile(r"\b(?:the|is|it|this|that|of|to|and|in|for|not|be|are|i|my|because|with)\b")
_OTHER = re.compile(
    r"\b(?:le|la|les|un|une|des|du|et|est|pas|que|qui|dans|pour|sur|mais|jamais|il|elle|je|cette|ce|si|car"
    r"|seulement|selon|toujours|moralement|totalement|el|els|és|amb|perquè|no és)\b|\b[cdlnjs]'"
)


def is_english(text: str) -> bool:
    """False if `text` has more of the small words of French or Catalan than of English."""
    return len(_ENGLISH.findall(text)) >= len(_OTHER.findall(text))
