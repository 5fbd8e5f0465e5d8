#!/usr/bin/env python3
"""Whether a build is slower than another one: runs the same benchmarks of both in turn, A B A B … A,
and prints the ratios of their times.

    bench/pairs.py [--pairs N] [--limit PERCENT] BUILD_A BUILD_B [PROGRAM …]

A is the one that B is compared with. The programs are the chain of tiny operations, that of scalars
and the perceptrons (tiny_ops, scalar_chain, perceptron) unless others are named; each is run in at
least N pairs (10), the short ones in more. perceptron takes about a minute each time; what else runs
on the machine makes the answer vague, not wrong.

For each time that both builds print: the medians of A and B; the median of the ratios B/A of
neighbours with their quartiles; the same of A against the next A, which is the noise; and the ratio
of the shortest times, which other load distorts least. Where the same step is written by hand beside
it in the program, times are taken in multiples of that, so that a processor that others slow down
for a while cancels out. Each figure is then
  slower, faster    by more than the limit (5 %),
  within            the limit,
  open              the ratio is so uncertain that it may lie on either side of the limit;
for this the median is believed to ±1.57 times the distance of the quartiles over the root of N, its
95 % interval. What is computed by hand is the same in both builds, and should be within. Other
figures (memory, stack) are named where they differ.

The exit status is 0 if nothing is slower, 1 if something is, 2 if the programs could not be run.
"""

import argparse
import math
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from results import read_figures

PROGRAMS = ["tiny_ops", "scalar_chain", "perceptron"]
TIMES = ("ns/op", "us", "ms", "s")
BY_HAND = r": (by hand|plain arrays|memcpy)"
SHORT_PROGRAMS_TAKE = 40  # seconds, in more pairs


def run(build, program):
    """The figures of one run, by name and, since names are repeated, by how often each came before."""
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "figures"
        command = [str(build / "bench" / f"bench_{program}"), str(path)]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        figures, seen = {}, {}
        for figure in read_figures(path):
            count = seen[figure.name] = seen.get(figure.name, 0) + 1
            figures[(figure.name, count)] = figure
        return figures


def floors(figures):
    """For the times of the library that have it, the time by hand that was measured in turn with."""
    result, waiting = {}, None
    for key, figure in figures.items():
        if figure.unit not in TIMES:
            continue
        case = figure.name.rpartition(": ")[0]
        if not re.search(BY_HAND, figure.name):
            waiting = key
        elif waiting and waiting[0].rpartition(": ")[0] == case and "by hand" in figure.name:
            result[waiting] = key
            waiting = None
    return result


class Ratios:
    """Ratios of one figure, with what is believed of their median."""

    def __init__(self, values):
        self.low, self.median, self.high = statistics.quantiles(values, n=4, method="inclusive")
        self.doubt = 1.57 * (self.high - self.low) / math.sqrt(len(values))

    def __str__(self):
        return f"{self.median:.3f} ({self.low:.3f} … {self.high:.3f})"

    def verdict(self, limit):
        low, high = self.median - self.doubt, self.median + self.doubt
        if low > 1 + limit:
            return "slower"
        if high < 1 - limit:
            return "faster"
        if low >= 1 - limit and high <= 1 + limit:
            return "within"
        return "open"


def number(value):
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def compare(program, a, b, pairs, limit, verdicts):
    """Runs a program in pairs, prints its table, and counts the verdicts on the library's times."""
    of_a, of_b = [run(a, program)], []
    began = time.monotonic()
    while len(of_b) < pairs or (
        len(of_b) < 5 * pairs and time.monotonic() - began < SHORT_PROGRAMS_TAKE
    ):
        of_b.append(run(b, program))
        of_a.append(run(a, program))
    print(f"== {program}, {len(of_b)} pairs, {time.monotonic() - began:.0f} s")
    floor_of = floors(of_a[0])
    # A floor is named after the engine that was faster in that run, so not every run has every name.
    common = [key for key in of_a[0] if all(key in each for each in of_a + of_b)]
    print(f"{'time':<72} {'A':>7} {'B':>7} {'unit':<6} {'B/A':<23} {'A/A':<23} {'least':<6}")
    logs, others = [], []
    for key in common:
        name, unit = key[0], of_a[0][key].unit

        def values(runs, key=key):
            return [float(each[key].value) for each in runs]

        raw_a, raw_b = values(of_a), values(of_b)
        if unit not in TIMES:
            if unit != "x" and statistics.median(raw_a) != statistics.median(raw_b):
                others.append((name, statistics.median(raw_a), statistics.median(raw_b), unit))
            continue
        used_a, used_b, mark = raw_a, raw_b, ""
        if key in floor_of and floor_of[key] in of_b[0]:
            used_a = [x / y for x, y in zip(raw_a, values(of_a, floor_of[key]))]
            used_b = [x / y for x, y in zip(raw_b, values(of_b, floor_of[key]))]
            mark = "*"
        ratios = Ratios([y / x for x, y in zip(used_a, used_b)])
        noise = Ratios([y / x for x, y in zip(used_a, used_a[1:])])
        by_hand = re.search(BY_HAND, name)
        verdict = ratios.verdict(limit)
        if not by_hand:
            verdicts.setdefault(verdict, []).append(name)
            logs.append(math.log(ratios.median))
        print(
            f"{name + mark:<72} {number(statistics.median(raw_a)):>7}"
            f" {number(statistics.median(raw_b)):>7} {unit:<6} {ratios!s:<23} {noise!s:<23}"
            f" {min(used_b) / min(used_a):<6.3f}"
            f" {'(' + verdict + ')' if by_hand else verdict}",
            flush=True,
        )
    if logs:
        print(f"geometric mean of the library's ratios: {math.exp(statistics.mean(logs)):.3f}")
    if floor_of:
        print("* the ratio is that of the times in multiples of the time by hand")
    for name, was, now, unit in others:
        print(f"differs: {name}: {was:g}, now {now:g} {unit}")
    names = [{key[0] for each in runs for key in each} for runs in (of_a, of_b)]
    alone = names[0] ^ names[1]
    for name in sorted(alone):
        print(f"only in one of them: {name}")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10, metavar="N")
    parser.add_argument("--limit", type=float, default=5, metavar="PERCENT")
    parser.add_argument("a", metavar="BUILD_A", type=pathlib.Path)
    parser.add_argument("b", metavar="BUILD_B", type=pathlib.Path)
    parser.add_argument("programs", metavar="PROGRAM", nargs="*")
    options = parser.parse_args()
    if options.pairs < 2:
        parser.error("quartiles need two pairs or more")
    verdicts = {}
    for program in options.programs or PROGRAMS:
        compare(program, options.a, options.b, options.pairs, options.limit / 100, verdicts)
    count = {name: len(verdicts.get(name, [])) for name in ("within", "faster", "slower", "open")}
    print(
        f"{sum(count.values())} times of the library, limit {options.limit:g} %:"
        f" {count['within']} within, {count['faster']} faster, {count['slower']} slower,"
        f" {count['open']} open"
    )
    for verdict in ("slower", "open"):
        for name in verdicts.get(verdict, []):
            print(f"  {verdict}: {name}")
    return 1 if count["slower"] else 0


if __name__ == "__main__":
    sys.exit(main())
