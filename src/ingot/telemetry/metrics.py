"""Counting: what a process notes while it works, and the text in which Prometheus reads it.

Why not a library: a count has to cost a microsecond, and this is all of the format that is used. May not: know what
is counted. Invariant: labels come from closed sets, so memory is bounded.
Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[str, ...]
T = TypeVar("T")


class Family(msgspec.Struct, frozen=True):
    """A metric with its samples: suffix of the name, labels as pairs, value."""

    name: str
    kind: str
    words: str
    samples: Iterable[tuple[str, tuple[tuple[str, str], ...], float]]


class Counter:
    """Things that only grow, by label values."""

    def __init__(self, name: str, words: str, labels: Labels = ()) -> None:
        self.name, self.words, self._labels = name, words, labels
        self._values: dict[Labels, float] = {}

    def count(self, *values: str, by: float = 1) -> None:
        """Count one more."""
        self._values[values] = self._values.get(values, 0) + by

    def family(self) -> Family:
        """The samples of this moment."""
        samples = [("", tuple(zip(self._labels, key, strict=True)), value) for key, value in _sorted(self._values)]
        return Family(self.name, "counter", self.words, samples)


class Histogram:
    """How long things took, by label values: counts below each of ``bounds`` (seconds)."""

    def __init__(self, name: str, words: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self.name, self.words, self._labels, self._bounds = name, words, labels, bounds
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """Note one."""
        counts = self._counts.get(values)
        if counts is None:
            counts = self._counts[values] = [0] * (len(self._bounds) + 1)
            self._sums[values] = 0.0
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[values] += seconds

    @contextmanager
    def timed(self, *values: str) -> Generator[None]:
        """Note what happens within; the last label is "ok", or what kind of error ended it."""
        began = time.perf_counter()
        outcome = "ok"
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self.observe(time.perf_counter() - began, *values, outcome)

    def family(self) -> Family:
        """The samples of this moment."""
        samples: list[tuple[str, tuple[tuple[str, str], ...], float]] = []
        for key, counts in _sorted(self._counts):
            labels = tuple(zip(self._labels, key, strict=True))
            total = 0
            for bound, count in zip((*(f"{one:g}" for one in self._bounds), "+Inf"), counts, strict=True):
                total += count
                samples.append(("_bucket", (*labels, ("le", bound)), total))
            samples += [("_sum", labels, self._sums[key]), ("_count", labels, total)]
        return Family(self.name, "histogram", self.words, samples)


def gauge(name: str, words: str, values: dict[Labels, float], labels: Labels = ()) -> Family:
    """Values that rise and fall, read when they are asked for."""
    samples = [("", tuple(zip(labels, key, strict=True)), value) for key, value in _sorted(values)]
    return Family(name, "gauge", words, samples)


def text(families: Iterable[Family]) -> bytes:
    """The families as Prometheus reads them."""
    lines: list[str] = []
    for family in families:
        lines += [f"# HELP {family.name} {_escaped(family.words)}", f"# TYPE {family.name} {family.kind}"]
        for suffix, labels, value in family.samples:
            inner = ",".join([f'{name}="{_quoted(label)}"' for name, label in labels])
            lines.append(f"{family.name}{suffix}{{{inner}}} {value!r}" if inner else f"{family.name}{suffix} {value!r}")
    return ("\n".join(lines) + "\n").encode()


def _sorted(values: dict[Labels, T]) -> list[tuple[Labels, T]]:
    return sorted(values.items(), key=lambda item: item[0])


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(label: str) -> str:
    return _escaped(label).replace('"', '\\"')
