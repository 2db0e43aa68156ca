"""Turn a run of `train_embedded.py` into the embedded generator, with its weight card.

python tools/embed_generator.py RUN_FOLDER OUT.safetensors --images-seen 100000 --settings TEXT
"""

import argparse
from pathlib import Path

from safetensors.torch import load_file

from datasetgan.checkpoints.generator_files import save_generator
from datasetgan.checkpoints.native import WeightCard
from datasetgan.generators import StyleGAN2
from datasetgan.serialization import sha256_of_file
from train_embedded import CONFIG


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--images-seen", type=int, required=True)
    parser.add_argument("--settings", required=True, help="of the training run, in words")
    arguments = parser.parse_args()

    generator = StyleGAN2(CONFIG)
    generator.load_state_dict(load_file(arguments.run / "generator.safetensors"))
    card = WeightCard(
        title="White blood cells, 64 px, StyleGAN2",
        licence="CC-BY-4.0",
        source="trained by the DatasetGAN project with tools/train_embedded.py on two CPU cores",
        source_sha256=sha256_of_file(arguments.photos),
        data="12,993 photographs of single white blood cells (PBC), centre crops at 64 px",
        attribution=(
            "Photographs: Acevedo et al., A dataset of microscopic peripheral blood cell images "
            "for development of automatic recognition systems, Data in Brief 30 (2020), CC BY 4.0"
        ),
        paper="Karras et al., Analyzing and improving the image quality of StyleGAN, CVPR 2020",
        settings=arguments.settings,
        images_seen=arguments.images_seen,
        notes=(
            "A first generator: short training, so fine texture and lobed nuclei are crude. "
            "source_sha256 is that of the archive of photographs."
        ),
    )
    save_generator(arguments.out, generator, card=card)


if __name__ == "__main__":
    main()
