"""`python -m datasetgan`, which is also what ``accelerate launch -m`` starts."""

from datasetgan.cli.main import main

if __name__ == "__main__":
    main()
