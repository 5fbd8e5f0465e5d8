#!/usr/bin/env python3
"""Runs the benchmarks of a build directory, prints a table of what they measured, and, after all of
them, writes bench/RESULTS.md. bench/run calls it.

    bench/report.py BUILD_DIRECTORY [BENCHMARK …]
"""

import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BENCHMARKS = ["tiny_ops", "scalar_chain", "perceptron", "matmul_engines", "three_lines"]

# From another machine and another day, for orientation only; see the text beside them.
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


def run(benchmark, build, figures):
    """Runs one benchmark, showing its output, and returns the output and whether it succeeded."""
    if benchmark == "three_lines":
        command = [sys.executable, str(HERE / "three_lines.py"), str(build), str(figures)]
    else:
        command = [str(build / "bench" / f"bench_{benchmark}"), str(figures)]
    print(f"== {benchmark}", flush=True)
    output = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line)
    print(flush=True)
    return "".join(output), process.returncode == 0


def read_figures(path):
    """(name, value, unit, target or None) of each line."""
    figures = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, value, unit, target = line.split("\t")
            figures.append((name, value, unit, target or None))
    return figures


def reached(figure):
    """Whether a figure with a target is at most that."""
    return float(figure[1]) <= float(figure[3])


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
        ("threads", "1"),
    ]


def row(figure):
    name, value, unit, target = figure
    name = name.replace("|", "\\|")
    if target is None:
        return f"| {name} | {value} {unit} |"
    return f"| {name} | {value} {unit} | {target} | {'yes' if reached(figure) else '**no**'} |"


def write_results(path, facts, figures, outputs):
    lines = [
        "# What the benchmarks measured",
        "",
        "Written by `bench/run`. Times are processor time of the measuring thread (that of the",
        "three-line program is on the wall), medians of repeated samples; comparisons are made in",
        "one process, in turn (A B A B …), by the median of the ratios of neighbours, after both",
        "sides were found to compute the same. Inputs are random and change from step to step.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in facts),
        "",
        "## Figures with a target",
        "",
        "| figure | measured | at most | reached |",
        "|---|---|---|---|",
        *(row(figure) for figure in figures if figure[3] is not None),
        "",
        "## Other figures",
        "",
        "| figure | measured |",
        "|---|---|",
        *(row(figure) for figure in figures if figure[3] is None),
        "",
        EARLIER,
        "## What the programs printed",
        "",
    ]
    for benchmark, output in outputs.items():
        lines += [f"### {benchmark}", "", "```", output.rstrip(), "```", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    chosen = sys.argv[2:] or BENCHMARKS
    for name in chosen:
        if name not in BENCHMARKS:
            sys.exit(f"error: no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the machine is busy (load {load:.1f}); expect noise\n")
    facts = circumstances(build, load)

    figures, outputs, failed = [], {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for benchmark in chosen:
            path = pathlib.Path(scratch) / benchmark
            outputs[benchmark], succeeded = run(benchmark, build, path)
            figures += read_figures(path)
            if not succeeded:
                failed.append(benchmark)

    missed = []
    print(f"{'figure':<72} {'measured':>14} {'at most':>8}")
    for figure in figures:
        name, value, unit, target = figure
        if target is None:
            continue
        if not reached(figure):
            missed.append(name)
        print(f"{name:<72} {value + ' ' + unit:>14} {target:>8}{'' if reached(figure) else '  MISSED'}")
    for benchmark in failed:
        print(f"error: {benchmark} failed")
    if chosen == BENCHMARKS and not failed:
        write_results(HERE / "RESULTS.md", facts, figures, outputs)
        print("written: bench/RESULTS.md")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    sys.exit(main())
