#!/usr/bin/env python3
"""Compiles as the compiler does, but takes the object of another build where it is the same.

    CXX='tests/linking/reuse.py <build directory> g++' meson setup …

The object is the same if the other build's compile_commands.json compiles this source with this
compiler and these flags, but for the places of things and for -Werror; and if it stands there: the
other build has to be up to date. So the library is compiled once, however often it is linked.
"""

import json
import os
import pathlib
import shlex
import shutil
import sys

WITH_VALUE = {"-o", "-MF", "-MQ", "-MT", "-c", "-include-pch"}
PLACES = ("-I", "-fmacro-prefix-map=", "-fdiagnostics-color", "-Werror", "-MD")


def recipe(words, directory):
    """What makes the object what it is: the source and the flags; and where the object goes."""
    flags, values, words = [], {}, iter(words)
    for word in words:
        if word in WITH_VALUE:
            values[word] = next(words, "")
        elif not word.startswith(PLACES):
            flags.append(word)
    if not {"-c", "-o"} <= values.keys():
        return None, None
    source = os.path.realpath(os.path.join(directory, values["-c"]))
    return (source, sorted(flags)), os.path.join(directory, values["-o"])


def same_object(build, compiler, words):
    wanted, _ = recipe(words, os.getcwd())
    if not wanted:
        return None
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if os.path.basename(entry["file"]) != os.path.basename(wanted[0]):
            continue
        command = shlex.split(entry["command"])
        while os.path.basename(command[0]) in ("ccache", "reuse.py", build.name):
            command.pop(0)
        theirs, there = recipe(command[1:], entry["directory"])
        if (theirs == wanted and shutil.which(command[0]) and
                os.path.realpath(shutil.which(command[0])) == os.path.realpath(compiler)):
            return there if os.path.exists(there) else None
    return None


def main():
    build, compiler, words = pathlib.Path(sys.argv[1]), shutil.which(sys.argv[2]), sys.argv[3:]
    there = same_object(build, compiler, words) if (build / "build.ninja").exists() else None
    if there:
        shutil.copyfile(there, words[words.index("-o") + 1])
        return 0
    return os.execv(compiler, [sys.argv[2], *words])


if __name__ == "__main__":
    sys.exit(main())
