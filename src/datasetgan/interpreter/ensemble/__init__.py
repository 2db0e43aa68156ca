"""All members of an ensemble together: their layers, the kinds of heads, folding."""
