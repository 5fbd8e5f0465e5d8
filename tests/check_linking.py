#!/usr/bin/env python3
"""Links a program with the library in each way that docs/building.md tells users, and runs it.

    tests/check_linking.py <build directory> [-j N]

The ways are pkg-config, the CMake package and a Meson subproject, each with the static and the
shared library, by the compiler that the build directory is of and by Clang where it is. The program
is tests/linking/program.cpp; pkg-config's ways compile it with the warnings below as errors, and
with and without RTTI, as they do a file of all public headers. Libraries of tests/linking/plugin.cpp
are loaded into a program that does not use this one, and unloaded.

The build directory has to be up to date and static. What it has compiled is not compiled again; the
library as a subproject of Clang is, without optimisation, and stays for the next time. Everything
is below <build directory>/linking/. Exit status 1 if a way fails.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = ROOT / "tests/linking"
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wold-style-cast", "-Wpedantic",
          "-Werror"]
KINDS = ["static", "shared"]
# Includes what a program includes but for doctest's own header, which needs doctest.
NOT_ALONE = ["graph/doctest.hpp"]


class Failure(Exception):
    pass


def run(command, **options):
    """The command's output; Failure if it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise Failure(f"{shlex.join(command)}\n{done.stdout}")
    return done.stdout


