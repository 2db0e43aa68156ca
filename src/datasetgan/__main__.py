"""``python -m datasetgan`` is the ``datasetgan`` command."""

from datasetgan.cli.main import main

if __name__ == "__main__":
    main()
