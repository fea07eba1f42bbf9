"""Tables are kept while they fit: never more bytes than the limit, the last ones used, and none that is larger."""

import threading

import numpy as np

from qicircuits.kept import keep_bytes


def counted(limit):
    calls = []

    @keep_bytes(limit)
    def table(size, other=0):
        calls.append(size)
        return np.zeros(size, np.uint8), [np.zeros(other, np.uint8)]

    return table, calls


def test_results_are_kept_until_there_are_too_many_bytes():
    table, calls = counted(10)
    first = table(4)
    assert table(4) is first
    table(5)
    table(4)  # used last: the other one goes
    table(3)
    assert table(4) is first
    table(5)
    assert calls == [4, 5, 3, 5]


def test_a_result_beyond_the_limit_is_given_and_drives_nothing_out():
    table, calls = counted(10)
    table(4)
    assert len(table(11)[0]) == len(table(11)[0]) == 11
    table(4)
    table(4, 7)
    table(4)
    assert calls == [4, 11, 11, 4]
    assert len(table(4, 7)[1][0]) == 7


def test_threads_share_what_is_kept():
    table, _ = counted(10)
    found = []
    threads = [threading.Thread(target=lambda: found.append(table(4))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert table(4) is table(4)
