"""Encoders: networks that read photos, so that photos can be painted and labelled too."""

from datasetgan.encoders.encoder import Encoder, EncoderConfig
from datasetgan.encoders.files import import_encoder, load_encoder, save_encoder
from datasetgan.encoders.self_supervised import SelfSupervision
from datasetgan.encoders.source import PhotoSource
from datasetgan.encoders.timm_networks import network_name
from datasetgan.encoders.unlabelled import SUPERVISION, teach_encoder

__all__ = [
    "SUPERVISION",
    "Encoder",
    "EncoderConfig",
    "PhotoSource",
    "SelfSupervision",
    "import_encoder",
    "load_encoder",
    "network_name",
    "save_encoder",
    "teach_encoder",
]
