"""Photographs to train on: read once, cropped, held as one array on disk."""
