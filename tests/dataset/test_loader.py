import pytest
from torch.utils.data import Dataset

from radenhance.dataset.loader import DrawSampler, ResumableLoader
from radenhance.errors import UsageError


class Draws(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, draw):
        return draw


def loader(**options):
    sampler = DrawSampler(Draws(), num_replicas=1, rank=0, seed=3)
    return ResumableLoader(Draws(), sampler=sampler, batch_size=2, collate_fn=list, **options)


def epoch(loader, number):
    loader.sampler.set_epoch(number)
    return list(loader)


def test_an_epoch_draws_every_index_once_and_names_the_epoch():
    draws = [draw for batch in epoch(loader(), 4) for draw in batch]
    assert {e for e, _ in draws} == {4}
    assert sorted(i for _, i in draws) == list(range(10))


def test_order_is_that_of_seed_and_epoch():
    assert epoch(loader(), 1) == epoch(loader(), 1)
    assert epoch(loader(), 1) != [[(1, i) for _, i in batch] for batch in epoch(loader(), 2)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_goes_on_where_the_state_was_taken(num_workers):
    whole = epoch(loader(), 2)
    first = loader(num_workers=num_workers)
    first.sampler.set_epoch(2)
    iterator = iter(first)
    seen = [next(iterator) for _ in range(3)]
    second = loader(num_workers=num_workers)
    second.load_state_dict(first.state_dict())
    assert seen + list(second) == whole
    assert second.state_dict() == {"epoch": 2, "batches": 5}


def test_only_the_first_epoch_after_a_resume_is_shortened():
    resumed = loader()
    resumed.load_state_dict({"epoch": 0, "batches": 4})
    assert len(list(resumed)) == 1
    assert len(epoch(resumed, 1)) == 5


def test_a_finished_epoch_is_followed_by_a_whole_one():
    resumed = loader()
    resumed.load_state_dict({"epoch": 0, "batches": 5})
    assert epoch(resumed, 1) == epoch(loader(), 1)


def test_processes_share_an_epoch():
    shares = [list(DrawSampler(Draws(), num_replicas=2, rank=rank, seed=3)) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == [(0, i) for i in range(10)]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"epoch": 1},
        {"epoch": "1", "batches": 2},
        {"epoch": 1, "batches": -2},
        {"batches": True},
    ],
)
def test_a_state_that_is_no_position_is_refused(state):
    with pytest.raises(UsageError, match="does not say where in the training data"):
        loader().load_state_dict(state)
