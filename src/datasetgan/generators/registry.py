"""Every architecture in one plain dict: its configuration, its network, its paper."""

from dataclasses import dataclass

from datasetgan.errors import UsageError, unknown_name
from datasetgan.generators.base import Generator, GeneratorConfig
from datasetgan.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from datasetgan.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from datasetgan.generators.stylegan3 import StyleGAN3, StyleGAN3Config

__all__ = ["ARCHITECTURES", "Architecture", "Paper", "architecture_of", "build_generator"]


@dataclass(frozen=True)
class Paper:
    """The publication of an architecture."""

    title: str
    venue: str
    year: int
    arxiv: str
    authors: str = "Karras et al."

    @property
    def citation(self) -> str:
        """Authors, title and venue."""
        return f"{self.authors}, {self.title}, {self.venue} {self.year}"

    @property
    def reference(self) -> str:
        """The short form: authors, year and arXiv number."""
        return f"{self.authors} {self.year}, arXiv {self.arxiv}"


@dataclass(frozen=True)
class Architecture:
    """One kind of generator.

    Attributes:
        family: its name in print, for instance ``"StyleGAN2"``.
        config: what fixes a network of this kind.
        network: built from the configuration.
        paper: that describes it.
    """

    family: str
    config: type[GeneratorConfig]
    network: type[Generator]
    paper: Paper


ARCHITECTURES: dict[str, Architecture] = {
    "stylegan1": Architecture(
        "StyleGAN1",
        StyleGAN1Config,
        StyleGAN1,
        Paper("A style-based generator architecture for GANs", "CVPR", 2019, "1812.04948"),
    ),
    "stylegan2": Architecture(
        "StyleGAN2",
        StyleGAN2Config,
        StyleGAN2,
        Paper("Analyzing and improving the image quality of StyleGAN", "CVPR", 2020, "1912.04958"),
    ),
    "stylegan3": Architecture(
        "StyleGAN3",
        StyleGAN3Config,
        StyleGAN3,
        Paper("Alias-free generative adversarial networks", "NeurIPS", 2021, "2106.12423"),
    ),
}
"""Every architecture by the name that native checkpoints give it."""


def architecture_of(generator: Generator) -> str:
    """Return the name of a generator's architecture, a key of `ARCHITECTURES`.

    Raises:
        UsageError: no architecture is built by this class.
    """
    for name, architecture in ARCHITECTURES.items():
        if type(generator) is architecture.network:
            return name
    message = unknown_name("generator class", type(generator).__name__, ARCHITECTURES)
    raise UsageError(message)


def build_generator(config: GeneratorConfig) -> Generator:
    """Build the generator that a configuration describes, with random weights.

    Raises:
        UsageError: it is the configuration of no architecture.
    """
    for architecture in ARCHITECTURES.values():
        if type(config) is architecture.config:
            return architecture.network(config)
    valid = [architecture.config.__name__ for architecture in ARCHITECTURES.values()]
    raise UsageError(unknown_name("generator configuration", type(config).__name__, valid))
