"""Names what a wrong file is: a saved error page, a pointer, another kind of network."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from datasetgan.errors import CheckpointError

__all__ = ["refuse_other_files", "refuse_other_networks"]

_HEAD: Final = 4096

_STARTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"version https://git-lfs", "a Git LFS pointer. Run `git lfs pull` and give "),
    (b"\x93NUMPY", "a single NumPy array. A mean latent is given beside its network; give "),
    (b"\x1f\x8b", "a gzip archive. Unpack it and give "),
    (b"BZh", "a bzip2 archive. Unpack it and give "),
    (b"\xfd7zXZ\0", "an xz archive. Unpack it and give "),
    (b"(\xb5/\xfd", "a Zstandard archive. Unpack it and give "),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive. Unpack it and give "),
    (b"Rar!", "a RAR archive. Unpack it and give "),
    (b"\x89HDF", "an HDF5 file, as Keras writes them. Give "),
    (b"\x89PNG", "a PNG picture. Give "),
    (b"\xff\xd8\xff", "a JPEG picture. Give "),
)
_FILE: Final = "a StyleGAN file (.pkl, .pt, .pth, .npz, .safetensors)."

# What the names of tensors give away; a generator of the StyleGAN family has none of these.
_FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    (
        r"^b\d+\.fromrgb\.weight$|^b4\.(fc|out)\.weight$|^final_linear\.0\.weight$"
        r"|^(\d+x\d+/)?FromRGB(_lod\d+)?/weight$|^blocks?\.\d+\.fromrgb\.",
        "a discriminator",
    ),
    (
        r"^(unet\.)?(time_embedding\.linear_1|time_embed\.0)\.weight$|^model\.diffusion_model\."
        r"|^(down|mid|up)_blocks?\.\d*\.?(attentions|resnets)\.|^input_blocks\.\d+\.",
        "a diffusion model (diffusers or Stable Diffusion)",
    ),
    (
        r"\.bn1\.gain\.weight$|^output_layer\.0\.gain$|^generator\.gen_z\.|^generator\.layers\.0\.bn_0",
        "a BigGAN",
    ),
    (
        r"^(quant_conv|post_quant_conv)\.weight$|^encoder\.down_blocks\.",
        "an image autoencoder (VAE)",
    ),
    (
        r"^segmentation_head\.|^decode_head\.|^backbone\.layer\d\.|^backbone\.conv1\.|\.aspp\."
        r"|^classifier\.0\.convs\.|^outc\.conv\.|^aspp\d?\.",
        "a segmentation model",
    ),
    (r"^(visual|text_model|vision_model)\.|^cls_token$|\.lora_", "a transformer"),
    (r"^layer1\.0\.conv1\.weight$|^features\.0\.(0\.)?weight$", "an image classifier"),
)
_CLASSES: Final = {"Discriminator": "a discriminator", "AugmentPipe": "an augmentation pipeline"}
_NAMES: Final = {"D": "a discriminator", "d": "a discriminator", "netD": "a discriminator"}


def refuse_other_files(path: Path) -> None:
    """Refuse a file whose first bytes tell that it holds no weights at all.

    Raises:
        CheckpointError: names what the file is and what to give instead.
    """
    if path.is_symlink() and not path.exists():
        kind = "git-annex link" if "annex" in str(path.readlink()) else "broken link"
        remedy = "Run `git annex get` on it" if kind == "git-annex link" else "Mend it"
        raise CheckpointError(f"{path} is a {kind} whose file is not here. {remedy} first.")
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}. Expected {_FILE}")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise CheckpointError(f"{path} is empty. Download or copy it again.")
    for start, text in _STARTS:
        if head.startswith(start):
            raise CheckpointError(f"{path} is {text}{_FILE}")
    if head[257:262] == b"ustar":
        raise CheckpointError(f"{path} is a tar archive. Unpack it and give {_FILE}")
    if head[:200].strip().startswith((b"/annex/objects/", b".git/annex/objects/")):
        raise CheckpointError(f"{path} is a git-annex pointer. Run `git annex get` on it first.")
    _refuse_text(path, head)


def _refuse_text(path: Path, head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        raise CheckpointError(
            f"{path} is a web page: the download ended in an error, sign-in or virus-scan page. "
            "Open the link in a browser and save the file itself."
        )
    if re.fullmatch(rb"[\t\n\r\f\x20-\x7e\x80-\xff]*", head) and not head.startswith(b"\x80"):
        what = "a JSON file" if text.startswith((b"{", b"[")) else "plain text"
        raise CheckpointError(
            f"{path} is {what} (or a pickle of protocol 0, which is not read). Expected {_FILE}"
        )


def refuse_other_networks(path: Path, networks: Mapping[str, tuple[str, Collection[str]]]) -> None:
    """Refuse a file none of whose networks can be a generator or a classifier of features.

    Args:
        networks: by name, each its class' name and the names of its tensors.

    Raises:
        CheckpointError: names what each network is.
    """
    kinds = {name: _kind(name, *network) for name, network in networks.items()}
    if any(kind is None for kind in kinds.values()):
        return
    found = " and ".join(
        f"{kind} ({name!r})" if name else str(kind) for name, kind in sorted(kinds.items())
    )
    where = (
        "The generator (G_ema, g_ema, Gs) lies in the training's own snapshot."
        if "a discriminator" in kinds.values()
        else f"Give {_FILE}"
    )
    raise CheckpointError(f"{path} holds {found}, no generator. {where}")


def _kind(name: str, class_name: str, names: Collection[str]) -> str | None:
    """Return what a network is if it can be no generator, else None."""
    by_class = _CLASSES.get(class_name) or _NAMES.get(name)
    if by_class is not None:
        return by_class
    for pattern, kind in _FAMILIES:
        if any(re.search(pattern, tensor) for tensor in names):
            return kind
    return None
