"""A TCP proxy on a loopback port that breaks connections as networks do.

    with Proxy(server_port) as proxy:
        proxy.latency_seconds = 0.2        both ways are late
        proxy.drop_answer_to(b"COMMIT")    the server gets it, its answer is lost and the connection reset
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
        await asyncio.gather(
            self._requests(reader, far_writer, losing),
            self._answers(far_reader, writer, losing),
            return_exceptions=True,
        )
        await self._reset(ends)
        self._writers -= ends

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._wait()
            if self._times > 0 and self._pattern is not None and self._pattern in piece:
                self._times -= 1
                losing.set()
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._wait()
            if losing.is_set():
                self.dropped += 1
                await self._reset({writer})
                return
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _wait(self) -> None:
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        while self.blackhole:
            await asyncio.sleep(0.02)
