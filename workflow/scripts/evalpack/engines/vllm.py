"""vLLM as an engine: fed a sliding window, answering as requests finish.

The same code runs vLLM's CUDA and CPU builds.
"""

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

from evalpack.clock import utc_now
from evalpack.engines.base import Answer, AnswerError, EngineFailure, EngineSpec, Request
from evalpack.engines.detokenize import can_wait, text_of
from evalpack.engines.failures import FailureLog, is_memory
from evalpack.engines.parallel import start_side_by_side
from evalpack.engines.rendering import RenderAhead, Rendered, last_line, refused

# Requests handed over between two steps; more would keep the engine's answers waiting.
_TOP_UP = 64
# Snakemake exports its threads to these too; with MKL's, vLLM's CPU build is 40 times slower.
_THREADED_LIBRARIES = ("MKL", "OPENBLAS", "GOTO", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")
_KNOWN_PARAMS = 64
_WORKER = "evalpack.engines.worker.GatedWorker"


class VLLMEngine:
    """One vLLM engine, or several that share the job's GPU, driven step by step.

    They are never drained between batches, and fed with tokens that a thread renders ahead.
    """

    evaluation_type = "server"

    def __init__(self, spec: EngineSpec, requests: Iterable[Request] = ()) -> None:
        """Load the model.

        Args:
            spec: what to load.
            requests: what will be asked: rendered while the model loads.

        Raises:
            EngineFailure: if vLLM cannot load it; the message is vLLM's own.
        """
        prepare_environment()
        from vllm import EngineArgs
        from vllm.tokenizers import cached_tokenizer_from_config
        from vllm.usage.usage_lib import UsageContext

        self._model = spec.model
        self._failures = FailureLog()
        self._engines: list[Any] = []
        self._rendering: RenderAhead | None = None
        self._params_cache: dict[int, tuple[Any, Any]] = {}
        arguments, copies = _arguments(spec)
        try:
            config = EngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS)
            self._tokenizer = cached_tokenizer_from_config(config.model_config)
            self._max_model_len: int = config.model_config.max_model_len
            self._most_running: int = config.scheduler_config.max_num_seqs
            self._given = requests
            if requests:
                self._rendering = self._render(requests)
            self._start([config] + [_again(arguments) for _ in range(copies - 1)])
        except (Exception, SystemExit) as error:  # vLLM raises whatever its parts raise
            failure = self._failed(f"vLLM could not load {spec.model.name}", error)
            self.close()
            raise failure from error
        self.env_id = _env_id()

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer every request once, in the order they finish (see `Engine`)."""
        source = self._rendering
        if source is None or requests is not self._given:
            source = self._render(requests)
        try:
            if len(self._engines) == 1:
                yield from self._drive(self._engines[0], source)
            else:
                yield from self._drive_all(source)
        finally:
            source.close()

    def close(self) -> None:
        """End the engines' processes, which frees the GPU, at once: nothing in them is of use."""
        if self._rendering is not None:
            self._rendering.close()
        for engine in self._engines:
            engine.engine_core.shutdown(timeout=0.0)
        self._failures.close()

    def _start(self, configs: list[Any]) -> None:
        """Start the engines, side by side; their processes wait at the gate."""
        from vllm import LLMEngine
        from vllm.usage.usage_lib import UsageContext

        def start(config: Any) -> None:
            self._engines.append(LLMEngine.from_vllm_config(config, UsageContext.LLM_CLASS))

        start_side_by_side([partial(start, config) for config in configs])

    def _render(self, requests: Iterable[Request]) -> RenderAhead:
        return RenderAhead(requests, self._tokenizer, self._model, self._max_model_len)

    def _drive(self, engine: Any, source: RenderAhead) -> Iterator[Answer]:
        """Step one engine until the source is exhausted and everything answered."""
        running: dict[str, Rendered] = {}
        exhausted = False
        # With others it shares the source: it must not hoard what they could do.
        window = self._most_running * (2 if len(self._engines) == 1 else 1) + _TOP_UP
        while not exhausted or running:
            for _ in range(_TOP_UP):
                if exhausted or len(running) >= window:
                    break
                try:
                    rendered = source.next(wait=not running)
                except StopIteration:
                    exhausted = True
                    break
                if rendered is None:
                    break
                if (refusal := self._add(engine, rendered)) is not None:
                    yield refusal
                else:
                    running[rendered.request.key] = rendered
            if not running:
                continue
            try:
                outputs = engine.step()
            except Exception as error:
                raise self._failed("vLLM stopped", error) from error
            for output in outputs:
                if output.finished:
                    yield self._answer(output, running.pop(output.request_id))

    def _drive_all(self, source: RenderAhead) -> Iterator[Answer]:
        """Step every engine in a thread of its own."""
        answers: queue.Queue[Answer | BaseException | None] = queue.Queue()

        def drive(engine: Any) -> None:
            try:
                for answer in self._drive(engine, source):
                    answers.put(answer)
                answers.put(None)
            except BaseException as error:
                answers.put(error)

        for engine in self._engines:
            threading.Thread(target=drive, args=(engine,), daemon=True).start()
        left = len(self._engines)
        while left:
            found = answers.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                left -= 1
            else:
                yield found

    def _add(self, engine: Any, rendered: Rendered) -> Answer | None:
        """Hand a request to an engine; a request that it refuses comes back as an answer."""
        if rendered.refusal is not None:
            return rendered.refusal
        request = rendered.request
        try:
            params = self._params(request.sampling)
            engine.add_request(request.key, {"prompt_token_ids": rendered.tokens}, params)
        except (ValueError, TypeError) as error:
            return refused(
                request, "RefusedRequest", last_line(error), len(rendered.tokens)
            ).refusal
        return None

    def _params(self, sampling: Mapping[str, Any]) -> Any:
        """Parameters as vLLM takes them; made once for all requests that share a mapping."""
        known = self._params_cache.get(id(sampling))
        if known is not None and known[0] is sampling:
            return known[1]
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        fields = dict(sampling)
        if "logit_bias" in fields:
            fields["logit_bias"] = {int(k): v for k, v in fields["logit_bias"].items()}
        if can_wait(self._tokenizer, sampling):
            fields["detokenize"] = False
        params = SamplingParams(**fields, output_kind=RequestOutputKind.FINAL_ONLY)
        if len(self._params_cache) >= _KNOWN_PARAMS:
            self._params_cache.clear()
        self._params_cache[id(sampling)] = (sampling, params)
        return params

    def _answer(self, output: Any, rendered: Rendered) -> Answer:
        """The answer in vLLM's output; the opening tag that its prompt ended with goes in front."""
        completion, times = output.outputs[0], output.metrics
        seconds = first = None
        if times is not None and times.last_token_ts and times.scheduled_ts:
            seconds = times.last_token_ts - times.scheduled_ts
            first = times.arrival_time + times.first_token_latency
        tokens, reason = list(completion.token_ids), completion.finish_reason
        error = None
        if reason not in ("stop", "length"):
            message = f"vLLM ended the request with `{reason}`"
            error = AnswerError("EngineAborted", message, permanent=False)
        text = completion.text
        params = self._params(rendered.request.sampling)
        if not params.detokenize and rendered.request.sampling.get("detokenize", True):
            text = text_of(
                self._tokenizer, rendered.tokens, tokens, params, stopped=reason == "stop"
            )
        return Answer(
            key=output.request_id,
            text=f"<think>{text}" if rendered.opened else text,
            finish_reason=reason,
            prompt_tokens=len(rendered.tokens),
            completion_tokens=len(tokens),
            inference_time=seconds,
            finished=utc_now(),
            token_ids=tokens,
            error=error,
            first_token=first,
        )

    def _failed(self, what: str, error: BaseException) -> EngineFailure:
        """A failure in the words of the process that died, if it left any."""
        reason = next(iter(self._failures.reasons()), None) or last_line(error)
        return EngineFailure(f"{what}: {reason}", memory=is_memory(reason))


