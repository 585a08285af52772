"""An event loop in a thread of its own, driven from synchronous code."""

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines while the calling thread does other work, until closed."""

    def __init__(self, name: str, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start the thread; `last` runs on `close`, after all else has ended."""
        self._last = last
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        # A daemon: whoever forgets to close it does not keep the process from ending.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for what it returns or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(
        self, work: Coroutine[Any, Any, T], done: Callable[[asyncio.Task[T]], object]
    ) -> asyncio.Task[T]:
        """Start a coroutine; `done` is called with its task, in the loop's thread, when it ends."""

        async def begin() -> asyncio.Task[T]:
            task = asyncio.create_task(work)
            task.add_done_callback(done)
            return task

        return self.run(begin())

    def cancel(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        """Cancel tasks and wait until they have ended; ended ones stay as they are."""

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        if self._thread.is_alive():
            self.run(end())

    def close(self) -> None:
        """Cancel what still runs, end the thread and free the loop. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _serve(self) -> None:
        # On leaving, the runner ends the threads of name look-ups and closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._stop.wait()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._last()
