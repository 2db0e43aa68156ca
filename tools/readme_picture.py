"""Make the README's picture from the demo: generated images above, their labels below.

python tools/readme_picture.py demo docs/images/demo.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from datasetgan.dataset import read_dataset
from datasetgan.project import Project

COLUMNS = 10
ZOOM = 2


def main() -> None:
    """Write the picture: evenly spaced samples, not chosen by eye."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    project = Project.open(arguments.project)
    dataset = read_dataset(project.layout.dataset("default"))
    records = dataset.kept[:: len(dataset.kept) // COLUMNS][:COLUMNS]
    columns = []
    for record in records:
        sample = dataset.load(record)
        colors = dataset.taxonomy.colorize(sample.label_map)
        columns.append(np.concatenate([sample.image, colors]))
    picture = np.concatenate(columns, axis=1).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
