"""The tour of version 0.1.0's README, as it stood."""

from pathlib import Path

import datasetgan as dg

runtime = dg.resolve_runtime("auto")

# 1. A generator: latents in, an image and the features of every layer out.
generator = dg.load_generator("wbc", runtime=runtime)
latents = dg.sample_latents(generator, seeds=[0, 1, 2], truncation_psi=0.9)
synthesis = generator.synthesize(latents.ws, noise=latents.noise)
print(synthesis.image.shape, len(synthesis.features.levels))

# 2. A project: images to paint, and the label maps that were painted.
painted = dg.painted_samples()
taxonomy = dg.ClassTaxonomy.from_names(dg.EMBEDDED_CLASSES)
sampling = dg.SamplingSettings(truncation_psi=painted.truncation_psi)
project = dg.Project.create(
    "cells", name="cells", generator="wbc", taxonomy=taxonomy, sampling=sampling
)
project.add_samples(16, runtime, seeds=painted.seeds)
project.import_labels(painted.masks)

# 3. The Style Interpreter, and what it says about images nobody painted.
interpreter = dg.fit_interpreter(
    project.painted_features(generator),
    taxonomy,
    settings=dg.FitSettings(max_steps=200),
    generator_digest=generator.digest,
)
prediction = interpreter.predict(synthesis.features)
print(prediction.label_map.shape, prediction.uncertainty_score)

# 4. A labelled dataset, the most uncertain tenth left out when it is read.
settings = dg.GenerationSettings(num_samples=64, truncation_psi=0.9)
dg.generate_samples(generator, interpreter, Path("cells/datasets/default"), settings=settings)
dataset = dg.read_dataset(Path("cells/datasets/default"), drop_fraction=0.1)

# 5. A network trained on it, and its proof on real photos.
segmenter = dg.train_segmenter(dataset, settings=dg.SegmenterSettings(steps=20), runtime=runtime)
photos = dg.painted_photos()
evaluation = dg.evaluate_segmenter(segmenter, dg.find_pairs(photos.photos, photos.masks))
print(f"mean IoU {evaluation.mean_iou:.2f}")
