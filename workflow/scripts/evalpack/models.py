"""A model of the lineup: what planning, staging and an engine need to know of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from evalpack.names import slug


class FixedDate(str):
    """A day (`YYYY-MM-DD`) that a chat template takes for today.

    It is text in JSON and in digests, and a function where a template calls `strftime_now`.

    >>> FixedDate("2025-08-05")("%d %b %Y")
    '05 Aug 2025'
    """

    __slots__ = ()

    def __call__(self, format_: str) -> str:
        """The day as `strftime` writes it."""
        return date.fromisoformat(self).strftime(format_)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of config/models.yaml, with the run's overrides applied.

    Bytes and sizes describe the checkpoint as it lies on disk; they let a plan be made without
    network. `hub` and `path` exclude each other; `base_url` models have neither.
    """

    name: str
    hub: str | None = None
    path: str | None = None
    revision: str | None = None
    weight_bytes: int | None = None
    layers: int | None = None
    attention_heads: int | None = None
    kv_heads: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    active_parameters: int | None = None
    experts: int | None = None
    experts_per_token: int | None = None
    context_length: int | None = None
    dtype: str = "bfloat16"
    quantization: str | None = None
    kv_cache_bytes: int = 2
    format: str = "chat"
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_role: str = "native"
    system_prompt: str | None = None
    stop: tuple[str, ...] = ()
    adapter: str | None = None
    backend: str = "vllm"
    base_url: str | None = None
    api_key_env: str | None = None
    served_model: str | None = None
    evaluation_type: str | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    tensor_parallel_size: int | None = None
    shards: int | None = None

    @property
    def slug(self) -> str:
        """The model's file name."""
        return slug(self.name)

    @property
    def records_as(self) -> str:
        """`evaluation_type` of the model's records where no engine said it."""
        if self.backend != "openai":
            return "server"
        from evalpack.engines.openai_endpoint import evaluation_type_of

        return self.evaluation_type or evaluation_type_of(
            urlsplit(self.base_url or "").hostname or ""
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of KV cache a token takes over all layers: 2 (K and V) · layers · heads · size."""
        if self.layers is None or self.kv_heads is None or self.head_size is None:
            raise ValueError(f"{self.name}: layers, kv_heads and head_size are not known")
        return 2 * self.layers * self.kv_heads * self.head_size * self.kv_cache_bytes

    def to_json(self) -> dict[str, Any]:
        """A mapping of JSON values, the inverse of `from_mapping`."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, entry: Mapping[str, Any]) -> "Model":
        """Build a model from a validated entry; lists become tuples, fixed dates callable."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in entry.items() if key in known}
        values["stop"] = tuple(values.get("stop") or ())
        template = dict(values.get("chat_template_kwargs") or {})
        if "strftime_now" in template:
            template["strftime_now"] = FixedDate(template["strftime_now"])
        values["chat_template_kwargs"] = template
        return cls(**values)
