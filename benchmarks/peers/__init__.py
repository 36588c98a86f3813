"""The formulas that a user would write or install instead: all of them hold N x N.

Every one normalises its rows and computes the same loss as ours, so that results are comparable.
"""
