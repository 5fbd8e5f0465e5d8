#!/usr/bin/env python3
"""Shows that gdb prints tensors, shapes and modules, by the script that it finds in a program.

    tests/check_gdb.py <build directory>

Compiles tests/gdb/program.cpp against the library of the build directory, which has to be up to
date, by each compiler that is there, and compares what gdb prints with what the program says. CXX
names a compiler, GDB a gdb. Exit status 1 if it prints anything else.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

PROGRAM = pathlib.Path(__file__).resolve().parent / "gdb/program.cpp"

MODEL = ("scale = scale (2,) f32 [0.5, 4] requires_grad, mean = mean (2, 1) f32 [0.25, 8], "
         "out = chainrule::nn::Linear = {weight = out.weight (1, 2) f32 [0.125, -1] requires_grad, "
         "bias = out.bias (1,) f32 [16] requires_grad}, components = 2}")

# What is typed, and the end of a line that has to be printed.
TYPED = {
    "print undefined": " = tensor(undefined)",
    "print W": " = W (2, 3) f32 [1.5, -2, 3, 4, 5, 6.5] requires_grad",
    "print Wt": " = (3, 2) f32 [1.5, 4, -2, 5, 3, 6.5] requires_grad",
    "print column": " = (2,) f32 [-2, 5] requires_grad",
    "print labels": " = (3,) i64 [3, 1, 2]",
    "print mask": " = (3,) boolean [true, false, true]",
    "print scalar": " = () f64 [2.5]",
    "print large": " = (1000,) f32 [0, 1, 2, 3, 4, 5, 6, 7, ...]",
    "print empty": " = (0, 3) f32 []",
    "print shape": " = (3, 4)",
    "print one": " = (7,)",
    "print none": " = ()",
    "print model": "Mixture = {" + MODEL,
    "print base": "Mixture = {" + MODEL,
    "print model.scale": " = scale (2,) f32 [0.5, 4] requires_grad",
    "print model.out.weight": " = out.weight (1, 2) f32 [0.125, -1] requires_grad",
    "print W.shape()": " = (2, 3)",
    "print Wt.strides()": " = (1, 3)",
    "print W.dtype()": "DType::f32",
    "print W.rank()": " = 2",
    "print W.numel()": " = 6",
    "print W.size(-1)": " = 3",
    "print Wt.is_contiguous()": " = false",
    "print W.data()": " = {1.5, -2, 3, 4, 5, 6.5}",
    "print model.out.weight.shape()": " = (1, 2)",
    "print W.size(5)": "axis 5 of (2, 3)",
    "print Wt.data()": "its elements do not stand in row-major order",
    "print undefined.shape()": "the tensor is undefined",
}

COMMANDS = """
python
import gdb
gdb.execute("break stop")
gdb.execute("run")
gdb.execute("up")
for line in {lines!r}:
    gdb.write("typed: " + line + "\\n")
    gdb.flush()
    try:
        gdb.execute(line)
    except gdb.error as error:
        gdb.write(str(error) + "\\n")
    gdb.flush()
gdb.write("typed:")
end
"""


def printed(program, folder):
    """What gdb prints to each of the lines: a dictionary."""
    script = folder / "commands.gdb"
    script.write_text(COMMANDS.format(lines=list(TYPED)))
    run = subprocess.run(
        [os.environ.get("GDB") or "gdb", "-batch", "-nx",
         "-iex", f"add-auto-load-safe-path {folder}", "-iex", "set debuginfod enabled off",
         "-x", script, program],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    answers = [part.partition("\n") for part in run.stdout.split("typed: ")]
    return {line: answer.replace("typed:", "").strip() for line, _, answer in answers}, run.stdout


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    folder = build / "gdb"
    folder.mkdir(exist_ok=True)
    flags = shlex.split(subprocess.run(
        ["pkg-config", "--cflags", "--libs", "chainrule"], check=True, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PKG_CONFIG_PATH": f"{build}/meson-uninstalled"}).stdout)
    passed = failed = 0
    compilers = [shlex.split(os.environ.get("CXX") or "c++")]
    if shutil.which("clang++-19") and "clang" not in compilers[0][0]:
        compilers.append(["clang++-19"])
    for compiler in compilers:
        program = folder / f"program-{pathlib.Path(compiler[-1]).name}"
        subprocess.run([*compiler, "-std=c++20", "-O0", "-g", PROGRAM, *flags, "-o", program],
                       check=True, cwd=build)
        answers, all_of_it = printed(program, folder)
        wrong = [line for line, end in TYPED.items()
                 if not any(said.endswith(end) for said in answers.get(line, "").splitlines())]
        for line in wrong:
            print(f"{compiler[-1]}: {line}\n  gives   {answers.get(line)}\n"
                  f"  instead of … {TYPED[line]}")
        if len(wrong) == len(TYPED):
            print(all_of_it)
        failed += len(wrong)
        passed += len(TYPED) - len(wrong)
    print(f"cases: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
