"""One of several processes of a run; `test_processes.py` starts it with accelerate's variables."""

import json
import sys
from pathlib import Path

import numpy as np

from datasetgan.checkpoints.native import WeightCard
from datasetgan.gan_training import (
    RunSettings,
    TrainingImages,
    TrainingSettings,
    join_processes,
    train_generator,
)
from datasetgan.runtime import Runtime
from tests.gan_training.conftest import build_small


def main(folder: Path) -> None:
    processes, device = join_processes("cpu")
    pixels = np.random.RandomState(0).randint(0, 60, (128, 8, 8, 3)).astype(np.uint8)
    result = train_generator(
        TrainingImages(pixels, None, (), (), "dark"),
        folder / "out.safetensors",
        run=folder,
        network=build_small().config,
        settings=TrainingSettings(batch=8, r1_interval=4),
        run_settings=RunSettings(images=64, snapshot_images=32, num_samples=16),
        runtime=Runtime(device=device),
        card=WeightCard(title="together"),
        processes=processes,
        on_step=(steps := []).append,
    )
    losses = [[s.generator_loss, s.discriminator_loss, s.r1, s.real_sign] for s in steps]
    report = {
        "count": processes.count,
        "losses": losses,
        "snapshots": [record.images_seen for record in result.snapshots],
    }
    (folder / f"rank-{processes.rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
