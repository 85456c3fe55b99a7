"""The fake API in a thread of this process: starts at once, while a process takes 0.3 s."""

import asyncio
import threading
from concurrent.futures import Future

from tests.support.fake_courier.__main__ import told
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_courier.server import serve


class FakeCourierThread(FakeCourierProcess):
    """Takes the same arguments and calls as the process. For tests of another process."""

    _thread: threading.Thread | None = None

    def __enter__(self) -> "FakeCourierThread":
        ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._work, args=(ready,), daemon=True)
        self._thread.start()
        self.url, self._loop, self._stop = ready.result()
        return self

    def _work(self, ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        async def run() -> None:
            account, options, port = told(self.arguments)
            async with serve(account, options, port=port) as server:
                stop = asyncio.Event()
                ready.set_result((server.url, asyncio.get_running_loop(), stop))
                await stop.wait()

        try:
            asyncio.run(run())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def _end(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
