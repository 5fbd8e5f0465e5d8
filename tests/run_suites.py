#!/usr/bin/env python3
"""Runs the doctest program suite by suite, so that a crash in one does not hide the others.

    tests/run_suites.py <test program> [-j N]

Large suites run in parts, so that all processors have work to the end. The order of the cases is
one of chance, but always the same: what takes long stands together in the files. The suites and
the number of their cases are asked from the program beforehand; a case that should have run and
did not (after a crash, a time-out) counts as failed. The last line is

    cases: N passed, N failed, N skipped

where one failure more is counted for a suite that fails otherwise than by its cases (a leak found
at exit). Exit status 1 if anything failed.
"""

import argparse
import concurrent.futures
import re
import subprocess
import sys
import time

TIMEOUT = 900  # seconds for a part: generous, for a hanging test only
TAIL = 60      # lines shown of a part that failed
PART = 10      # cases of a suite that are run together
ORDER = ["--order-by=rand", "--rand-seed=1"]


def ask(program, *args):
    run = subprocess.run([program, "--no-colors", *args], capture_output=True, text=True,
                         errors="replace", stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    if run.returncode:
        sys.exit(f"{program} {' '.join(args)} fails with status {run.returncode}\n{run.stderr}")
    return run.stdout


def count(program, *args):
    """How many test cases pass these filters."""
    return int(re.search(r"unskipped test cases passing the current filters: (\d+)",
                         ask(program, "--count", *args))[1])


def filters(program):
    """The filter arguments for each suite, and one set for the cases that are in none."""
    listed = ask(program, "--list-test-suites", "--no-skip").splitlines()
    names = sorted({line.strip() for line in listed
                    if line.strip() and not line.startswith(("[doctest]", "==="))})
    escaped = {name: name.replace(",", "\\,") for name in names}
    result = {name: [f"--test-suite={escaped[name]}"] for name in names}
    if names:
        result["(no suite)"] = ["--test-suite-exclude=" + ",".join(escaped.values())]
    else:
        result["(no suite)"] = []
    return result


def parts(program, args):
    """What has to run of a suite, as pairs of its first and last case, from 1; and how many are
    skipped."""
    expected = count(program, *args)
    skipped = count(program, "--no-skip", *args) - expected
    return [(first, min(first + PART - 1, expected))
            for first in range(1, expected + 1, PART)], skipped


def run_part(program, args, first, last):
    """Runs these cases of a suite; returns (passed, failed, what to show, seconds)."""
    args, expected = [*args, f"--first={first}", f"--last={last}"], last - first + 1
    begin = time.monotonic()
    try:
        run = subprocess.run([program, "--no-colors", *ORDER, *args], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace",
                             stdin=subprocess.DEVNULL, timeout=TIMEOUT)
        output, status = run.stdout, run.returncode
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        output, status = output + f"\nended after {TIMEOUT} s", None

    # The program counts the cases up to the end, or up to a crash, also those that it leaves out.
    summary = re.findall(r"^\[doctest\] test cases:\s*(\d+) \|\s*\d+ passed \|\s*(\d+) failed",
                         output, re.M)
    reached, failed = map(int, summary[-1]) if summary else (0, 0)
    ran = max(min(reached, last) - first + 1, 0)
    passed = ran - failed
    lines = output.splitlines()
    if ran < expected:
        failed += expected - ran
        lines.append(f"{expected - ran} of {expected} cases did not run to their end")
    if status != 0 and failed == 0:
        failed = 1
        lines.append(f"the cases pass, but the program ends with status {status}")
    return passed, failed, "\n".join(lines[-TAIL:]) if failed else "", time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="parts at the same time")
    args = parser.parse_args()

    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        started = {}
        for name, suite in filters(args.program).items():
            todo, skipped = parts(args.program, suite)
            started[name] = [pool.submit(run_part, args.program, suite, *part)
                             for part in todo], skipped
        for name, (runs, skipped) in started.items():
            if not runs and not skipped:
                continue
            passed = failed = seconds = 0
            for run in runs:
                p, f, output, s = run.result()
                passed, failed, seconds = passed + p, failed + f, seconds + s
                if output:
                    print(output)
            print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped "
                  f"({seconds:.1f} s)", flush=True)
            totals = [a + b for a, b in zip(totals, (passed, failed, skipped))]
    print("cases: {} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
