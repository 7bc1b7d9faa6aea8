"""Ask the image server which chunks to fetch next and from whom, and tell it what this machine hands on, and where.

May not: decide what is asked, or when (sharing.py does). Invariant: a failure of the network is no answer and no error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ingot_agent import errors, exchange, fields, guard, transfer, wire


@dataclass
class News:
    """What a question tells: ``mine``, chunks that are here or on their way, as a set; ``done``: what ended since the
    last question; ``bad``: givers that failed; ``want``: how many more chunks there is room for.
    """

    mine: int
    done: list[int]
    bad: list[str]
    want: int


class Guide:
    """The image server as the one who knows the way; from the first question on, others get what is on ``shelf``."""

    def __init__(self, sources: str, source: transfer.Source, count: int, shelf: exchange.Shelf) -> None:
        self._url, self._count, self._shelf = wire.parse_url(sources), count, shelf
        self._connection = wire.Connection(self._url, timeout=source.timeout, insecure=source.insecure)
        self._giver: exchange.Giver | None = None
        self._host = ""

    def close(self, last: News | None) -> None:
        """Hand on nothing any more; with ``last`` say good-bye."""
        if self._giver is not None:
            self._giver.close()
            if last is not None:
                self.ask(last, leaves=True)
        self._connection.close()

    def ask(self, news: News, *, leaves: bool = False) -> dict[str, Any] | None:
        """The answer, None without a usable one."""
        for _ in range(2):  # the server drops connections that were idle for long
            found, error = guard.outcome(lambda: self._request(news, leaves))
            if error is None:
                return found
        return None

    def _request(self, news: News, leaves: bool) -> dict[str, Any] | None:
        if self._giver is None:  # it listens where the image server sees us
            self._host = self._connection.connect()
            self._giver = exchange.Giver(self._host, self._shelf)
        query = f"of={self._count}&giver={self._giver.port}-{self._giver.token}&host={self._host}"
        query += f"&mine={news.mine:x}&offer={self._shelf.offer:x}&want={news.want}"
        query += "&leaves=1" if leaves else ""
        query += f"&done={','.join(map(str, news.done))}" if news.done else ""
        query += f"&bad={','.join(news.bad).replace(' ', '%20')}" if news.bad else ""
        mark = "&" if "?" in self._url.path else "?"
        try:
            response = self._connection.request("GET", f"{self._url.path}{mark}{query}")
            body = response.read(65536)
        except errors.Unreachable:
            self._connection.close()
            raise
        return fields.as_object(json.loads(body)) if response.status == 200 else None


def told(answer: dict[str, Any], known: int) -> list[tuple[int, str]]:
    """Chunks and their givers ("": the image server) of an answer; what is not understood is left out."""
    more = answer.get("more")
    pairs: list[Any] = [[answer.get("chunk"), answer.get("giver", "")], *(more if isinstance(more, list) else [])]
    found: dict[int, str] = {}
    for pair in pairs:
        match pair:
            case [int(number), str(giver)] if 0 <= number < known:
                found.setdefault(number, giver)
            case _:
                pass
    return list(found.items())
