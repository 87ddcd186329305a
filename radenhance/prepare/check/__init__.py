"""Is the data right?  A dataset is looked at before it trains.

Read in this order: `alignment` measures how a target lies on its raw image, `findings` says what
is wrong with one pair, `command` compares pairs with each other and prints, `sheet` draws them.
"""
