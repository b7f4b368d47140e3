"""Paired measurements: the variants take turns, and one of them runs against itself."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness import proc

Measure = Callable[[], float]
"""Does a round with one variant and returns its figure."""


@dataclass
class Pairs:
    """One figure of each variant for each turn."""

    off: list[float]
    on: list[float]
    again: list[float]
    foreign: float
    """CPU that processes outside the benchmark used meanwhile, in cores."""

    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios())

    def ratios(self) -> list[float]:
        """`on` by `off`, turn by turn."""
        return [on / off for on, off in zip(self.on, self.off)]

    def band(self) -> tuple[float, float]:
        """Where a ratio of equal things falls: from the 10th to the 90th percentile of `off`
        against itself. Which of the two is divided by the other means nothing, so both are."""
        ratios = [again / off for again, off in zip(self.again, self.off)]
        ratios += [1 / ratio for ratio in ratios]
        tenths = statistics.quantiles(ratios, n=10, method="inclusive")
        return tenths[0], tenths[-1]

    def spread(self) -> tuple[float, float]:
        """The quartiles of the pairs' ratios."""
        quarters = statistics.quantiles(self.ratios(), n=4, method="inclusive")
        return quarters[0], quarters[-1]


def take_turns(measures: list[Measure], turns: int, pids: list[int]) -> Pairs:
    """Calls off, on and off-again `turns` times, in every order equally often, so that neither
    a place in the turn nor a drift of the machine favours one."""
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
    """Several blocks of turns as one."""
    return Pairs(
        *(sum((getattr(block, name) for block in blocks), []) for name in ("off", "on", "again")),
        foreign=statistics.mean(block.foreign for block in blocks),
    )
