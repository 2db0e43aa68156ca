"""Features learnt on the spot: which two crops came from one photograph? (Chen et al. 2020)."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from datasetgan.encoders.pictures import to_float
from datasetgan.errors import UsageError
from datasetgan.runtime import Precision

__all__ = [
    "SelfSupervision",
    "draw_views",
    "nt_xent_loss",
    "train_encoder",
    "train_without_labels",
]

_CHANNELS = (32, 64, 128, 256)
_LARGEST = 64
_PROJECTION = 64


@dataclass(frozen=True)
class SelfSupervision:
    """How long and how a network is trained.

    The length is a number of steps, not a time: a time would give another network,
    and scores that cannot be compared, whenever the machine is busy.

    Attributes:
        steps: batches; the default takes under a minute on two CPU cores.
        batch: photographs of a batch, two views each; all of them if there are fewer.
        learning_rate: of Adam, falling to 0 along a cosine.
        temperature: of the loss.
    """

    steps: int = 200
    batch: int = 96
    learning_rate: float = 0.002
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.learning_rate <= 0 or self.temperature <= 0:
            raise UsageError(
                "self-supervision needs steps of at least 1, a batch of at least 2, and a "
                f"learning rate and a temperature above 0, got {self}."
            )


class _Encoder(nn.Module):
    """Four halving convolutions; the means of the last three layers are the features."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *_CHANNELS)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(),
            )
            for fan_in, fan_out in pairwise(widths)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return features [N, 448] from images [N, 3, R, R] in [-1, 1]."""
        if images.shape[2] > _LARGEST:
            images = F.interpolate(images, size=(_LARGEST, _LARGEST), mode="area")
        x, means = images, []
        for layer in self.layers:
            x = layer(x)
            means.append(x.mean(dim=(2, 3)))  # [NC]
        return torch.cat(means[1:], dim=1)


def nt_xent_loss(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, eq. 1).

    Args:
        first: [N, D], one view of each photograph.
        second: [N, D], the other view, in the same order.
        temperature: divides the cosine similarities.

    Returns:
        The mean over all 2 N views of -log of the softmax, over the 2 N - 1 others,
        at the one view of the same photograph.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)  # [2N, D]
    count = len(first)
    similarity = views @ views.T / temperature  # [2N, 2N]
    similarity = similarity.masked_fill(
        torch.eye(2 * count, dtype=torch.bool, device=views.device), -torch.inf
    )
    partner = torch.arange(2 * count, device=views.device).roll(count)
    return F.cross_entropy(similarity, partner)


def draw_views(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw one view of every image: a crop, mirrored or not, in slightly other colours.

    The crop holds 35 to 100 % of the area. Contrast and saturation vary by a factor of
    0.7 to 1.4, brightness by 0.2. Colours stay mostly what they are and nothing is turned,
    so the features still tell a picture in wrong colours or upside down.

    Args:
        images: [N, 3, R, R] in [-1, 1].
        generator: on the CPU, so that the draws are the same on every device.

    Returns:
        [N, 3, R, R], not clamped.
    """
    draws = torch.rand(7, len(images), generator=generator).to(images.device)
    side = (0.35 + 0.65 * draws[0]).sqrt()
    mirror = torch.where(draws[1] < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(side)
    column = torch.stack([side * mirror, zero, (2 * draws[2] - 1) * (1 - side)], dim=1)
    row = torch.stack([zero, side, (2 * draws[3] - 1) * (1 - side)], dim=1)
    matrix = torch.stack([column, row], dim=1)  # [N, 2, 3]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    views = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    brightness = (0.4 * draws[4] - 0.2)[:, None, None, None]
    factors = 0.7 * torch.exp2(draws[5:7])[:, :, None, None, None]
    contrast, saturation = factors[0], factors[1]
    grey = views.mean(dim=1, keepdim=True)
    views = grey + (views - grey) * saturation
    middle = views.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (views - middle) * contrast + brightness


def train_encoder(
    images: NDArray[np.uint8], *, settings: SelfSupervision, seed: int, device: torch.device
) -> nn.Module:
    """Train the small encoder that pictures are compared with.

    Args:
        images: [N, R, R, 3], may be memory-mapped; beyond 64 pixels they are averaged down.

    Returns:
        A frozen module [N, 3, R, R] in [-1, 1] -> [N, 448].

    Raises:
        UsageError: fewer than 2 photographs.
    """
    # The loss sees the last layer alone: the others are only its ground.
    return train_without_labels(
        _Encoder,
        images,
        width=_CHANNELS[-1],
        largest=_LARGEST,
        settings=settings,
        seed=seed,
        device=device,
    )


@torch.inference_mode(mode=False)
def train_without_labels(
    build: Callable[[], nn.Module],
    images: NDArray[np.uint8],
    *,
    width: int,
    largest: int,
    settings: SelfSupervision,
    seed: int,
    device: torch.device,
    precision: Precision = "float32",
    on_step: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Train a network on photographs; the same weights come out for one CPU thread count.

    Args:
        build: makes the network, images [N, 3, R, R] in [-1, 1] to features [N, D]; its
            random weights are those of `seed`.
        images: [N, R, R, 3], may be memory-mapped.
        width: the last so many features enter the loss.
        largest: pictures of more pixels are averaged down to this side.
        precision: of the network's products, float32 or bfloat16; weights are float32.
        on_step: called after every step with the number done and the total.

    Returns:
        The network, frozen.

    Raises:
        UsageError: fewer than 2 photographs.
    """
    if len(images) < 2:
        raise UsageError("self-supervised features need at least 2 photographs, got 1.")
    # Drawn on the CPU: the first weights are the same on every device.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build().to(device).to(memory_format=torch.channels_last)
        head = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, _PROJECTION)).to(
            device
        )
    random = torch.Generator().manual_seed(seed)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    batch = min(settings.batch, len(images))
    fast = precision == "bfloat16"
    # Features may be wanted in the midst of a caller's no_grad.
    with torch.enable_grad():
        network.train()
        for step in range(settings.steps):
            rows = torch.randperm(len(images), generator=random)[:batch].sort().values
            pictures = to_float(images[rows.numpy()]).to(device)
            if pictures.shape[2] > largest:
                pictures = F.interpolate(pictures, size=(largest, largest), mode="area")
            views = torch.cat([draw_views(pictures, generator=random) for _ in range(2)])
            with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                features = network(views)
            projected = head(features[:, -width:].float())
            loss = nt_xent_loss(*projected.chunk(2), temperature=settings.temperature)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if on_step is not None:
                on_step(step + 1, settings.steps)
    return network.eval().requires_grad_(False)
