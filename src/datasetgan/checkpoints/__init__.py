"""Weights on disk: the native safetensors format, and imports from foreign ones.

`native` knows no network, so every room may use it; `generator_files` builds
generators from it.
"""
