"""The command line. Torch is imported inside the commands, so that `--help` is instant."""
