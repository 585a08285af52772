"""vLLM as an engine: fed a sliding window, answering as requests finish.

The same code runs vLLM's CUDA and CPU builds.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError, EngineFailure, EngineSpec, Request
from evalpack.extract import opens_reasoning

# Requests handed over between two steps; more would keep the engine waiting for the tokenizer.
_TOP_UP = 64
# Snakemake exports its threads to these too; with MKL's, vLLM's CPU build is 40 times slower.
_THREADED_LIBRARIES = ("MKL", "OPENBLAS", "GOTO", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")


class VLLMEngine:
    """One `vllm.LLM`, driven step by step so that it never drains between batches."""

    evaluation_type = "server"

    def __init__(self, spec: EngineSpec) -> None:
        """Load the model.

        Raises:
            EngineFailure: if vLLM cannot load it; the message is vLLM's own.
        """
        for library in _THREADED_LIBRARIES:
            os.environ.pop(f"{library}_NUM_THREADS", None)
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_COLOR", "0")
        # Without this, vLLM's CPU build asks for most of the machine's memory.
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        from vllm import LLM

        self._model = spec.model
        arguments: dict[str, Any] = {
            "model": spec.weights,
            "tensor_parallel_size": spec.tensor_parallel_size,
            "dtype": spec.model.dtype,
            "max_model_len": spec.max_model_len,
            "trust_remote_code": spec.model.trust_remote_code,
            "generation_config": "vllm",  # sampling is ours alone, never the checkpoint's
            "disable_log_stats": False,  # or there are no times per request
            **spec.engine_args,
        }
        try:
            self._llm = LLM(**arguments)
        except (Exception, SystemExit) as error:  # vLLM raises whatever its parts raise
            raise EngineFailure(
                f"vLLM could not load {spec.model.name}: {_last_line(error)}"
            ) from error
        config = self._llm.llm_engine.vllm_config
        self._max_model_len: int = config.model_config.max_model_len
        self._window: int = 2 * config.scheduler_config.max_num_seqs
        self.env_id = _env_id()
        self._opened: set[str] = set()  # requests whose prompt ends inside a reasoning block

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer every request once, in the order they finish (see `Engine`)."""
        source, exhausted = iter(requests), False
        running: set[str] = set()
        engine = self._llm.llm_engine
        while not exhausted or running:
            for _ in range(_TOP_UP):
                if exhausted or len(running) >= self._window:
                    break
                request = next(source, None)
                if request is None:
                    exhausted = True
                elif (refusal := self._add(request)) is not None:
                    yield refusal
                else:
                    running.add(request.key)
            if not running:
                continue
            try:
                outputs = engine.step()
            except Exception as error:
                raise EngineFailure(f"vLLM stopped: {_last_line(error)}") from error
            for output in outputs:
                if output.finished:
                    running.discard(output.request_id)
                    opened = output.request_id in self._opened
                    self._opened.discard(output.request_id)
                    yield _answer(output, opened=opened)

    def close(self) -> None:
        """Shut the engine core down and free the device."""
        core = self._llm.llm_engine.engine_core
        if hasattr(core, "shutdown"):
            core.shutdown()

    def _add(self, request: Request) -> Answer | None:
        """Hand a request to the engine; a request that it refuses comes back as an answer."""
        try:
            tokens = self._tokens(request)
        except Exception as error:  # a template may refuse a chat (roles, system prompt)
            return _refused(request, "TemplateError", _last_line(error))
        if len(tokens) >= self._max_model_len:
            return _refused(
                request,
                "PromptTooLong",
                f"the prompt has {len(tokens)} tokens, the model takes {self._max_model_len}"
                " with the answer",
                len(tokens),
            )
        if not tokens:
            return _refused(request, "EmptyPrompt", "the prompt has no tokens")
        try:
            self._llm.llm_engine.add_request(
                request.key, {"prompt_token_ids": tokens}, self._params(request.sampling)
            )
        except (ValueError, TypeError) as error:
            return _refused(request, "RefusedRequest", _last_line(error), len(tokens))
        return None

    def _tokens(self, request: Request) -> list[int]:
        if request.messages is None:
            return list(self._tokenizer.encode(request.prompt or ""))
        text = self._tokenizer.apply_chat_template(
            list(request.messages),
            tokenize=False,
            add_generation_prompt=True,
            chat_template=self._model.chat_template,
            **self._model.chat_template_kwargs,
        )
        if not isinstance(text, str):  # Mistral's tokenizer answers in tokens
            return list(text)
        if opens_reasoning(text):
            self._opened.add(request.key)
        # The template has written the special tokens already.
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    @cached_property
    def _tokenizer(self) -> Any:
        return self._llm.get_tokenizer()

    def _params(self, sampling: Mapping[str, Any]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        fields = dict(sampling)
        if "logit_bias" in fields:
            fields["logit_bias"] = {int(k): v for k, v in fields["logit_bias"].items()}
        return SamplingParams(**fields, output_kind=RequestOutputKind.FINAL_ONLY)


def _answer(output: Any, *, opened: bool) -> Answer:
    """The answer in vLLM's output; the opening tag that its prompt ended with goes back in front."""
    completion, times = output.outputs[0], output.metrics
    seconds = None
    if times is not None and times.last_token_ts and times.scheduled_ts:
        seconds = times.last_token_ts - times.scheduled_ts
    tokens = list(completion.token_ids)
    error = None
    if completion.finish_reason not in ("stop", "length"):
        reason = completion.finish_reason
        error = AnswerError(
            "EngineAborted", f"vLLM ended the request with `{reason}`", permanent=False
        )
    return Answer(
        key=output.request_id,
        text=f"<think>{completion.text}" if opened else completion.text,
        finish_reason=completion.finish_reason,
        prompt_tokens=len(output.prompt_token_ids or ()),
        completion_tokens=len(tokens),
        inference_time=seconds,
        finished=utc_now(),
        token_ids=tokens,
        error=error,
    )


def _refused(request: Request, kind: str, message: str, tokens: int | None = None) -> Answer:
    return Answer(
        key=request.key,
        text=None,
        finish_reason=None,
        prompt_tokens=tokens,
        completion_tokens=None,
        inference_time=None,
        finished=utc_now(),
        error=AnswerError(kind, message, permanent=True),
    )


def _last_line(error: BaseException) -> str:
    """What a person can use of an exception: its type and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _env_id() -> str:
    import torch
    import vllm

    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name(0) if cuda else f"cpu {os.uname().machine}"
    return f"vllm {vllm.__version__}, torch {torch.__version__}, {device}"
