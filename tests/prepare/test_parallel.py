import gc
import multiprocessing
import os
import signal
import time

import pytest

from radenhance.errors import MachineError
from radenhance.prepare.parallel import in_parallel


def slow_first(number):
    time.sleep(0.3 if number == 0 else 0)
    return number, os.getpid()


def die(number):
    os._exit(9)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_arguments(processes):
    results = list(in_parallel(slow_first, range(4), title="", num_processes=processes))
    assert [number for number, _ in results] == [0, 1, 2, 3]
    assert (os.getpid() in {process for _, process in results}) == (processes == 1)


def test_a_process_that_is_killed_is_told_with_what_to_do():
    with pytest.raises(MachineError, match=r"fewer of them \(--processes 1\)"):
        list(in_parallel(die, range(4), title="", num_processes=2))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("asking", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_asks_to_stop_gets_what_is_done_and_leaves_no_process(processes, asking):
    before, done = signal.getsignal(asking), []

    def work():
        for result in in_parallel(slow_first, range(400), title="", num_processes=processes):
            done.append(result)
            os.kill(os.getpid(), asking)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt) as stopped:
        work()
    assert len(done) == 1
    assert stopped.value.args == (() if asking == signal.SIGINT else (asking,))
    gc.collect()
    assert multiprocessing.active_children() == []
    assert signal.getsignal(asking) == before


def test_nothing_to_do_shows_no_bar(capsys):
    assert list(in_parallel(die, [], title="Nothing")) == []
    assert capsys.readouterr().err == ""
