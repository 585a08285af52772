"""Reading answers: the choice and the rating in free text, and reasoning set apart from the answer.

This package imports nothing of evalpack but its errors, so that `parser_digest` covers all that
decides what is read.
"""

from evalpack.extract.extraction import Choice, Extraction
from evalpack.extract.moral_rating import extract
from evalpack.extract.parsers import DEFAULT, PARSERS, Parser, parser_digest
from evalpack.extract.reasoning import Split, opens_reasoning, split_reasoning

__all__ = [
    "DEFAULT",
    "PARSERS",
    "Choice",
    "Extraction",
    "Parser",
    "Split",
    "extract",
    "opens_reasoning",
    "parser_digest",
    "split_reasoning",
]
