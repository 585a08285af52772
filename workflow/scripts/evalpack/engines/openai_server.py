"""What a server says of itself: its models, its software and version."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import httpx

from evalpack.engines.base import EngineFailure
from evalpack.engines.openai_client import Client, unreachable
from evalpack.engines.openai_endpoint import Endpoint
from evalpack.engines.openai_faults import RequestFault, fault, name_list, read_complaint

_FIRST_ATTEMPTS = 3  # of a server that may be starting; a wrong base_url should not take minutes
_NOT_OFFERED = {404, 405, 501}


@dataclass(frozen=True, slots=True)
class Server:
    """A server before the first request."""

    software: str | None
    """`vllm` or `ollama`, None if it is neither or does not tell."""
    version: str | None
    host: str

    @property
    def env_id(self) -> str:
        """What the records say made their answers."""
        known = " ".join(part for part in (self.software, self.version) if part)
        return f"openai endpoint, {known or self.host}"


async def inspect(client: Client, endpoint: Endpoint) -> Server:
    """Ask the server for its models and its version, and leave the models' names with `client`.

    Raises:
        EngineFailure: if it cannot be reached, refuses us, or does not list `served_model`.
    """
    cards = await _cards(client, endpoint)
    client.names = tuple(str(card["id"]) for card in cards)
    if client.names and endpoint.check_served_model and not _lists(client.names, endpoint):
        names = _nearest_first(client.names, endpoint.served_model)
        raise EngineFailure(
            f"model `{endpoint.model.name}`: {endpoint.base_url} has no model"
            f" `{endpoint.served_model}`; {name_list(names)}; set served_model to one of them (or"
            " check_served_model: false if the server knows models that it does not list)"
        )
    root = endpoint.base_url.removesuffix("/v1")
    if any(card.get("owned_by") == "vllm" for card in cards):
        return Server("vllm", await _version(client, f"{root}/version"), endpoint.host)
    if endpoint.evaluation_type == "local" and (
        version := await _version(client, f"{root}/api/version")
    ):
        return Server("ollama", version, endpoint.host)
    return Server(None, None, endpoint.host)


async def _cards(client: Client, endpoint: Endpoint) -> list[dict[str, Any]]:
    """The entries of /models; none where the server does not offer the list."""
    url = f"{endpoint.base_url}/models"
    attempts = min(_FIRST_ATTEMPTS, endpoint.max_attempts)
    try:
        response = await client.get(url, authorized=True, attempts=attempts)
    except RequestFault as failed:
        raise unreachable(endpoint, failed) from None
    if not response.is_success:
        refusal = fault(read_complaint(response, endpoint), endpoint, url, ())
        needless = response.status_code in _NOT_OFFERED or not endpoint.check_served_model
        if isinstance(refusal, EngineFailure) and not needless:
            raise refusal
        return []
    listed = _json(response)
    if listed is None:
        raise EngineFailure(
            f"model `{endpoint.model.name}`: {url} answers, but not in"
            " JSON; check base_url (it usually ends in /v1)"
        )
    entries = listed.get("data") if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        return []
    return [card for card in entries if isinstance(card, dict) and "id" in card]


def _lists(names: Sequence[str], endpoint: Endpoint) -> bool:
    """Whether `served_model` is among `names`; Ollama may leave `:latest` out, Gemini `models/`."""
    wanted = endpoint.served_model
    return any(
        wanted in (name, name.removesuffix(":latest"), name.removeprefix("models/"))
        for name in names
    )


def _nearest_first(names: Sequence[str], wanted: str) -> list[str]:
    def likeness(name: str) -> float:
        return SequenceMatcher(None, name.lower(), wanted.lower()).ratio()

    return sorted(names, key=likeness, reverse=True)


async def _version(client: Client, url: str) -> str | None:
    try:
        response = await client.get(url, authorized=False)
    except (RequestFault, EngineFailure):
        return None
    told = _json(response) if response.is_success else None
    version = told.get("version") if isinstance(told, dict) else None
    return version if isinstance(version, str) else None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
