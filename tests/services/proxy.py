"""A TCP proxy on a loopback port that breaks connections as networks do.

    with Proxy(server_port) as proxy:
        proxy.latency_seconds = 0.2        both ways are late
        proxy.drop_answer_to(b"COMMIT")    the server gets it, its answer is lost and the connection reset
        proxy.bytes_per_second = 1000      requests pass so fast
        proxy.blackhole = True             connections stay open and nothing passes
        proxy.reset()                      all connections end at once

Must not know any protocol: what a request is, the bytes say that a test gives.
"""

import asyncio
import socket
import struct
import threading

PIECE_BYTES = 65536
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Carries bytes to a loopback port; one event loop in a thread of its own."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.latency_seconds = 0.0
        self.bytes_per_second = 0
        self.carried = 0
        """Bytes of requests so far."""
        self.blackhole = False
        self.dropped = 0
        """Answers that were lost so far."""
        self._pattern: bytes | None = None
        self._times = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._in_loop(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._listener.close)
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def drop_answer_to(self, pattern: bytes, times: int = 1) -> None:
        """Loses the next answers to requests that hold `pattern`."""
        self._times = times
        self._pattern = pattern

    def reset(self) -> None:
        """Ends all connections, without a farewell."""
        self._in_loop(self._reset(set(self._writers)))

    def _in_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _reset(self, writers: set[asyncio.StreamWriter]) -> None:
        for writer in writers:
            plain = writer.get_extra_info("socket")
            if plain is not None and plain.fileno() >= 0:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        losing = asyncio.Event()
        ways = [
            asyncio.ensure_future(self._requests(reader, far_writer, losing)),
            asyncio.ensure_future(self._answers(far_reader, writer, losing)),
        ]
        # an end that breaks off takes the other along; one that says farewell does not
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        await self._reset(ends)
        await asyncio.gather(*ways, return_exceptions=True)
        self._writers -= ends

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while piece := await reader.read(self._piece()):
            await self._wait()
            if self.bytes_per_second:
                await asyncio.sleep(len(piece) / self.bytes_per_second)
            self.carried += len(piece)
            if self._times > 0 and self._pattern is not None and self._pattern in piece:
                self._times -= 1
                losing.set()
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                await self._wait()
                if losing.is_set():
                    self.dropped += 1
                    await self._reset({writer})
                    return
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
        except OSError:
            # the server is gone: a client that waits for its answer must hear of it
            await self._reset({writer})

    def _piece(self) -> int:
        """What is carried at once: of a slow line a tenth of a second."""
        return max(1, min(PIECE_BYTES, self.bytes_per_second // 10)) if self.bytes_per_second else PIECE_BYTES

    async def _wait(self) -> None:
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        while self.blackhole:
            await asyncio.sleep(0.02)
