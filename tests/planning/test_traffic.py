"""Work of operators, counted on fake tensors."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.planning.traffic import MIDDLE_CARD, Speed, Traffic, Work


def test_a_matrix_product_counts_two_operations_a_multiplication():
    with FakeTensorMode():
        a, b = torch.rand(8, 16), torch.rand(16, 4)
        with Traffic() as traffic:
            a @ b
    assert traffic.operations == 2 * 8 * 16 * 4
    assert traffic.moved_bytes == 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert traffic.operators == 1


def test_views_move_nothing():
    with FakeTensorMode():
        tensor = torch.rand(4, 8)
        with Traffic() as traffic:
            tensor.view(8, 4).t()[1:]
    assert traffic.moved_bytes == traffic.operations == traffic.operators == 0


def test_half_precision_moves_half():
    def moved(dtype):
        with FakeTensorMode():
            tensor = torch.zeros(64, dtype=dtype)
            with Traffic() as traffic:
                tensor + tensor
        return traffic.moved_bytes

    assert moved(torch.float32) == 2 * moved(torch.float16)


def test_backward_passes_count_too():
    with FakeTensorMode():
        weight = torch.rand(16, 16, requires_grad=True)
        with Traffic() as forward:
            loss = (torch.rand(4, 16) @ weight).sum()
        with Traffic() as backward:
            loss.backward()
    assert backward.operations == forward.operations  # one product of the same size


def test_products_in_half_precision_are_counted_by_themselves():
    with FakeTensorMode():
        a = torch.rand(8, 8, dtype=torch.bfloat16)
        with Traffic() as traffic:
            a @ a
    assert traffic.work() == Work(0, 2 * 8**3, 2 * 3 * 64, 1, 0)


def test_a_step_takes_what_its_parts_do_one_after_the_other():
    assert MIDDLE_CARD.seconds(Work(host_bytes=12_000_000_000)) == 2
    assert MIDDLE_CARD.seconds(Work(10e12, 10e12, 400e9, 5)) == 3
    assert Speed(1, 2, 3, 4, 5).seconds(Work(1, 1, 1, 1, 1)) == 15
