"""All agents reached from one event loop: they share one HTTP session."""

from __future__ import annotations

from ingot.clients.agent.client import Agent
from ingot.clients.http.client import HttpClient


class Agents:
    """Makes agent clients. Make it inside the loop, and ``close`` it there."""

    def __init__(self) -> None:
        self._http = HttpClient()

    def agent(self, callback_url: str, token: str, verify_ca_pem: str | None = None) -> Agent:
        """A client of the agent that called back from ``callback_url`` (and sent this certificate, if any)."""
        return Agent(self._http, callback_url, token, verify_ca_pem)

    async def close(self) -> None:
        """Close the session."""
        await self._http.close()
