"""One timer for the time limits of all tasks."""

import asyncio

import pytest

from generator.serving.http.limit import TimeLimit


def test_only_the_work_that_takes_too_long_is_ended():
    async def tasks():
        limit, never, ends = TimeLimit(0.05), asyncio.Event(), []

        async def short(number: int) -> int:
            for _ in range(number):
                await asyncio.sleep(0)
            return number

        async def late(number: int) -> str:
            try:
                await limit(never.wait())
            except TimeoutError:
                ends.append(number)
                await asyncio.sleep(0)  # a task that was late may go on: it has an answer to send
                return "late"
            return "in time"

        first = await asyncio.gather(*(late(number) for number in range(3)), *(limit(short(n)) for n in range(3)))
        again = await asyncio.gather(late(3), limit(short(4)))  # and the next ones have a timer, too
        return first, again, ends

    first, again, ends = asyncio.run(tasks())
    assert first == ["late"] * 3 + [0, 1, 2]
    assert again == ["late", 4]
    assert ends == [0, 1, 2, 3]


def test_a_task_that_is_cancelled_from_elsewhere_is_not_late():
    async def cancelled():
        limit = TimeLimit(60)
        task = asyncio.create_task(limit(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await limit(asyncio.sleep(0, "next")) == "next"

    asyncio.run(cancelled())


def test_an_error_of_the_work_is_its_own():
    async def failing():
        raise ValueError("its own")

    async def run():
        await TimeLimit(60)(failing())

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(run())
