"""Cross-validation: as many fits as folds, each without the patients that it is measured on.

With few patients, which of them validate decides a figure as much as the network does. Here each
patient is measured once, by a network that has not seen it.
"""
