"""Mark-up taken off: HTML, LaTeX, Markdown, JSON and tables become lines of plain words."""

import re

_Rule = tuple[re.Pattern[str], str]


def _rules(*pairs: tuple[str, str]) -> tuple[_Rule, ...]:
    return tuple((re.compile(pattern, re.MULTILINE), by) for pattern, by in pairs)


_INLINE = "a|abbr|b|big|code|em|font|i|kbd|mark|q|s|small|span|strong|tt|u"

# In this order. Every repeat is bounded, so that the work grows with the length of the text only.
_RULES = _rules(
    # HTML: struck-out text and footnote marks go, tags within a line leave no gap.
    (r"<(?:su[pb]|del|strike)>[^<>]{0,200}</(?:su[pb]|del|strike)>", ""),
    (rf"</?(?:{_INLINE})(?: [^<>]{{0,200}})?/?>", ""),
    (r"<\|[^|<>\n]{1,40}\|>|</?[!a-z][^<>]{0,300}>", "\n"),
    # LaTeX.
    (r"\\[dt]?frac ?\{(\d{1,3})\} ?\{(\d{1,3})\}", r"\1/\2"),
    (r"\\(?:text|math)[a-z]{0,6} ?\{([^{}\n]{0,200})\}", r"\1"),
    (r"\\f?boxed ?\{([^{}\n]{0,200})\}", r"\nfinal answer: \1\n"),
    (r"\\[()\[\]]|\$\$", ""),
    (r"(?<![\w$])\$([^$\n]{1,60})\$(?![\w$])", r"\1"),
    # JSON escapes, then escaped punctuation such as \* and 8\/10.
    (r"\\n", "\n"),
    (r"\\(?=[^\w\s])", ""),
    # Markdown.
    (r"~~[^~\n]{1,200}~~", ""),
    (r"!?\[([^\[\]\n]{0,200})\]\([^()\s]{0,300}\)", r"\1"),
    (r"(?<=\w)\[\d{1,3}\]", ""),
    (r"^[ \t]{0,8}(?:[-+*][ \t]{1,8})?(?:\[ ?\]|☐|⬜)[^\n]{0,300}", ""),  # an unticked box
    (r"\[x\]|☑|☒|✅|✔", ""),
    (r"(?<!\d)\*|\*(?!\d)", ""),
    (r"_|={3,80}|-{3,80}", " "),
    (r"^[ \t>]{0,8}#{1,6}[ \t]{0,8}", ""),
    (r"^[ \t>]{0,8}(?:[-+•‣◦·▪●○►▶→][ \t]{1,8})", ""),
    (r"^[ \t]{0,8}\||\|[ \t]{0,8}$", "\n"),
    (r"[{}]", "\n"),
    (r"[\[\]]", " "),
    # Single quotes around a word; an apostrophe within one stays.
    (r"(?<!\w)'{1,3}|'{1,3}(?!\w)", ""),
)
_TABLE_ROW = re.compile(r"^[ \t]{0,8}\|[^\n]{0,2000}\|[ \t]{0,8}$", re.MULTILINE)


def strip_markup(text: str) -> str:
    r"""`text` (plain, lower case) without its mark-up; table cells stand on lines of their own.

    >>> strip_markup("**rating:** $\\frac{7}{10}$ *un*acceptable")
    'rating: 7/10 unacceptable'
    """
    text = _TABLE_ROW.sub(lambda row: row[0].replace("|", "\n"), text)
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return text
