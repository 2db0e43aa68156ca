"""Scores: pure functions of sums that add up over images."""
