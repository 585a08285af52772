"""How a word such as "acceptable" is meant, by the words before it in its clause."""

from typing import Literal, TypeAlias

from evalpack.extract import lexicon

# "open": it holds in some cases; "unclear": it cannot be told.
Stance: TypeAlias = Literal["acceptable", "unacceptable", "open", "unclear"]

_READ_ON = lexicon.JUDGE | lexicon.FILLERS | lexicon.WHOLLY | lexicon.MAY


class Reading:
    """The words before "acceptable", read from right to left until one of them settles the matter.

    Attributes:
        negated: a negation applies to the word.
        open: "not always", "may be", "only": it is left open.
        governed: a verb ascribes the word to something ("it is", "i find it").
        elsewhere: "more acceptable", "there is an acceptable way": nothing is said of the matter.
        alone: the clause holds nothing else: "not acceptable", without verb and subject.
        rest: the words before those that were read.
    """

    def __init__(self, clause: str) -> None:
        self.negated = self.open = self.governed = self.elsewhere = False
        words = lexicon.split_words(clause)
        wholly = False
        at = len(words)
        while at:
            word = words[at - 1]
            if lexicon.negates(word):
                self.negated = True
                self.open |= wholly or words[at - 2 : at - 1] in (["may"], ["might"])
                at -= 1
                break
            if word in {"and", "or"}:
                if self.governed:  # "i hate it and it is ...": what comes before is another clause
                    at = 0
                    break
                at = max(at - 2, 0)  # "it is wrong and ..."
                continue
            if word in lexicon.ELSEWHERE:
                self.elsewhere = True
                break
            self.governed |= lexicon.is_be(word) or word in lexicon.JUDGE
            if not (lexicon.is_be(word) or word in _READ_ON):
                break
            wholly |= word in lexicon.WHOLLY
            self.open |= word in lexicon.MAY
            at -= 1
        self.rest = words[:at]
        self.alone = not self.rest and not self.governed

    def stance(self, *, negative: bool) -> Stance | None:
        """What is said of the matter; None if nothing is.

        Args:
            negative: the word itself is negative ("unacceptable").
        """
        if self.elsewhere or (self.rest and self.rest[-1] in lexicon.PREPOSITIONS):
            return None
        denied_elsewhere = any(map(lexicon.negates, self.rest))
        carried_over = self._is_negation_carried_over()
        negations = (self.negated or carried_over) + negative
        if negations > 1 or (self.negated and carried_over) or self._is_doubted():
            return "unclear"
        if self.open:
            return "open"
        if not negations and denied_elsewhere:
            return "unclear"
        if not (self.negated or carried_over or self.alone or self._is_ascribed(negative=negative)):
            return None
        return "unacceptable" if negations else "acceptable"

    def _is_doubted(self) -> bool:
        return not lexicon.DOUBTING.isdisjoint(self.rest)

    def _is_negation_carried_over(self) -> bool:
        return any(
            lexicon.negates(word) and not lexicon.RAISING.isdisjoint(self.rest[at + 1 : at + 4])
            for at, word in enumerate(self.rest)
        )

    def _is_ascribed(self, *, negative: bool) -> bool:
        # Beside "it is ...": "i consider bribery unacceptable", "it is a serious and unacceptable breach".
        return self.governed or any(
            word in lexicon.JUDGE or (negative and lexicon.is_be(word)) for word in self.rest
        )
