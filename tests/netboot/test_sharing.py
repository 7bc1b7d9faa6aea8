"""Who is told to fetch what from whom: the decision alone, and the questions as they come over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from ingot.netboot import httpwire
from ingot.netboot.sharing import Answer, Question, Sharing, Swarm
from netboot import swarm_model

TOKEN = "ab" * 16


def question(name: str, mine: int = 0, offer: int = 0, **more: object) -> Question:
    return msgspec.structs.replace(Question(name, 8, mine, offer), **more)


def test_one_alone_fetches_as_without_sharing() -> None:
    swarm = Swarm(8)
    assert swarm.answer(question("a"), 0) == Answer(alone=True)
    swarm.answer(question("b"), 0)
    assert swarm.answer(question("a"), 0) != Answer(alone=True)
    swarm.answer(question("b", leaves=True), 1)
    assert swarm.answer(question("a"), 1) == Answer(alone=True)


def test_the_controller_sends_each_chunk_once_while_others_lack() -> None:
    swarm = Swarm(8)
    swarm.answer(question("a"), 0)
    mine = {"a": 0, "b": 0}
    told: list[int] = []
    for turn in range(6):
        name = "ba"[turn % 2]
        answer = swarm.answer(question(name, mine[name]), 0)
        assert answer.giver == ""
        assert answer.chunk is not None
        mine[name] |= 1 << answer.chunk
        told.append(answer.chunk)
    assert sorted(told) == [0, 1, 2, 3, 4, 5]
    assert swarm.answer(question("a", mine["a"]), 0).wait > 0  # all its places are taken


def test_what_somebody_has_comes_from_there_the_rarest_first() -> None:
    swarm = Swarm(8)
    swarm.answer(question("a", 0b11111111, 0b00000011), 0)
    swarm.answer(question("b", 0b11111111, 0b00000001), 0)
    first = swarm.answer(question("c", 0b10), 0)
    assert (first.chunk, first.giver) == (0, "a")
    swarm.answer(question("c", 0b11, done=(0,)), 0)
    rarest = swarm.answer(question("d"), 0)
    assert (rarest.chunk, rarest.giver) == (0, "b"), "it has handed on nothing so far"
    assert swarm.answer(question("d", 0b01), 0).chunk == 1


def test_a_giver_is_not_asked_for_more_than_it_can_send() -> None:
    swarm = Swarm(20)
    whole = (1 << 20) - 1
    swarm.answer(Question("a", 20, whole, whole), 0)
    mine = 0
    givers: list[str] = []
    for _ in range(12):
        answer = swarm.answer(Question("b", 20, mine, 0), 0)
        mine |= 1 << (answer.chunk or 0)
        givers.append(answer.giver)
    assert givers == ["a"] * 6 + [""] * 6
    rest = swarm.answer(Question("b", 20, mine, 0, done=tuple(range(20))), 0)
    assert rest.giver == "a"


def test_who_wants_more_is_told_more_and_one_of_them_from_the_controller() -> None:
    swarm = Swarm(8)
    swarm.answer(question("a", 0b00001111, 0b00000111), 0)
    swarm.answer(question("b", 0b00001111, 0b00001000), 0)
    answer = swarm.answer(question("c", want=5), 0)
    assert (answer.chunk, answer.giver) == (5, ""), "a chunk that nobody has or fetches"
    assert sorted(answer.more) == [(0, "a"), (1, "a"), (2, "a"), (3, "b")]
    assert swarm.answer(question("d", want=2), 0).more[0][1] in {"a", "b"}, "the other's booking bars nobody"


def test_an_agent_of_the_version_before_takes_a_wait_for_no_chunk() -> None:
    swarm = Swarm(8)
    swarm.answer(question("a"), 0)
    answer = swarm.answer(question("b"), 0)
    assert (answer.chunk, answer.wait) == (0, 0.0)
    assert swarm.answer(question("b", want=1), 0).wait > 0


def book_all(swarm: Swarm, name: str, now: float) -> int:
    """Let a machine take all places that the controller has free; what it fetches then."""
    mine = 0
    while (told := swarm.answer(question(name, mine), now).chunk) is not None:
        mine |= 1 << told
    return mine


def test_a_machine_on_a_slow_link_or_a_silent_one_holds_up_nobody() -> None:
    swarm = Swarm(8)
    swarm.answer(question("b"), 0)
    slow = book_all(swarm, "a", 0)
    assert swarm.answer(question("b"), 1).chunk is None
    assert swarm.answer(question("a", slow), 5).chunk is not None, "the other's places are free, whoever asks"
    assert swarm.answer(question("b"), 5).chunk is not None
    assert not swarm.answer(question("a", slow), 20).alone, "and it is not forgotten"


def take(swarm: Swarm, name: str, giver: str, times: int) -> list[int]:
    """The chunks that a machine is told to fetch from a giver, one question each."""
    told: list[int] = []
    for _ in range(times):
        answer = swarm.answer(question(name, sum(1 << chunk for chunk in told)), 0)
        assert answer.chunk is not None
        assert answer.giver == giver
        told.append(answer.chunk)
    return told


def test_a_giver_that_lets_a_quick_machine_wait_is_spared_for_a_while() -> None:
    swarm, whole = Swarm(8), 0xFF
    swarm.answer(question("slow", whole, whole), 0)
    first, second = take(swarm, "quick", "slow", 2)
    swarm.answer(question("quick", 1 << first | 1 << second, done=(first,)), 0.1)
    assert swarm.answer(question("other"), 5).giver == "", "one chunk came at once, the other never"
    swarm.answer(question("slow", whole, whole), 26)
    assert swarm.answer(question("other"), 26).giver == "slow"


def test_a_giver_is_not_blamed_for_a_taker_on_a_slow_link() -> None:
    swarm, whole = Swarm(8), 0xFF
    swarm.answer(question("quick", whole, whole), 0)
    take(swarm, "slow", "quick", 3)
    assert swarm.answer(question("other"), 5).giver == "quick"


def test_a_link_that_is_slow_for_all_is_not_filled_with_more_and_more() -> None:
    swarm, mine = Swarm(1000), [0] * 10
    for second in range(100):  # nothing ever ends
        for name, fetching in enumerate(mine):
            told = swarm.answer(Question(str(name), 1000, fetching, 0, want=1), second).chunk
            mine[name] |= 0 if told is None else 1 << told
    assert sum(fetching.bit_count() for fetching in mine) < 60, "six more every two seconds would be 300"


def test_the_more_machines_the_rarer_each_asks() -> None:
    swarm = Swarm(8)
    waits = [swarm.answer(question(str(number), want=1), 0).wait for number in range(90)]
    assert waits[1] == 0.05
    assert 0.5 < waits[-1] < 0.7


def test_a_rack_takes_little_longer_than_one_machine() -> None:
    assert swarm_model.of_one(40, 192) < 1.26, (
        "1.33 with four places for the controller and each machine, 1.19 with six"
    )


def test_a_giver_that_failed_is_left_alone_for_a_while() -> None:
    swarm = Swarm(8)
    swarm.answer(question("liar", 0xFF, 0xFF), 0)
    assert swarm.answer(question("a"), 0).giver == "liar"
    assert swarm.answer(question("a", bad=("liar",)), 1).giver == ""
    assert swarm.answer(question("b"), 1).giver == "liar"
    swarm.answer(question("liar", 0xFF, 0xFF), 22)
    assert swarm.answer(question("a"), 22).giver == "liar"


def test_names_of_nobody_are_not_kept() -> None:
    swarm = Swarm(8)
    swarm.answer(question("liar", 0xFF, 0xFF), 0)
    for number in range(100):
        swarm.answer(question("a", bad=("liar", "", f"nobody {number}")), 0)
    kept = swarm._machines["a"]  # pyright: ignore[reportPrivateUsage] - what is kept is not told
    assert set(kept.shunned) == {"liar"}
    swarm.answer(question("liar", 0xFF, 0xFF), 25)
    assert kept.shunned == {}, "its time is over"


def test_who_is_silent_is_forgotten_with_all_it_had() -> None:
    swarm = Swarm(8)
    swarm.answer(question("gone", 0xFF, 0xFF), 0)
    swarm.answer(question("a"), 30)
    swarm.answer(question("b"), 61)
    answer = swarm.answer(question("a"), 61)
    assert (answer.giver, answer.alone) == ("", False)
    assert not swarm.idle(90)
    assert swarm.idle(200)


def asked(query: str, client: str = "10.0.0.5") -> httpwire.Request:
    return httpwire.parse_head(f"GET /images/x/k/sources?{query} HTTP/1.1".encode(), client)


def answered(sharing: Sharing, query: str, client: str = "10.0.0.5") -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(sharing.answer("key", asked(query, client)).data)
    return found


def test_over_http() -> None:
    sharing = Sharing(lambda: 0.0)
    assert answered(sharing, f"of=8&giver=7000-{TOKEN}&host=10.0.0.5&mine=ff&offer=ff") == {"alone": True}
    told = answered(sharing, f"of=8&giver=7001-{TOKEN}&host=10.0.0.6&mine=0&offer=0&done=1,2", "10.0.0.6")
    assert told["giver"] == f"10.0.0.5 7000-{TOKEN}"
    bad = f"of=8&giver=7001-{TOKEN}&host=10.0.0.6&mine=0&offer=0&bad=10.0.0.5%207000-{TOKEN}"
    assert "giver" not in answered(sharing, bad, "10.0.0.6")
    again = answered(sharing, f"of=9&giver=7002-{TOKEN}&host=10.0.0.7", "10.0.0.7")
    assert again == {"alone": True}, "another map: its chunks are others"


def test_a_machine_behind_a_translated_address_is_not_offered() -> None:
    sharing = Sharing(lambda: 0.0)
    answered(sharing, f"of=8&giver=7000-{TOKEN}&host=192.168.1.1&mine=ff&offer=ff")
    assert "giver" not in answered(sharing, f"of=8&giver=7001-{TOKEN}&host=10.0.0.6", "10.0.0.6")


@pytest.mark.parametrize(
    "query",
    ["", "of=8", f"of=0&giver=1-{TOKEN}", f"of=99999999&giver=1-{TOKEN}", f"of=2000000&giver=1-{TOKEN}",
     "of=8&giver=1-short", f"of=8&giver=1-{TOKEN}&mine=xyz", f"of=8&giver=1-{TOKEN}&done=,",
     f"of=8&giver=1-{TOKEN}&want=-1",
     f"of=8&giver=1-{TOKEN}&{'&'.join(f'a{n}=1' for n in range(30))}"],
)  # fmt: skip
def test_nonsense_is_refused(query: str) -> None:
    with pytest.raises(httpwire.BadRequestError):
        Sharing().answer("key", asked(query))
