import numpy as np

from radenhance.phantoms.anatomy.chance import generator


def test_random_numbers_depend_on_the_name_only():
    again = generator(7, "cat", "ribs").random(3)
    np.testing.assert_array_equal(generator(7, "cat", "ribs").random(3), again)
    assert not np.array_equal(generator(7, "cat", "spine").random(3), again)
    assert not np.array_equal(generator(8, "cat", "ribs").random(3), again)
