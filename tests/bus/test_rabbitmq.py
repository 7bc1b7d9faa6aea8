"""Rings and calls over a real RabbitMQ, which is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from bus.broker import Broker
from faults import catalogue
from flows import stand
from ingot.bus import envelopes
from ingot.bus.rabbitmq import RabbitBus
from ingot.domain import errors

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def to_east(payload: dict[str, Any]) -> str | None:
    return payload.get("to", "east")


@contextlib.asynccontextmanager
async def bus(broker: Broker, hostname: str, *, conductor: bool = True) -> AsyncGenerator[RabbitBus]:
    """A connected bus: it hears of a ring of its own broker's connection."""
    made = RabbitBus(broker.url, hostname, conductor=conductor)
    connected = asyncio.Event()
    made.listen(lambda _: connected.set(), "test of the connection")
    async with made.running(to_east):
        await asyncio.wait_for(connected.wait(), 20)
        yield made


def heard(made: RabbitBus) -> list[str]:
    rung: list[str] = []
    made.listen(rung.append)
    return rung


async def test_a_ring_reaches_every_process_and_its_own_once(broker: Broker) -> None:
    async with bus(broker, "east") as east, bus(broker, "west") as west, bus(broker, "api", conductor=False) as api:
        rung = [heard(one) for one in (east, west, api)]
        api.ring("n1")
        api.ring("n2")
        await stand.until(lambda: rung[0] == rung[1] == ["n1", "n2"])
        api.ring("elsewhere", "placements")
        east.ring("n3")
        await stand.until(lambda: [len(one) for one in rung] == [3, 3, 3])
        assert rung[2] == ["n1", "n2", "n3"]


async def test_a_call_reaches_the_conductor_it_is_for_and_no_other(broker: Broker) -> None:
    asked: list[str] = []

    def answering(name: str) -> Callable[..., Any]:
        async def answer(text: str, to: str) -> dict[str, Any]:
            asked.append(name)
            return {"said": text, "by": name, "to": to}

        return answer

    async with bus(broker, "east") as east, bus(broker, "west") as west, bus(broker, "east", conductor=False) as api:
        east.answer("echo", answering("east"))
        west.answer("echo", answering("west"))
        assert (await api.call("echo", text="a", to="west"))["by"] == "west"
        assert (await api.call("echo", text="b", to="east")) == {"said": "b", "by": "east", "to": "east"}
        assert (await west.call("echo", text="c", to="west"))["by"] == "west"
        found = await asyncio.gather(*(api.call("echo", text=str(n), to="west") for n in range(600)))
        assert [one["said"] for one in found] == [str(n) for n in range(600)]
        assert asked.count("west") == 602
        with pytest.raises(errors.Unreachable, match="The conductor north is not connected"):
            await api.call("echo", within=30, text="d", to="north")


async def test_an_error_arrives_as_it_was_raised(broker: Broker) -> None:
    async def answer(which: str) -> None:
        if which == "bug":
            raise KeyError("a secret")
        if which == "slow":
            await asyncio.sleep(60)
        error = errors.TimedOut("The BMC is silent", hint="Pull its plug.")
        error.bmc = "10.0.0.1"
        raise error

    async with bus(broker, "east") as east, bus(broker, "api", conductor=False) as api:
        east.answer("fail", answer)
        with pytest.raises(errors.TimedOut) as caught:
            await api.call("fail", which="known")
        assert (caught.value.sentence(), caught.value.bmc) == ("The BMC is silent. Pull its plug.", "10.0.0.1")
        with pytest.raises(errors.Bug, match=r"unforeseen KeyError$"):
            await api.call("fail", which="bug")
        with pytest.raises(errors.TimedOut, match="did not finish fail within 0 s") as late:
            await api.call("fail", within=0.3, which="slow")
        catalogue.told("broker-call-too-long", late.value.sentence())
        with pytest.raises(errors.Unreachable, match="No conductor is running that could do this"):
            await api.call("unknown")

        async def odd() -> object:
            return object()

        east.answer("odd", odd)
        with pytest.raises(errors.Bug, match="answer to odd cannot be sent as JSON"):
            await api.call("odd", within=10)


def test_an_answer_that_holds_itself_is_told_as_a_bug() -> None:
    endless: list[object] = []
    endless.append(endless)
    failure = envelopes.given("odd", endless).failure
    assert failure is not None
    assert "answer to odd cannot be sent as JSON" in failure.message


async def test_a_broker_that_was_killed_is_found_again_and_what_was_missed_is_rung(broker: Broker) -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    async def quick() -> str:
        return "done"

    async with bus(broker, "east") as east, bus(broker, "api", conductor=False) as api:
        east.answer("slow", slow)
        east.answer("quick", quick)
        rung = heard(east)
        under_way = asyncio.create_task(api.call("slow"))
        assert await api.call("quick") == "done"
        await asyncio.to_thread(broker.kill)
        with pytest.raises(errors.Unreachable, match="the connection ended while a call was under way") as caught:
            await asyncio.wait_for(under_way, 30)
        assert "guest" not in caught.value.sentence()
        catalogue.told("broker-killed-in-a-call", caught.value.sentence())
        with pytest.raises(errors.Unreachable, match="could not be sent"):
            await api.call("quick")
        api.ring("lost")
        east.ring("heard here")
        assert rung == ["heard here"]
        await asyncio.to_thread(broker.start)
        await stand.until(lambda: "" in rung, 30)  # whatever was missed: look

        async def answered() -> bool:
            with contextlib.suppress(errors.Unreachable):
                return await api.call("quick") == "done"
            return False

        await stand.until(answered, 30)
        assert "lost" not in rung


async def test_a_broker_that_is_not_there_is_no_reason_not_to_start(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    nowhere = RabbitBus("amqp://user:hidden@127.0.0.1:1/", "east", conductor=True)
    async with nowhere.running(to_east):
        await asyncio.sleep(2.5)  # more than two tries: told once
        with pytest.raises(errors.Unreachable, match=r"broker 127.0.0.1:1 is not reached.*could not be sent") as away:
            await nowhere.call("echo")
        catalogue.told("broker-not-there", away.value.sentence())
    out, err = capfd.readouterr()
    assert out.count("message broker not reached") == 1
    assert (err, "hidden" in out) == ("", False)
    with pytest.raises(errors.Invalid, match="no URL of RabbitMQ") as caught:
        RabbitBus("http://user:hidden@x/", "east", conductor=True)
    assert "hidden" not in caught.value.sentence()
