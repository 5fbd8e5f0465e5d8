#!/usr/bin/env python3
"""Runs the benchmarks of a build directory, prints what they measured beside what was aimed at, and
keeps it there as results.json and figures.md. After all of them it writes bench/RESULTS.md.
bench/run calls it.

    bench/report.py [--no-peers] BUILD_DIRECTORY [BENCHMARK …]
"""

import datetime
import glob
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

from results import Results, read_figures, write_all, write_short

HERE = pathlib.Path(__file__).resolve().parent
BENCHMARKS = [
    "tiny_ops",
    "scalar_chain",
    "perceptron",
    "threads",
    "optimizers",
    "derivation",
    "elementwise",
    "growth",
    "short_rows",
    "matmul_engines",
    "three_lines",
]
PEERS = [
    "libtorch_tiny_ops",
    "libtorch_scalar_chain",
    "libtorch_perceptron",
    "libtorch_optimizers",
    "libtorch_functions",
    "libtorch_threads",
]



def kernels_of_openblas():
    """OPENBLAS_CORETYPE for the programs, and why, as (value or None, text)."""
    told = os.environ.get("OPENBLAS_CORETYPE")
    if told:
        return told, f"{told}, as the environment has it"
    if "avx512f" in grep("/proc/cpuinfo", r"^flags\s*:(.*)").split():
        return "SkylakeX", "SkylakeX, set here: OpenBLAS does not know every processor with AVX-512"
    return None, "not set"


def openblas_of_openmp():
    """Debian's directory of the OpenBLAS that takes its threads from OpenMP, or None.

    The one with a pool of its own, which libopenblas-dev brings, is preferred by the system's
    alternatives, but it does not obey libtorch, and fights with OpenMP's pool. The directory is put
    before the system's for the programs that are run here; nothing is changed outside of them.
    """
    found = glob.glob(f"/usr/lib/{platform.machine()}-linux-gnu*/openblas-openmp")
    return found[0] if found else None


def environment_of(benchmark):
    """The environment of a program that compares with libtorch."""
    environment = dict(os.environ)
    coretype = kernels_of_openblas()[0]
    if coretype:
        environment["OPENBLAS_CORETYPE"] = coretype
    # OpenBLAS begins with as many; the programs then say it again to all that have threads.
    environment["OPENBLAS_NUM_THREADS"] = "2" if benchmark == "libtorch_threads" else "1"
    directory = openblas_of_openmp()
    if directory:
        before = environment.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = f"{directory}:{before}" if before else directory
    return environment


def run(benchmark, build, figures):
    """Runs one benchmark, showing its output, and returns the output and whether it succeeded."""
    if benchmark == "three_lines":
        command = [sys.executable, str(HERE / "three_lines.py"), str(build), str(figures)]
    else:
        command = [str(build / "bench" / f"bench_{benchmark}"), str(figures)]
    environment = environment_of(benchmark) if benchmark in PEERS else None
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
            grep("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)') + f", Linux {platform.release().split('-')[0]}",
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
        ("OPENBLAS_NUM_THREADS", "the threads that libtorch has"),
        ("OpenBLAS", openblas_of_openmp() or "the one that the system prefers"),
    ]


def summarize(figures):
    """Prints the figures with a target or a fault, and returns how many missed it or have one."""
    bad = 0
    print(f"{'figure':<76} {'measured':>12}  target")
    for figure in figures:
        missed = bool(figure.target) and not figure.reached()
        bad += missed or bool(figure.fault)
        if figure.target or figure.fault:
            mark = "  MISSED" if missed else ""
            mark += f"  NOT VALID: {figure.fault}" if figure.fault else ""
            print(f"{figure.name:<76} {figure.value:>8} {figure.unit:<5} {figure.target}{mark}")
    return bad


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
    results = Results(circumstances(build, load), {}, {})
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for benchmark in chosen:
            path = pathlib.Path(scratch) / benchmark
            results.outputs[benchmark], succeeded = run(benchmark, build, path)
            results.figures[benchmark] = read_figures(path)
            if not succeeded:
                failed.append(benchmark)

    bad = summarize(results.all())
    for benchmark in failed:
        print(f"error: {benchmark} failed")
    results.save(build / "results.json")
    write_all(results, build / "figures.md")
    written = [f"{build / 'figures.md'}", f"{build / 'results.json'}"]
    # Without the peers the page would be silent about most of what is lost.
    if chosen == BENCHMARKS + PEERS and not failed:
        write_short(results, HERE / "RESULTS.md")
        written.append("bench/RESULTS.md")
    print("written: " + ", ".join(written))
    return 1 if bad or failed else 0


if __name__ == "__main__":
    sys.exit(main())
