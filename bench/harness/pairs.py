"""Paired measurements: the variants take turns, and one is measured against itself."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness import proc

Measure = Callable[[], float]
"""Runs a round with one variant and returns its figure."""


@dataclass
class Pairs:
    """A figure of each variant for each turn."""

    off: list[float]
    on: list[float]
    again: list[float]
    foreign: float
    """CPU that processes outside the benchmark used during the measurement, in cores."""

    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios())

    def ratios(self) -> list[float]:
        """The ratio of `on` to `off` for each turn."""
        return [on / off for on, off in zip(self.on, self.off)]

    def band(self) -> tuple[float, float]:
        """The A/A band: the 10th to the 90th percentile of the ratio of `off` to itself. The
        direction of the division is arbitrary, so both ratios of each pair are used."""
        ratios = [again / off for again, off in zip(self.again, self.off)]
        ratios += [1 / ratio for ratio in ratios]
        tenths = statistics.quantiles(ratios, n=10, method="inclusive")
        return tenths[0], tenths[-1]

    def spread(self) -> tuple[float, float]:
        """The quartiles of the pairs' ratios."""
        quarters = statistics.quantiles(self.ratios(), n=4, method="inclusive")
        return quarters[0], quarters[-1]


def take_turns(measures: list[Measure], turns: int, pids: list[int]) -> Pairs:
    """Measures off, on and off-again `turns` times, in every order equally often, so that neither
    the place in a turn nor a drift of the machine favours a variant."""
    figures: list[list[float]] = [[] for _ in measures]
    orders = itertools.cycle(itertools.permutations(range(len(measures))))
    busy, own = proc.busy_seconds(), proc.own_seconds(pids)
    began = time.monotonic()
    for order in itertools.islice(orders, turns):
        for index in order:
            figures[index].append(measures[index]())
    others = proc.busy_seconds() - busy - (proc.own_seconds(pids) - own)
    return Pairs(*figures, foreign=max(0.0, others / (time.monotonic() - began)))


def join(blocks: list[Pairs]) -> Pairs:
    """Joins several blocks of turns."""
    return Pairs(
        *(sum((getattr(block, name) for block in blocks), []) for name in ("off", "on", "again")),
        foreign=statistics.mean(block.foreign for block in blocks),
    )
