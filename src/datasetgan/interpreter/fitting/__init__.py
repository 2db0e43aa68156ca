"""From painted samples to an interpreter: pixels, choice of inputs, trainer, fit."""
