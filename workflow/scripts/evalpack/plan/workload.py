"""What a model is asked, in the numbers that its time depends on."""

from collections.abc import Iterable
from dataclasses import dataclass

from evalpack.jobs import Asking
from evalpack.samples.glance import Glance

CHARACTERS_PER_TOKEN = 4.0
"""Of English prompts; other scripts take more tokens. Calibration replaces the guess."""
CHAT_TOKENS = 30
"""What a chat template adds to a prompt, a short system prompt of its own included."""
TEMPLATE_TOKENS = 1024
"""More than a chat template adds to any prompt, instructions of its own included."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The generations that one model is asked for.

    Attributes:
        requests: generations; equal prompts at temperature 0 are one.
        prompt_tokens: of a request, in the mean.
        output_tokens: of an answer, in the mean.
        longest: tokens of the longest prompt and the longest answer together, an upper bound.
        rows: rows of the results, which share generations; 0 if they are not counted.
        longest_output: tokens of the longest answer, where they are known: a single batch lasts as
            long; 0 if they are not.
        limit: tokens of the longest answer allowed; 0: as long as `output_tokens`.
    """

    requests: int
    prompt_tokens: float
    output_tokens: float
    longest: int
    rows: int
    limit: int = 0
    longest_output: int = 0

    @property
    def most_output(self) -> float:
        """Tokens that no answer can be longer than in the mean."""
        return self.limit or self.output_tokens


def prompt_tokens(characters: float) -> float:
    """Tokens of a prompt of so many characters, by rule of thumb."""
    return characters / CHARACTERS_PER_TOKEN + CHAT_TOKENS


def workload(
    askings: Iterable[Asking],
    samples: Glance,
    output_tokens: float | None = None,
    chat_template: str = "",
) -> Workload:
    """What one model is asked under its conditions.

    Args:
        askings: the conditions, as the model is asked under them.
        samples: what is known of the samples.
        output_tokens: of an answer in the mean; None for as many as allowed.
        chat_template: the model's own, if its entry gives one.
    """
    requests = rows = longest = limit = 0
    prompts = answers = 0.0
    for asking in askings:
        greedy = asking.sampling.get("temperature", 0.0) == 0
        # A template of the condition's own makes other prompts, as many as there are samples.
        shared = greedy and asking.template is None
        count = asking.n * (samples.distinct_prompts if shared else samples.samples)
        mean = max(samples.mean_prompt, len(asking.template or ""))
        mean += len(asking.system_prompt or "")
        requests += count
        rows += asking.n * samples.samples
        prompts += count * prompt_tokens(mean)
        answers += count * min(output_tokens or asking.max_tokens, asking.max_tokens)
        texts = (asking.system_prompt or "") + (asking.template or "") + chat_template
        most = samples.longest_bytes + len(texts.encode()) + TEMPLATE_TOKENS + asking.max_tokens
        longest, limit = max(longest, most), max(limit, asking.max_tokens)
    return Workload(
        requests=requests,
        prompt_tokens=prompts / max(1, requests),
        output_tokens=answers / max(1, requests),
        longest=longest,
        rows=rows if samples.exact else 0,
        limit=limit,
    )
