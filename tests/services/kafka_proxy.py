"""A proxy before a Kafka broker that knows one thing of the protocol: what a request asks for.

    proxy = KafkaProxy(server_port)
    proxy.lose_answer(END_TXN)      the broker carries the next such request out, its answer is lost
    proxy.hold(END_TXN)             the next such request does not reach the broker
    proxy.send_held()               now it does, by a connection of its own; gives the broker's error code
    proxy.counts[END_TXN]           how many have come

Requests are frames: four bytes of length, then two with the request's number.
"""

import asyncio
import socket
from collections import Counter

from proxy import Proxy

INIT_PRODUCER_ID = 22
END_TXN = 26
ANSWER_SECONDS = 20.0
# length, correlation, throttle time; then the error
ERROR_AT = 12


class KafkaProxy(Proxy):
    """Breaks single requests by their number."""

    def __init__(self, server_port: int) -> None:
        self.counts: Counter[int] = Counter()
        self.held: bytes | None = None
        """The request that is held."""
        self._orders: dict[int, str] = {}
        super().__init__(server_port)

    def lose_answer(self, request: int) -> None:
        """Loses the answer to the next such request; `dropped` counts those that came."""
        self._orders[request] = "lose"

    def hold(self, request: int) -> None:
        """Keeps the next such request back."""
        self.held = None
        self._orders[request] = "hold"

    def send_held(self) -> int:
        """Sends the request that is held; the error code of the answer, 0 for none."""
        assert self.held is not None
        with socket.create_connection(("127.0.0.1", self.server_port), ANSWER_SECONDS) as connection:
            connection.sendall(self.held)
            answer = b""
            while len(answer) < ERROR_AT + 2:
                piece = connection.recv(4096)
                if not piece:
                    raise ConnectionError("the broker gives no answer to a request that was held")
                answer += piece
        return int.from_bytes(answer[ERROR_AT : ERROR_AT + 2], signed=True)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while head := await whole(reader, 4):
            body = await whole(reader, int.from_bytes(head))
            await self._wait()
            request = int.from_bytes(body[:2])
            self.counts[request] += 1
            order = self._orders.pop(request, None)
            if order == "hold":
                self.held = head + body
                continue
            if order == "lose":
                losing.set()
            writer.write(head + body)
            await writer.drain()
        writer.write_eof()


async def whole(reader: asyncio.StreamReader, length: int) -> bytes:
    """So many bytes, or none at the end."""
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return b""
