"""Counts that are kept while the samples pass by."""

from collections import Counter
from dataclasses import dataclass, field

from evalpack.samples.identity import Identities
from evalpack.samples.sample import LeftOut, Sample

MOST_NAMED = 1000  # questions or countries: a file can have as many as rows


@dataclass(slots=True)
class Tally:
    """What has been counted so far; memory grows by 16 bytes a sample.

    Attributes:
        characters: of all prompts together.
        longest: characters of the longest prompt.
        longest_bytes: of the prompt with most of them, in UTF-8.
        leaks: samples whose prompt gives their label away.
        questions, countries: the first `MOST_NAMED`, in order of appearance.
    """

    rows: int = 0
    samples: int = 0
    characters: int = 0
    longest: int = 0
    longest_bytes: int = 0
    leaks: int = 0
    first_leak: Sample | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    questions: dict[str, None] = field(default_factory=dict)
    countries: dict[str, None] = field(default_factory=dict)
    ids: Identities = field(default_factory=Identities)
    prompts: Identities = field(default_factory=Identities)

    def keep(self, sample: Sample) -> None:
        """Count a sample."""
        self.samples += 1
        self.characters += sample.characters
        self.longest = max(self.longest, sample.characters)
        self.longest_bytes = max(self.longest_bytes, sample.utf8)
        self.ids.add(sample.sample_id)
        self.prompts.add(sample.prompt_digest)
        if sample.question is not None and len(self.questions) < MOST_NAMED:
            self.questions[sample.question] = None
        if sample.country is not None and len(self.countries) < MOST_NAMED:
            self.countries[sample.country] = None
        if sample.label_leak:
            self.leaks += 1
            self.first_leak = self.first_leak or sample

    def leave_out(self, why: LeftOut, count: int = 1) -> None:
        """Count candidates that are no samples."""
        self.left_out[why.reason] += count

    def reasons(self) -> str:
        """Why candidates were left out, for a sentence."""
        return ", ".join(f"{reason}: {count}" for reason, count in self.left_out.items())