class Linking:
    def __init__(self, build, jobs):
        self.build, self.jobs = build, jobs
        self.folder = build / "linking"
        self.folder.mkdir(exist_ok=True)
        known = json.loads(run(["meson", "introspect", "--buildoptions", build]))
        options = {option["name"]: option["value"] for option in known}
        if options["default_library"] != "static":
            sys.exit(f"{build} is not of the static library")
        # What decides how the library is compiled.
        self.options = [f"-D{name}={str(options[name]).lower()}"
                        for name in ("buildtype", "native", "onednn", "sleef")]
        command = json.loads((build / "compile_commands.json").read_text())[0]["command"].split()
        self.compilers = {"own": [word for word in command[:2] if word != "ccache"][:1]}
        for clang in ("clang++-19", "clang++"):
            if shutil.which(clang):
                self.compilers["clang"] = [clang]
                break

    def reusing(self, build, compiler):
        """For Meson: the compiler, which takes what `build` has compiled."""
        launcher = shlex.join([str(HERE / "reuse.py"), str(build), *compiler])
        return {**os.environ, "CXX": launcher}

    # --- what is installed: <folder>/static and <folder>/shared ---

    def install(self, kind):
        build = self.build
        if kind == "shared":
            build = self.fresh("build-shared")
            run(["meson", "setup", build, ROOT, *self.options, "-Ddefault_library=shared",
                 "-Dtests=false", "-Dexamples=false", "-Dbench=disabled"],
                env=self.reusing(self.build, self.compilers["own"]))
            run(["ninja", "-C", build, "-j", self.jobs])
        target = self.fresh(kind)
        run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", target])

    def fresh(self, name):
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def environment(self, kind):
        """For programs of pkg-config, and their starts: what a user sets for a prefix of their own."""
        folder = next((self.folder / kind).rglob("chainrule.pc")).parent
        return {**os.environ, "PKG_CONFIG_PATH": str(folder), "LD_LIBRARY_PATH": str(folder.parent)}

    def finish(self, program, kind):
        said = run([program], env=self.environment(kind))
        if said != "all is right\n":
            raise Failure(f"{program} says: {said}")
        uses = "libchainrule.so" in run(["ldd", program], env=self.environment(kind))
        if uses != (kind == "shared"):
            raise Failure(f"{program} is linked with the other library than the {kind} one")

    # --- the ways ---

    def pkg_config(self, who, kind, rtti):
        flags = ["-std=c++20", "-O2", *STRICT, *([] if rtti else ["-fno-rtti"])]
        asked = shlex.split(run(["pkg-config", "--cflags", "--libs", "chainrule"],
                                env=self.environment(kind)))
        if any("openmp" in word for word in asked):
            raise Failure(f"pkg-config switches OpenMP on: {asked}")
        # The dependencies' headers are the user's system's, not warned of.
        asked = [word.replace("-I", "-isystem", 1) if "/eigen3" in word else word
                 for word in asked]
        program = self.folder / f"program-{who}-{kind}-{'rtti' if rtti else 'no-rtti'}"
        run([*self.compilers[who], *flags, HERE / "program.cpp", *asked, "-o", program])
        self.finish(program, kind)

    def loaded(self, who, kind):
        """Two libraries that use this one, loaded into a program that does not, and unloaded."""
        asked = shlex.split(run(["pkg-config", "--cflags", "--libs", "chainrule"],
                                env=self.environment(kind)))
        name = self.folder / f"loaded-{who}-{kind}"
        plugins = [f"{name}-{i}.so" for i in (1, 2)]
        run([*self.compilers[who], "-std=c++20", "-O1", "-shared", "-fPIC", HERE / "plugin.cpp",
             *asked, "-o", plugins[0]])
        shutil.copy(*plugins)
        run([*self.compilers[who], "-std=c++20", "-O1", HERE / "host.cpp", "-pthread", "-ldl",
             "-o", name])
        said = run([name, *plugins], env=self.environment(kind), timeout=300)
        if said != "all is right\n":
            raise Failure(f"{name} says: {said}")

    def headers(self, who, rtti):
        include = next((self.folder / "static").rglob("chainrule.hpp")).parent
        names = sorted(str(path.relative_to(include)) for path in include.rglob("*.hpp"))
        text = "".join(f"#include <chainrule/{name}>\n" for name in names if name not in NOT_ALONE)
        flags = run(["pkg-config", "--cflags", "eigen3"]).replace("-I", "-isystem").split()
        file = self.folder / f"headers-{who}-{'rtti' if rtti else 'no-rtti'}.cpp"
        file.write_text(text)
        run([*self.compilers[who], "-std=c++20", *STRICT, *([] if rtti else ["-fno-rtti"]),
             "-fsyntax-only", "-I", include.parent, *flags, file])

    def cmake(self, who, kind):
        build = self.fresh(f"cmake-{who}-{kind}")
        prefix = next((self.folder / kind).rglob("include")).parent
        run(["cmake", "-G", "Ninja", "-S", HERE, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
             f"-DCMAKE_CXX_COMPILER={self.compilers[who][-1]}", "-DCMAKE_BUILD_TYPE=Release"])
        run(["cmake", "--build", build])
        self.finish(build / "program", kind)

    def subproject(self, who, kind):
        """A user's project, with warnings as errors, around this one, without. Compiles for Clang's
        static library alone, without optimisation."""
        build = self.folder / f"subproject-{who}-{kind}"
        compiled = self.folder / "subproject-clang-static" if who == "clang" else self.build
        if build != compiled:
            shutil.rmtree(build, ignore_errors=True)
        if not (build / "build.ninja").exists():
            own = [option.replace("-D", "-Dchainrule:") for option in self.options[1:]]
            run(["meson", "setup", build, self.folder / "subproject", *own,
                 f"-Dchainrule:default_library={kind}",
                 *(["-Dbuildtype=plain", "-Dchainrule:precompiled=true"] if who == "clang" else
                   [self.options[0]])],
                env=self.reusing(compiled, self.compilers[who]) if build != compiled else
                {**os.environ, "CXX": shlex.join(self.compilers[who])})
        run(["ninja", "-C", build, "-j", self.jobs, "program"])
        self.finish(build / "program", kind)

    def lay_out_subproject(self):
        source = self.fresh("subproject")
        (source / "subprojects").mkdir(parents=True)
        shutil.copy(HERE / "meson.build", source)
        shutil.copy(HERE / "program.cpp", source)
        (source / "subprojects/chainrule").symlink_to(ROOT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-j", type=int, default=2, metavar="N")
    args = parser.parse_args()
    linking = Linking(args.build.resolve(), args.j)
    failed = passed = 0

    def step(name, action, *arguments):
        start = time.monotonic()
        try:
            action(*arguments)
            return name, None, time.monotonic() - start
        except Failure as failure:
            return name, str(failure), time.monotonic() - start

    def report(name, problem, seconds):
        nonlocal failed, passed
        failed, passed = failed + bool(problem), passed + (not problem)
        print(f"{'FAILED ' if problem else 'ok     '} {name}  ({seconds:.1f} s)", flush=True)
        if problem:
            print(problem)
        return not problem

    linking.lay_out_subproject()
    whos = list(linking.compilers)
    if not all([report(*step(f"install, {kind}", linking.install, kind)) for kind in KINDS]):
        return 1
    for who in whos:
        for kind in KINDS:
            report(*step(f"Meson subproject, {who}, {kind}", linking.subproject, who, kind))
    small = [(f"headers, {who}, {'' if rtti else 'no '}RTTI", linking.headers, who, rtti)
             for who in whos for rtti in (True, False)]
    small += [(f"pkg-config, {who}, {kind}, {'' if rtti else 'no '}RTTI",
               linking.pkg_config, who, kind, rtti)
              for who in whos for kind in KINDS for rtti in (True, False)
              if rtti or kind == "static"]
    small += [(f"CMake, {who}, {kind}", linking.cmake, who, kind) for who in whos for kind in KINDS]
    small += [(f"dlopen, {who}, {kind}", linking.loaded, who, kind)
              for who in whos for kind in KINDS]
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for result in pool.map(lambda job: step(*job), small):
            report(*result)
    print(f"cases: {passed} passed, {failed} failed, {0 if 'clang' in whos else 1} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
