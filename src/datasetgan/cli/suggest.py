"""`suggest`: which images to paint next."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from datasetgan.cli.console import console, progress_bar, say
from datasetgan.cli.options import Device, Folder, Threads
from datasetgan.errors import ProjectError, UsageError

if TYPE_CHECKING:
    from datasetgan.features import FeaturePyramid
    from datasetgan.generators import Generator, Latents
    from datasetgan.interpreter import Interpreter, Suggestion
    from datasetgan.project import Project, Sample, SamplingSettings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("suggest")(suggest)


def suggest(
    folder: Folder,
    n: Annotated[int, typer.Option("-n", "--count", help="How many images.")] = 4,
    candidates: Annotated[int, typer.Option(help="How many new images to choose among.")] = 512,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Of the first candidate; behind those of all samples by default.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Choose images to paint that teach the interpreter most, and add them as samples.

    At first images that stand for many others; once `fit` has run, those among them
    above all that its classifiers disagree on.
    """
    from datasetgan.interpreter import describe_pyramids, load_interpreter, suggest_images
    from datasetgan.interpreter.suggest import MAX_CANDIDATES
    from datasetgan.project import Project, record_run
    from datasetgan.runtime import resolve_runtime

    # Said before minutes go into candidates; a share of them is dropped, so not all can be taken.
    if n < 1 or not 2 * n <= candidates <= MAX_CANDIDATES:
        raise UsageError(
            f"{n} images cannot be chosen among {candidates} candidates: -n must be at least 1, "
            f"--candidates at least twice as many and at most {MAX_CANDIDATES}."
        )
    project = Project.open(folder)
    runtime = resolve_runtime(device, threads=threads)
    seeds = _new_seeds(project.samples, count=candidates, first=seed)
    with record_run(project, "sample") as notes, progress_bar("Looking at candidates") as advance:
        generator = project.load_generator(runtime)
        interpreter: Interpreter | None = None
        if project.layout.interpreter.exists():
            interpreter = load_interpreter(project.layout.interpreter, runtime=runtime)
            _check_generator(project, interpreter, digest=generator.digest)
        existing = None
        if taken := project.samples:
            latents = project.latents([sample.key for sample in taken])
            existing = describe_pyramids(_existing_features(generator, latents)).vectors
        described = describe_pyramids(
            _candidate_features(generator, seeds, sampling=project.settings.sampling),
            interpreter=interpreter,
            on_progress=lambda done: advance(done, candidates, ""),
        )
        chosen = suggest_images(described, existing, count=n)
        samples = project.add_samples(n, runtime, seeds=[seeds[choice.index] for choice in chosen])
        notes.settings = {
            "count": n,
            "first_seed": samples[0].seed,
            "candidates": candidates,
            "chosen_by": "diversity" if interpreter is None else "uncertainty and diversity",
        }
    _print_choice(samples, chosen, candidates=candidates)
    if interpreter is None:
        say("Chosen by diversity alone: no interpreter is fitted yet.")
    say(f"Their images lie in {project.layout.image(samples[0].key).parent}.")
    say(
        f"Paint them, then: datasetgan import-labels {folder} MASKS, datasetgan fit {folder}, "
        f"and datasetgan suggest {folder} for the next ones."
    )


def _new_seeds(samples: "Sequence[Sample]", *, count: int, first: int | None) -> tuple[int, ...]:
    """Return seeds from `first` on, or behind all samples', that no sample has."""
    taken = {sample.seed for sample in samples}
    if first is None:
        first = max(taken, default=-1) + 1
    return tuple(
        itertools.islice((seed for seed in itertools.count(first) if seed not in taken), count)
    )


def _check_generator(project: "Project", interpreter: "Interpreter", *, digest: str) -> None:
    fitted_on = interpreter.ensemble.generator_digest
    if fitted_on and fitted_on != digest:
        raise ProjectError(
            f"{project.layout.interpreter} was fitted on the generator {fitted_on[:12]}..., "
            f"the project's is {digest[:12]}.... Run `datasetgan fit {project.folder}` again."
        )


def _existing_features(generator: "Generator", latents: "Latents") -> "Iterator[FeaturePyramid]":
    from datasetgan.generators import NoiseSeed

    for row, seed in enumerate(latents.noise.seeds):
        ws = latents.ws[row : row + 1].to(generator.device)
        yield generator.synthesize(ws, noise=NoiseSeed((seed,))).features


def _candidate_features(
    generator: "Generator", seeds: Sequence[int], *, sampling: "SamplingSettings"
) -> "Iterator[FeaturePyramid]":
    from datasetgan.generators import sample_latents

    for seed in seeds:  # one at a time: features of large images fill much memory
        latents = sample_latents(
            generator,
            [seed],
            truncation_psi=sampling.truncation_psi,
            truncation_cutoff=sampling.truncation_cutoff,
        )
        yield generator.synthesize(latents.ws, noise=latents.noise).features


def _print_choice(
    samples: "Sequence[Sample]", chosen: "Sequence[Suggestion]", *, candidates: int
) -> None:
    from rich.table import Table

    table = Table()
    for heading in ("sample", "seed"):
        table.add_column(heading)
    table.add_column(f"stands for, of {candidates}", justify="right")
    table.add_column("more uncertain than", justify="right")
    for sample, choice in zip(samples, chosen, strict=True):
        surpasses = "" if choice.surpasses is None else f"{100 * choice.surpasses:.0f} %"
        table.add_row(sample.key, str(sample.seed), str(choice.stands_for), surpasses)
    console.print(table)
