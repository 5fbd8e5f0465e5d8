#!/usr/bin/env python3
"""Runs the benchmarks of a build directory, prints a table of what they measured, and, after all of
them, writes bench/RESULTS.md. bench/run calls it.

    bench/report.py [--no-peers] BUILD_DIRECTORY [BENCHMARK …]
"""

import dataclasses
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BENCHMARKS = [
    "tiny_ops",
    "scalar_chain",
    "perceptron",
    "threads",
    "optimizers",
    "elementwise",
    "matmul_engines",
    "three_lines",
]
PEERS = [
    "libtorch_tiny_ops",
    "libtorch_scalar_chain",
    "libtorch_perceptron",
    "libtorch_optimizers",
    "libtorch_functions",
]

# From another machine and another day, for orientation only, where libtorch was not measured; see
# the text beside them.
EARLIER = """\
## libtorch 2.6, measured earlier

**Not of this run.** These figures were measured earlier, on a machine of a similar kind (AMD Zen 5,
2 cores, AVX-512), one thread, with libtorch's best settings (`OPENBLAS_CORETYPE=SkylakeX`). Only
ratios taken in one run on one machine are comparisons; what follows is for orientation.

| what | libtorch 2.6 |
|---|---|
| chain of 4×4 operations, without recording | 570 ns/op |
| … recorded | 1,102 ns/op |
| … forward + backward | 3,555 ns/op |
| chain of 100,000 scalar multiplications, forward + backward | 6,173 ns/op |
| step of 784-128-128-10 (sigmoid, SGD), batch 1 | 84 µs |
| … batch 32 | 187 µs |
| … batch 256 | 747 µs |
| … batch 1024 | 2,776 µs |
| three-line program: compiling and linking | 15 s |
| … from start to end | 480 ms |
"""


def kernels_of_openblas():
    """OPENBLAS_CORETYPE for the programs, and why, as (value or None, text)."""
    told = os.environ.get("OPENBLAS_CORETYPE")
    if told:
        return told, f"{told}, as the environment has it"
    if "avx512f" in grep("/proc/cpuinfo", r"^flags\s*:(.*)").split():
        return "SkylakeX", "SkylakeX, set here: OpenBLAS does not know every processor with AVX-512"
    return None, "not set"


def run(benchmark, build, figures):
    """Runs one benchmark, showing its output, and returns the output and whether it succeeded."""
    environment = dict(os.environ)
    coretype = kernels_of_openblas()[0]
    if coretype:
        environment["OPENBLAS_CORETYPE"] = coretype
    if benchmark == "three_lines":
        command = [sys.executable, str(HERE / "three_lines.py"), str(build), str(figures)]
    else:
        command = [str(build / "bench" / f"bench_{benchmark}"), str(figures)]
    print(f"== {benchmark}", flush=True)
    output = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line)
    print(flush=True)
    return "".join(output), process.returncode == 0


def read_figures(path):
    """The figures of a file, as bench/measure.hpp describes it."""
    figures = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            figures.append(Figure(*line.split("\t")))
    return figures


@dataclasses.dataclass
class Figure:
    """A line of such a file."""

    name: str
    value: str
    unit: str
    target: str  # "<= 1.5", ">= 25" or ""
    quartiles: str  # "1.38 … 1.44" or ""

    def reached(self):
        """Whether a figure with a target is what it should be."""
        relation, limit = self.target.split()
        if relation == ">=":
            return float(self.value) >= float(limit)
        return float(self.value) <= float(limit)

    def measured(self):
        """The value with its unit and its quartiles."""
        text = f"{self.value} {self.unit}".rstrip()
        return f"{text} ({self.quartiles})" if self.quartiles else text

    def wanted(self):
        """The target in words."""
        return self.target.replace("<=", "at most").replace(">=", "at least")

    def row(self):
        """The row of a table."""
        name = self.name.replace("|", "\\|")
        if not self.target:
            return f"| {name} | {self.measured()} |"
        reached = "yes" if self.reached() else "**no**"
        return f"| {name} | {self.measured()} | {self.wanted()} | {reached} |"


