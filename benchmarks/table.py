"""One table for all benchmarks: each line beside the bare network in the same run."""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from skinapp.network.configuration import ModelError
from skinapp.network.folders import default_model, title

WARM_UP = 2  # calls that do not count: the first ones trace


@dataclass(frozen=True)
class Line:
    """values, beside: of what was measured and of its reference, taken in turns; both in `unit`."""

    what: str
    values: Sequence[float]
    beside: Sequence[float]
    unit: str = "ms"

    @property
    def ratios(self) -> list[float]:
        """How often the reference fits in, each value divided by the one that was taken beside it."""
        return [value / reference for value, reference in zip(self.values, self.beside, strict=True)]

    @property
    def markdown(self) -> str:
        """A row of the table."""
        values = [f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in _spread(self.values)]
        numbers = [*values, *(f"{ratio:.2f}" for ratio in _spread(self.ratios))]
        return f"| {self.what} | {self.unit} | {' | '.join(numbers)} |"


def compared(
    what: str,
    work: Callable[[], object],
    bare: Callable[[], object],
    rounds: int,
    photos: int = 1,
    bare_photos: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Line:
    """Time `work` and `bare` in turns, because a machine's speed drifts. photos, bare_photos: how many a call of each
    handles; times are of one."""

    def milliseconds(call: Callable[[], object], handled: int) -> float:
        started = clock()
        call()
        return 1000 * (clock() - started) / handled

    for _ in range(min(WARM_UP, rounds)):
        work()
        bare()
    pairs = [(milliseconds(work, photos), milliseconds(bare, bare_photos)) for _ in range(rounds)]
    values, beside = zip(*pairs, strict=True)
    return Line(what, values, beside)


def command(doc: str | None, *sections: Callable[[], Iterable[Line]]) -> int:
    """What every benchmark's command does: print the lines of its sections as they come. Returns the exit status."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    try:
        print(f"{title(default_model())}, {os.cpu_count()} processors, {time.strftime('%Y-%m-%d')}\n")
        print("| what | unit | median | 5 % | 95 % | ratio | 5 % | 95 % |\n|---|---|---|---|---|---|---|---|")
        for section in sections:
            for line in section():
                print(line.markdown, flush=True)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return (statistics.median(values), *np.percentile(values, (5, 95)).tolist())
