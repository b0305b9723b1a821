"""Work shared out over threads."""

import threading

import pytest
import torch

from inkling.system.threads import in_threads, one_thread_in_operations, shared_out, slices


def test_results_come_in_the_order_of_the_parts_each_from_a_thread_of_its_own():
    meeting = threading.Barrier(3, timeout=10)  # passed only if all three run at once

    def work(part):
        meeting.wait()
        return part * 10, torch.get_num_threads()

    assert in_threads(work, [3, 1, 2]) == [(30, 1), (10, 1), (20, 1)]


def test_one_part_stays_in_this_thread():
    assert in_threads(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


def test_an_error_is_raised_once_all_have_ended():
    ended = []

    def work(part):
        if part == 0:
            raise ValueError("no")
        ended.append(part)

    with pytest.raises(ValueError, match="no"):
        in_threads(work, [0, 1])
    assert ended == [1]


def test_operations_get_their_threads_back():
    before = torch.get_num_threads()
    with one_thread_in_operations(True):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_slices_are_all_rows_in_order():
    assert slices(slice(10, 21), 3) == [slice(10, 13), slice(13, 17), slice(17, 21)]


def test_shares_cost_about_the_same_and_none_is_empty():
    assert shared_out([1, 8, 4, 3], 2) == [[1], [2, 3, 0]]
    assert shared_out([1], 4) == [[0]]
