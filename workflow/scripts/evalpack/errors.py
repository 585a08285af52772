"""Errors that a person can mend: their text is a sentence, shown without a traceback."""


class UserError(Exception):
    """A mistake in what the user gave us; the message says where it is and how to mend it."""
