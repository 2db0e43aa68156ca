"""The sizes of network that a training starts from."""

from datasetgan.choices import NetworkSize
from datasetgan.errors import UsageError, unknown_name
from datasetgan.generators.stylegan2 import StyleGAN2Config

__all__ = ["network_config"]


def network_config(size: NetworkSize, *, resolution: int, num_classes: int = 0) -> StyleGAN2Config:
    """Return the StyleGAN2 of a named size.

    ``"small"`` is for CPUs and a few thousand photographs, ``"standard"`` for one GPU up to
    256 px (that of StyleGAN2-ADA), ``"paper"`` that of Karras et al. 2020 (config F).

    Args:
        resolution: of the square pictures, a power of two from 8 on.
        num_classes: class labels it is conditioned on, 0 for none.

    Raises:
        UsageError: an unknown size, or a resolution that is no power of two from 8 on.
    """
    # z and w, mapping layers, channels times resolution, their cap
    sizes = {
        "small": (128, 2, 2048, 128),
        "standard": (512, 2, 16384, 512),
        "paper": (512, 8, 32768, 512),
    }
    if size not in sizes:
        raise UsageError(unknown_name("network size", size, sizes))
    if resolution < 8 or resolution & (resolution - 1):
        raise UsageError(f"the resolution must be a power of two from 8 on, got {resolution}.")
    latent, layers, base, most = sizes[size]
    return StyleGAN2Config(
        resolution=resolution,
        z_dim=latent,
        w_dim=latent,
        label_dim=num_classes,
        mapping_layers=layers,
        channel_base=max(base, 32 * resolution),  # at least 32 at the finest level
        channel_max=most,
    )
