"""Where an OpenAI-compatible server is and how it wants to be asked."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from evalpack import schema
from evalpack.engines.base import EngineSpec
from evalpack.engines.openai_key import ApiKey
from evalpack.errors import UserError
from evalpack.models import Model


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The settings of one model behind a server; `openai_engine.schema.yaml` explains the rest."""

    model: Model
    base_url: str
    host: str
    served_model: str
    evaluation_type: str
    key: ApiKey | None
    concurrency: int
    timeout: float
    connect_timeout: float
    max_attempts: int
    backoff: float
    max_tokens_field: str
    omit_fields: tuple[str, ...]
    extra_body: Mapping[str, Any]
    check_served_model: bool
    dialect: str | None = None

    @classmethod
    def from_spec(cls, spec: EngineSpec) -> "Endpoint":
        """Check what the configuration says of a server, without asking the server.

        Raises:
            UserError: naming the model, the key and the mend.
        """
        model = spec.model
        if model.adapter is not None:
            raise UserError(
                f"model `{model.name}`: `adapter` has no meaning for a server elsewhere;"
                " load it there and put the name it is served under into `served_model`"
            )
        url = _checked_url(model)
        arguments = dict(spec.engine_args)
        schema.check(arguments, "openai_engine", f"engine arguments of model `{model.name}`")
        arguments["omit_fields"] = tuple(arguments["omit_fields"])
        key = None
        if model.api_key_env is not None:
            key = ApiKey.from_environment(model.api_key_env, model.name)
        return cls(
            model=model,
            base_url=str(url).rstrip("/"),
            host=url.host,
            served_model=model.served_model or model.name,
            evaluation_type=model.evaluation_type or evaluation_type_of(url.host),
            key=key,
            **arguments,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy is wanted."""
        address = _address(self.host)
        return _is_localhost(self.host) or (address is not None and address.is_loopback)

    def redact(self, text: str) -> str:
        """`text` of an error without the key."""
        return self.key.redact(text) if self.key else text


def evaluation_type_of(host: str) -> str:
    """`local` for a host that can only be near, `api` for any other.

    Near are loopback and private addresses, names under .local and .localhost, and bare names
    without a dot (a node of the cluster, a container). The name alone decides, without a look-up.

    >>> [evaluation_type_of(host) for host in ("10.0.0.7", "node03", "api.example.com")]
    ['local', 'local', 'api']
    """
    address = _address(host)
    if address is not None:
        return "local" if address.is_private or address.is_link_local else "api"
    near = _is_localhost(host) or host.endswith(".local") or "." not in host
    return "local" if near else "api"


def _checked_url(model: Model) -> httpx.URL:
    place = f"base_url of model `{model.name}`"
    if not model.base_url:
        raise UserError(
            f"{place} is missing; backend openai needs it, e.g. http://localhost:8000/v1"
        )
    try:
        url = httpx.URL(model.base_url.strip())
    except httpx.InvalidURL:
        raise UserError(f"{place} is no URL; write it like http://localhost:8000/v1") from None
    if url.userinfo:
        raise UserError(
            f"{place} holds a password; put it into a variable and name that in api_key_env"
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"{place} is `{model.base_url}`; write it like http://localhost:8000/v1")
    if url.query or url.fragment or url.path.rstrip("/").endswith("/completions"):
        raise UserError(
            f"{place} is `{model.base_url}`; end it where /chat/completions would follow,"
            " e.g. http://localhost:8000/v1"
        )
    return url


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