def first_line(*command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.split("\n", 1)[0].strip()


def grep(path, pattern):
    try:
        match = re.search(pattern, pathlib.Path(path).read_text(encoding="utf-8"), re.M)
    except OSError:
        match = None
    return match[1].strip() if match else "unknown"


def circumstances(build, load):
    """What the figures depend on, as (name, text)."""
    commit = first_line("git", "-C", str(HERE), "-c", "safe.directory=*", "rev-parse", "HEAD")[:12]
    changed = first_line(
        "git", "-C", str(HERE), "-c", "safe.directory=*", "status", "--porcelain", "-uno"
    )
    compiler = os.environ.get("CXX", "c++").split()
    flags = set(grep("/proc/cpuinfo", r"^flags\s*:(.*)").split())
    widest = next((f for f in ("avx512f", "avx2", "avx", "sse2") if f in flags), "unknown")
    arguments = build / "arguments"
    options = arguments.read_text(encoding="utf-8").split()[1:] if arguments.exists() else []
    return [
        ("date", datetime.date.today().isoformat()),
        ("commit", commit + (", with changes" if changed and changed != "unknown" else "")),
        (
            "processor",
            f"{grep('/proc/cpuinfo', r'^model name.*:(.*)')}, {os.cpu_count()} cores, {widest}",
        ),
        ("load when it began", f"{load:.2f}" + (" (busy: expect noise)" if load > 0.5 else "")),
        (
            "system",
            grep("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)') + f", Linux {platform.release()}",
        ),
        ("compiler", first_line(*compiler, "--version")),
        (
            "libraries",
            f"Eigen {first_line('pkg-config', '--modversion', 'eigen3')}, "
            f"fmt {first_line('pkg-config', '--modversion', 'fmt')}",
        ),
        ("build", " ".join(["buildtype=release (-O3), -march=native, static library", *options])),
        ("threads", "1, where nothing else is said"),
        ("OPENBLAS_CORETYPE", kernels_of_openblas()[1]),
    ]


def settings(outputs):
    """What the programs said of the libraries that they compare with, each once, as rows."""
    said = []
    for output in outputs.values():
        for text in re.findall(r"^settings: (.*)$", output, re.M):
            if text not in said:
                said.append(text)
    return [("compared with", text) for text in said]


def verdict(figures):
    """How many of the figures with a target reached it, and which did not, as lines."""
    wanted = [figure for figure in figures if figure.target]
    missed = [figure for figure in wanted if not figure.reached()]
    lines = [f"{len(wanted) - len(missed)} of {len(wanted)} are reached."]
    if missed:
        lines[0] += " Missed are:"
        lines += ["", *(f"- {f.name}: {f.measured()}, {f.wanted()}" for f in missed)]
    return [*lines, ""]


def section(benchmark, figures, output):
    """What one benchmark measured without a target, and what else it printed."""
    rows = [figure.row() for figure in figures if not figure.target]
    table = ["| figure | measured (quartiles) |", "|---|---|", *rows, ""] if rows else []
    names = tuple(figure.name for figure in figures)
    printed = [
        line
        for line in output.splitlines()
        if line.strip() and not line.startswith((*names, "settings: "))
    ]
    text = ["```", *printed, "```", ""] if printed else []
    return [f"## {benchmark}", "", *table, *text]


def write_results(path, facts, figures, outputs):
    """`figures` and `outputs` of each benchmark."""
    everything = [figure for of_one in figures.values() for figure in of_one]
    lines = [
        "# What the benchmarks measured",
        "",
        "Written by `bench/run`. Times are processor time of the measuring thread (those of two",
        "threads and of the three-line program are on the wall), medians of repeated samples;",
        "comparisons are made in one process, in turn (A B A B …), by the median of the ratios of",
        "neighbours, with their quartiles, after both sides were found to compute the same. Inputs",
        "are random and change from step to step. The floor is the same computation written by hand,",
        "with no framework, with the faster of two libraries for its products. It keeps its gradients",
        "as a framework must; SGD by hand with \"dW never stored\" adds them to the weights as they are",
        "computed, and is no floor but the time of a program that never looks at them. A ratio to the",
        "floor below 1 says that there are faster products than those of the two libraries at this",
        "size, or fewer passes. Gradients of large networks with relu agree but for single units that",
        "are zero up to rounding.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in facts + settings(outputs)),
        "",
        "## Figures with a target",
        "",
        *verdict(everything),
        "| figure | measured (quartiles) | target | reached |",
        "|---|---|---|---|",
        *(figure.row() for figure in everything if figure.target),
        "",
        *([] if "libtorch_perceptron" in outputs else [EARLIER]),
    ]
    for benchmark, output in outputs.items():
        lines += section(benchmark, figures[benchmark], output)
    path.write_text("\n".join(lines), encoding="utf-8")


def summarize(figures):
    """Prints the figures with a target, and returns how many missed it."""
    missed = 0
    print(f"{'figure':<76} {'measured':>12}  target")
    for figure in figures:
        if figure.target:
            mark = "" if figure.reached() else "  MISSED"
            missed += not figure.reached()
            print(f"{figure.name:<76} {figure.value:>8} {figure.unit:<5} {figure.target}{mark}")
    return missed


def main():
    arguments = sys.argv[1:]
    available = BENCHMARKS + PEERS
    if arguments[:1] == ["--no-peers"]:
        arguments.pop(0)
        available = BENCHMARKS
    if not arguments:
        sys.exit(__doc__)
    build = pathlib.Path(arguments[0]).resolve()
    chosen = arguments[1:] or available
    for name in chosen:
        if name not in available:
            sys.exit(f"error: no benchmark {name!r}; there are {', '.join(available)}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the machine is busy (load {load:.1f}); expect noise\n")
    facts = circumstances(build, load)

    figures, outputs, failed = {}, {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for benchmark in chosen:
            path = pathlib.Path(scratch) / benchmark
            outputs[benchmark], succeeded = run(benchmark, build, path)
            figures[benchmark] = read_figures(path)
            if not succeeded:
                failed.append(benchmark)

    missed = summarize([figure for of_one in figures.values() for figure in of_one])
    for benchmark in failed:
        print(f"error: {benchmark} failed")
    if chosen == available and not failed:
        write_results(HERE / "RESULTS.md", facts, figures, outputs)
        print("written: bench/RESULTS.md")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    sys.exit(main())
