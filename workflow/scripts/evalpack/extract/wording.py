"""Word lists as regular expressions."""


def any_of(words: str) -> str:
    """A group that matches any of the blank-separated `words`; `_` stands for a blank.

    Each may be a regular expression of its own. The longest come first, so that "out of" is not
    taken for "out".

    >>> any_of("of out_of years?")
    '(?:out of|years?|of)'
    """
    ordered = sorted(words.split(), key=len, reverse=True)
    return f"(?:{'|'.join(ordered).replace('_', ' ')})"
