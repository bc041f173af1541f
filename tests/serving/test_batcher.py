"""What waits while a batch is at work goes into the next."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from generator.serving.models.batcher import Batcher, OverloadError


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as found:
        yield found


class Gate:
    """Work that waits until it is let go, and notes the batches it got."""

    def __init__(self):
        self.open, self.begun, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.batches.append(list(items))
        self.begun.set()
        self.open.wait(10)
        return [ValueError(item) if item < 0 else item * 2 for item in items]


async def begun(gate, call):
    """Start ``call`` and return when its batch is at work."""
    task = asyncio.ensure_future(call)
    await asyncio.to_thread(gate.begun.wait, 10)
    return task


def test_items_keep_their_order_and_share_batches(threads):
    async def run():
        gate = Gate()
        batcher = Batcher(gate, threads, largest=4)
        first = await begun(gate, batcher(0))
        others = [asyncio.ensure_future(batcher(item)) for item in range(1, 8)]
        await asyncio.sleep(0)
        gate.open.set()
        assert [await first, *[await one for one in others]] == [0, 2, 4, 6, 8, 10, 12, 14]
        assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]

    asyncio.run(run())


def test_an_item_fails_alone_and_work_that_fails_fails_its_batch(threads):
    async def run():
        gate = Gate()
        gate.open.set()
        batcher = Batcher(gate, threads)
        found = await asyncio.gather(batcher(1), batcher(-1), batcher(2), return_exceptions=True)
        assert [found[0], found[2]] == [2, 4]
        assert isinstance(found[1], ValueError)
        broken = Batcher(lambda items: 1 / 0, threads)
        for _ in range(2):  # and goes on after it
            with pytest.raises(ZeroDivisionError):
                await broken(1)

    asyncio.run(run())


def test_more_than_may_wait_is_refused_and_who_has_gone_holds_up_nobody(threads):
    async def run():
        gate = Gate()
        batcher = Batcher(gate, threads, capacity=2)
        first = await begun(gate, batcher(0))
        waiting = [asyncio.ensure_future(batcher(item)) for item in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            await batcher(3)
        waiting[0].cancel()
        gate.open.set()
        assert (await first, await waiting[1]) == (0, 4)

    asyncio.run(run())


def test_workers_overlap(threads):
    async def run():
        gate = Gate()
        batcher = Batcher(gate, threads, workers=2, largest=1)
        tasks = [asyncio.ensure_future(batcher(item)) for item in range(3)]
        while len(gate.batches) < 2:
            await asyncio.sleep(0)
        gate.open.set()
        assert [await task for task in tasks] == [0, 2, 4]

    asyncio.run(run())