def prepare_environment(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what vLLM reads as it is imported and started."""
    for library in _THREADED_LIBRARIES:
        environment.pop(f"{library}_NUM_THREADS", None)
    environment.setdefault("VLLM_NO_USAGE_STATS", "1")
    environment.setdefault("VLLM_LOGGING_COLOR", "0")
    # Without this, vLLM's CPU build asks for most of the machine's memory.
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def _arguments(spec: EngineSpec) -> tuple[dict[str, Any], int]:
    """Engine arguments as vLLM takes them, and how many engines share the GPU."""
    given = dict(spec.engine_args)
    copies = int(given.pop("engines_per_gpu", 1))
    arguments: dict[str, Any] = {
        "model": spec.weights,
        "tensor_parallel_size": spec.tensor_parallel_size,
        "dtype": spec.model.dtype,
        "max_model_len": spec.max_model_len,
        "trust_remote_code": spec.model.trust_remote_code,
        "generation_config": "vllm",  # sampling is ours alone, never the checkpoint's
        "worker_cls": _WORKER,
        "disable_log_stats": False,  # or there are no times per request
        **given,
    }
    if copies > 1:
        share = float(arguments.get("gpu_memory_utilization", 0.9)) / copies
        arguments["gpu_memory_utilization"] = share
    return arguments, copies


def _again(arguments: Mapping[str, Any]) -> Any:
    """Another configuration from the same arguments: engines must not share one."""
    from vllm import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    return EngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS)


def _env_id() -> str:
    import torch
    import vllm
    from vllm.platforms import current_platform

    # Asked of the driver: this process never opens a device.
    cuda = current_platform.is_cuda_alike()
    device = current_platform.get_device_name() if cuda else f"cpu {os.uname().machine}"
    return f"vllm {vllm.__version__}, torch {torch.__version__}, {device}"
