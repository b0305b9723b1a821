"""Threads over the items of a source: in order, and never too much of them in memory."""

from inkling.data import parallel
from inkling.data.parallel import in_parallel, workers
from inkling.data.source import Item, Source


def test_items_come_in_order_with_their_results():
    source = Source(lambda: (Item(str(n), bytes(1 << 14)) for n in range(500)), 500, ())
    with workers(source) as pool:
        assert pool is not None
        found = list(in_parallel(pool, lambda item: int(item.name), source.items()))
    assert [(item.name, result) for item, result in found] == [(str(n), n) for n in range(500)]


def test_few_large_items_are_pending_at_a_time(monkeypatch):
    monkeypatch.setattr(parallel, "_CHUNK_BYTES", 1 << 15)
    taken = []

    def items():
        for number in range(200):
            taken.append(number)
            yield Item(str(number), bytes(1 << 14))

    with workers(Source(items, 200, ())) as pool:
        taken.clear()
        next(in_parallel(pool, lambda item: None, items()))
        assert len(taken) <= 2 * (2 * pool.cores + 2)
