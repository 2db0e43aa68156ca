"""Adam as the members are trained with it, and the official stop rule."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Adam", "StopRule"]


class Adam:
    """Adam (Kingma and Ba 2015) with its usual constants, one fused pass per step.

    `torch.optim` imports PyTorch's compiler at its first use, which takes longer than
    a whole fit of small images.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move all parameters along their gradients, and forget these."""
        gradients = []
        for parameter, count in zip(self._parameters, self._steps, strict=True):
            assert parameter.grad is not None
            gradients.append(parameter.grad)
            count += 1
        torch._fused_adam_(
            self._parameters,
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        for parameter in self._parameters:
            parameter.grad = None


@dataclass
class StopRule:
    """The official code's early stop.

    From the fifth epoch on, every batch's loss is compared with the best since then.
    After more than 50 batches in a row without a new best, training stops.
    """

    first_epoch: int = 4
    patience: int = 50
    best: float = float("inf")
    waited: int = 0

    def update(self, epoch: int, loss: float) -> bool:
        """Take one batch's loss; epochs count from 0. Return whether to stop."""
        if epoch < self.first_epoch:
            return False
        if loss < self.best:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited > self.patience
