"""Waiting for the power to follow: a BMC that is away for a moment is asked again, one that stays away is named."""

from __future__ import annotations

import pytest

from ingot.domain import errors, power
from ingot.interfaces import power_wait

OFF, ON = power.Power.OFF, power.Power.ON


async def test_a_bmc_that_is_away_for_a_moment() -> None:
    answers: list[power.Power | errors.IngotError] = [OFF, errors.Unreachable("gone."), errors.TimedOut("late."), ON]

    async def look() -> power.Power:
        answer = answers.pop(0)
        if isinstance(answer, errors.IngotError):
            raise answer
        return answer

    await power_wait.until(ON, look, 30, "It")
    assert answers == []


async def test_a_bmc_that_stays_away_is_named() -> None:
    async def look() -> power.Power:
        raise errors.Unreachable("No IPMI answer from 10.0.0.7:623 in 8 s.")

    with pytest.raises(errors.TimedOut) as caught:
        await power_wait.until(OFF, look, 0.5, "The machine")
    assert caught.value.message == (
        'The machine accepted the order but its power was not "power off" within 0 s '
        "(it could not be asked: No IPMI answer from 10.0.0.7:623 in 8 s)"
    )


async def test_a_refusal_is_not_waited_for() -> None:
    async def look() -> power.Power:
        raise errors.AccessDenied("wrong password")

    with pytest.raises(errors.AccessDenied):
        await power_wait.until(OFF, look, 30, "It")


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_graceful_shutdown_whose_answer_was_lost_is_not_asked_for_again(obeys: bool) -> None:
    """The operating system takes longer than a lost order is waited for; a second press of the button may harm it."""
    given = looks = 0

    async def look() -> power.Power:
        nonlocal looks
        looks += 1
        return OFF if obeys and looks > 3 else ON

    async def order() -> None:
        nonlocal given
        given += 1
        lost = errors.Unreachable("The BMC closed the connection.")
        lost.sent = True
        raise lost

    if obeys:
        await power_wait.reach(OFF, look, order, 30, "It", once=True)
    else:
        with pytest.raises(errors.Unreachable, match="closed the connection"):
            await power_wait.reach(OFF, look, order, 0.5, "It", once=True)
    assert given == 1


async def test_an_order_that_was_lost_and_is_refused_when_it_is_given_again_was_carried_out() -> None:
    """As a BMC does that goes away while the power changes, and takes no order for the state that there is."""
    given = 0

    async def look() -> power.Power:
        if given == 1:
            raise errors.Unreachable("gone.")
        return ON if given else OFF

    async def order() -> None:
        nonlocal given
        given += 1
        if given == 2:
            raise errors.Misbehaved("not possible in the present state")
        lost = errors.Unreachable("cut off")
        lost.sent = True
        raise lost

    await power_wait.reach(ON, look, order, 0.5, "It")
    assert given == 2
