"""Train the embedded generator from the blood-cell photographs, resumable at any time.

    python tools/train_embedded.py wbc_128.zip RUN_FOLDER --until 200000

Writes RUN_FOLDER/state.safetensors (everything that continuing needs),
generator.safetensors (the running average), grid.png and log.csv.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from datasetgan.generators import NoiseSeed, StyleGAN2, StyleGAN2Config
from datasetgan.runtime import resolve_runtime
from datasetgan.training.images import TrainingImages, read_training_images
from datasetgan.training.loop import GeneratorTrainer, TrainingSettings

CONFIG = StyleGAN2Config(
    resolution=64, z_dim=128, w_dim=128, mapping_layers=2, channel_base=2048, channel_max=128
)
SETTINGS = TrainingSettings(batch=16, learning_rate=0.0015, r1_gamma=0.5, dihedral=True)


def write_grid(generator: StyleGAN2, path: Path, *, side: int = 8) -> None:
    """Write side x side samples without truncation as one PNG."""
    z = torch.randn(side * side, CONFIG.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        noise = NoiseSeed(tuple(range(side * side)))
        pictures = generator.synthesize(generator.map(z), noise=noise).image
    pixels = ((pictures + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(pixels[i * side : (i + 1) * side]), axis=1) for i in range(side)]
    grid = Image.fromarray(np.concatenate(rows))
    grid.resize((grid.width * 2, grid.height * 2), Image.Resampling.NEAREST).save(path)


def main() -> None:
    """Run until the wanted number of images has been seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--until", type=int, required=True, help="images seen at the end")
    parser.add_argument("--start-from", type=Path, help="weights of the same configuration")
    parser.add_argument("--snapshot", type=int, default=4096, help="images between snapshots")
    arguments = parser.parse_args()
    run: Path = arguments.run
    run.mkdir(parents=True, exist_ok=True)

    cache = run / f"photos_{CONFIG.resolution}.npy"
    if not cache.exists():
        np.save(cache, read_training_images(arguments.photos, resolution=CONFIG.resolution).pixels)
    images = TrainingImages(np.load(cache), ())
    runtime = resolve_runtime(precision="bfloat16")
    trainer = GeneratorTrainer(CONFIG, images, settings=SETTINGS, runtime=runtime)
    if (run / "state.safetensors").exists():
        trainer.load_state(run / "state.safetensors")
    elif arguments.start_from:
        first = StyleGAN2(CONFIG)
        first.load_state_dict(load_file(arguments.start_from))
        trainer.start_from(first)

    with (run / "log.csv").open("a") as log:
        while trainer.images_seen < arguments.until:
            report = trainer.step()
            if trainer.steps % 32 == 0:
                print(
                    *(f"{value:.4g}" for value in vars(report).values()),
                    sep=",",
                    file=log,
                    flush=True,
                )
            if report.images_seen % arguments.snapshot < SETTINGS.batch:
                trainer.save_state(run / "state.safetensors")
                save_file(trainer.average.state_dict(), run / "generator.safetensors")
                average = trainer.average
                average.compute_dtype = torch.float32
                write_grid(average, run / "grid.png")


if __name__ == "__main__":
    main()
