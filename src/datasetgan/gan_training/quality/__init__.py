"""Numbers and neighbours that tell whether a generator is good, without downloads."""

from datasetgan.encoders.self_supervised import SelfSupervision
from datasetgan.gan_training.quality.feature_networks import (
    FEATURE_NETWORKS,
    FeatureNetwork,
    build_feature_network,
    extract_features,
)
from datasetgan.gan_training.quality.measure import (
    QualityScores,
    RealFeatures,
    measure_quality,
    read_real_features,
    sample_pictures,
)
from datasetgan.gan_training.quality.neighbours import (
    Neighbours,
    aligned_photographs,
    nearest_photographs,
)
from datasetgan.gan_training.quality.scores import (
    Kid,
    frechet_distance,
    kernel_inception_distance,
)

__all__ = [
    "FEATURE_NETWORKS",
    "FeatureNetwork",
    "Kid",
    "Neighbours",
    "QualityScores",
    "RealFeatures",
    "SelfSupervision",
    "aligned_photographs",
    "build_feature_network",
    "extract_features",
    "frechet_distance",
    "kernel_inception_distance",
    "measure_quality",
    "nearest_photographs",
    "read_real_features",
    "sample_pictures",
]
