"""Processes of one run know its secret; none that does not takes part, and all are told."""

import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from radenhance.errors import UsageError
from radenhance.strategies.secret import (
    MIN_LENGTH,
    RUN_SECRET,
    SECRET,
    check_equal,
    make_run_secret,
    prove,
    secret_of_run,
)

ONE, OTHER = "1" * MIN_LENGTH, "2" * MIN_LENGTH


class Recorder:
    """A store that keeps what goes through it."""

    def __init__(self):
        self.store, self.seen = dist.HashStore(), {}

    def set(self, key, value):
        self.seen[key] = value
        self.store.set(key, value)

    def __getattr__(self, name):
        return getattr(self.store, name)


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch):
    monkeypatch.setattr("radenhance.strategies.secret.FAREWELL", timedelta(seconds=0.3))


def outcomes(store, *secrets, meet=prove):
    """What each process of a run with these secrets is told, None for those that go on."""
    told = [None] * len(secrets)

    def run(rank, secret):
        try:
            meet(store, rank, len(secrets), secret)
        except UsageError as error:
            told[rank] = str(error)

    threads = [threading.Thread(target=run, args=item) for item in enumerate(secrets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return told


@pytest.mark.parametrize("secrets", [(ONE, ONE), (None, None), (ONE, ONE, ONE), (None,)])
def test_processes_with_one_secret_or_with_none_go_on(secrets):
    assert outcomes(dist.HashStore(), *secrets) == [None] * len(secrets)


@pytest.mark.parametrize(
    ("secrets", "of_first", "of_last"),
    [
        ((ONE, OTHER), "rank 1 has another", "rank 0 has another"),
        ((ONE, None), "rank 1 has no RADENHANCE_SECRET, and rank 0 has one", "rank 1 has no"),
        ((None, ONE), "rank 0 has no RADENHANCE_SECRET, and rank 1 has one", "rank 0 has no"),
        ((ONE, ONE, OTHER), "rank 2 has another", "rank 0 has another"),
    ],
)
def test_every_process_is_told_which_one_has_another_secret(secrets, of_first, of_last):
    told = outcomes(dist.HashStore(), *secrets)
    assert of_first in told[0]
    assert of_last in told[-1]
    assert all("set the same on all machines" in sentence for sentence in told)


def test_the_secret_is_not_sent_and_no_proof_is_made_twice():
    first, second = Recorder(), Recorder()
    for recorder in (first, second):
        assert outcomes(recorder, ONE, ONE) == [None, None]
        assert not any(ONE in text for text in recorder.seen.values())
    proofs = [text for key, text in (*first.seen.items(), *second.seen.items()) if "proof" in key]
    assert len(set(proofs)) == 4


def strangers():
    """What one that does not know the secret may put in the place of rank 1's proof."""
    recorder = Recorder()
    outcomes(recorder, ONE, ONE)
    earlier = recorder.seen
    return {
        "of the other": lambda store: store.get("radenhance/proof/0"),
        "of an earlier run": lambda store: earlier["radenhance/proof/1"],
        "empty": lambda store: "",
        "none": lambda store: "none",
        "no text": lambda store: b"\xff" * 64,
        "huge": lambda store: "0" * 2**22,
    }


@pytest.mark.parametrize("name", strangers())
@pytest.mark.parametrize("nonce", ["repeated", "", "0" * 2**20])
def test_a_stranger_does_not_take_the_place_of_a_process(name, nonce):
    store, told = dist.HashStore(), []

    def honest():
        try:
            prove(store, 0, 2, ONE)
        except UsageError as error:
            told.append(str(error))

    thread = threading.Thread(target=honest)
    thread.start()
    store.set("radenhance/nonce/1", nonce)
    store.set("radenhance/proof/1", strangers()[name](store))
    thread.join(20)
    assert len(told) == 1


def test_the_secret_of_all_machines_is_that_of_the_environment(monkeypatch):
    monkeypatch.setenv(SECRET, ONE)
    make_run_secret()
    assert secret_of_run(one_machine=True) == secret_of_run(one_machine=False) == ONE


def test_a_run_on_one_machine_has_a_secret_of_its_own(monkeypatch):
    monkeypatch.delenv(SECRET, raising=False)
    monkeypatch.setenv(RUN_SECRET, "of the run before")
    make_run_secret()
    own = secret_of_run(one_machine=True)
    assert len(own) == 64
    assert secret_of_run(one_machine=False) is None
    make_run_secret()
    assert secret_of_run(one_machine=True) != own


def test_a_short_secret_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv(SECRET, "letmein")
    with pytest.raises(UsageError, match="has 7 characters, expected at least 16") as caught:
        secret_of_run(one_machine=False)
    assert "letmein" not in str(caught.value)


@pytest.mark.parametrize(
    ("gpus", "same"),
    [(("a", "b"), None), (("", ""), None), (("a", "a"), (0, 1)), (("a", "b", "b"), (1, 2))],
)
def test_processes_that_have_one_gpu_are_all_told_which(gpus, same):
    def meet(store, rank, num, gpu):
        check_equal(store, rank, num, "nccl", gpu)

    for told in outcomes(dist.HashStore(), *gpus, meet=meet):
        if same is None:
            assert told is None
        else:
            first, other = same
            assert told.startswith(f"rank {first} and rank {other} have the same GPU, and nccl")
