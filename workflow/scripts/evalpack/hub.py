"""The Hugging Face hub: what of a repository is read, and its refusals as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from evalpack.errors import UserError

# What an engine reads; pickle checkpoints (*.bin, *.pt) run code when loaded and are not fetched.
_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt", ".py", ".tiktoken")


def wanted(name: str) -> bool:
    """Whether an engine reads it: not what some repositories hold a second time in other forms."""
    return name.endswith(_SUFFIXES) and "/" not in name and not name.startswith("consolidated")


@contextmanager
def refusals(hub: str, prefix: str = "", doing: str = "downloaded") -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence.

    Args:
        hub: the repository, owner/name.
        prefix: what the sentence starts with, for example `name: `.
        doing: what was to be done with it.

    Raises:
        UserError: for a gated or unknown repository, no network, or whatever else went wrong.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"{prefix}{hub} is gated; accept its terms on its page and set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{prefix}there is no {hub} on the hub (or it is private and HF_TOKEN is not set)"
        ) from None
    except UserError:
        raise
    except Exception as error:  # of the hub's HTTP client, which differs between its versions
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{prefix}{hub} could not be {doing}: {reason}") from None
