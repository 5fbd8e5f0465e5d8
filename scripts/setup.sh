# shellcheck shell=bash
# The set-up that ./quickstart and ./check share; sourced by both, with bash.
#
#   needs ...             the packages, the only list of them
#   ensure_packages G..   installs what is missing of the groups G
#   usable D              says whether the build directory D is configured for here and now
#   configure D OPT..     configures the build directory D from nothing
#   build D TARGET..      compiles, and shows the end of the compiler's output if that fails
#
# Everything said here goes to stderr: stdout belongs to the program that is started in the end.
# The working directory is the project's root.

# ---- what is needed ------------------------------------------------------------------------------

# group, Debian package, and what shows that it is there if it came by another way than apt:
# a command, a pkg-config module, a header or a file.
needs='
build  g++              cmd:g++
build  meson            cmd:meson
build  ninja-build      cmd:ninja
build  pkg-config       cmd:pkg-config
build  libeigen3-dev    pc:eigen3
build  libfmt-dev       pc:fmt
build  libcli11-dev     pc:CLI11
build  zlib1g-dev       pc:zlib
build  libdnnl-dev      header:dnnl.h
build  libsleef-dev     pc:sleef
check  doctest-dev      header:doctest/doctest.h
check  libbenchmark-dev pc:benchmark
check  clang-format-19  cmd:clang-format-19
check  clang-tidy-19    cmd:clang-tidy-19
check  clang-19         cmd:clang++-19
check  libclang-rt-19-dev file:/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.asan-*.a
check  cmake            cmd:cmake
check  gdb              cmd:gdb
check  python3          cmd:python3
check  git              cmd:git
peers  libtorch-dev     header:torch/csrc/api/include/torch/version.h
peers  libopenblas0-openmp file:/usr/lib/*/openblas-openmp/libblas.so.3
'

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; return 1; }

# ---- packages ------------------------------------------------------------------------------------

is_there() { # probe
  case $1 in
    file:*) compgen -G "${1#file:}" >/dev/null ;;
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    header:*) echo "#include <${1#header:}>" | ${CXX:-c++} -x c++ -E - >/dev/null 2>&1 ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Which packages of the groups are missing: into the array `missing`.
find_missing() { # groups
  local group package probe installed='' i packages=() probes=()
  while read -r group package probe; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    [ "$package" = g++ ] && [ -n "${CXX:-}" ] && continue
    packages+=("$package") probes+=("$probe")
  done <<<"$needs"
  if command -v dpkg-query >/dev/null; then
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null)
  fi
  missing=()
  for i in "${!packages[@]}"; do
    case $'\n'$installed$'\n' in *$'\ninstalled '"${packages[i]}"$'\n'*) continue ;; esac
    is_there "${probes[i]}" || missing+=("${packages[i]}")
  done
}

ensure_packages() { # groups
  local missing
  if [ -n "${CXX:-}" ] && ! is_there "cmd:${CXX%% *}"; then
    fail "the compiler that CXX names, '$CXX', is not there"
    return
  fi
  find_missing "$@"
  [ ${#missing[@]} = 0 ] && return

  if ! command -v apt-get >/dev/null; then
    say "chainrule needs these packages (the names are Debian's): ${missing[*]}"
    fail "they are missing, and there is no apt here to install them"
    return
  fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    say "chainrule needs these packages: ${missing[*]}"
    say "To install them takes root, and there is no sudo here. As root, run:"
    say "  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    fail "packages are missing"
    return
  fi

  local log=build/apt.log
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
  mkdir -p build || return
  say "Installing with apt-get: ${missing[*]}"
  # An update that fails may be another source's trouble; what counts is whether the packages come.
  as_root "${apt[@]}" update </dev/null >"$log" 2>&1
  if ! as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" \
    </dev/null >>"$log" 2>&1; then
    grep -E '^(E|sudo):' "$log" | tail -n 4 >&2
    fail "apt-get could not install them (is there a network? is this Debian 12 or newer?" \
      "may you become root?); all it said is in $log"
    return
  fi
}

# ---- building ------------------------------------------------------------------------------------

# What a build directory is configured for; when this changes, it is made anew.
fingerprint() {
  printf '%s\n' "$PWD" "CXX=${CXX:-}" "CXXFLAGS=${CXXFLAGS:-}" "LDFLAGS=${LDFLAGS:-}"
  grep -m1 '^flags' /proc/cpuinfo 2>/dev/null | cksum # -march=native: this processor and no other
}

usable() { # directory
  [ -f "$1/build.ninja" ] && [ "$(cat "$1/fingerprint" 2>/dev/null)" = "$(fingerprint)" ]
}

configure() { # directory, options
  local dir=$1 log=$1.configure.log
  say "Configuring $dir"
  rm -rf "$dir"
  mkdir -p "${dir%/*}" || return
  if ! meson setup "$@" </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$dir"
    fail "meson could not configure $dir; all it said is in $log"
    return
  fi
  rm -f "$log"
  printf '%s\n' "$@" >"$dir/arguments"
  fingerprint >"$dir/fingerprint"
}

# As many compilers as processors, but no more than memory allows (one takes up to 1.5 GB).
jobs_that_fit() {
  local n free
  n=$(nproc 2>/dev/null || echo 1)
  free=$(awk '/^MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo 2>/dev/null)
  if [ "${free:-$n}" -lt "$n" ]; then n=$free; fi
  echo $((n > 0 ? n : 1))
}

build() { # directory, targets
  local dir=$1 log=$1/build.log arguments
  shift
  # After a change of the build files ninja configures anew; where it cannot (the directory was made
  # by another Meson, its compiler is gone), start from nothing; but a mistake in a meson.build must
  # not cost all that is compiled, so try elsewhere first.
  if ! ninja -C "$dir" build.ninja </dev/null >"$log" 2>&1; then
    mapfile -t arguments <"$dir/arguments"
    if ! meson setup "$dir.try" "${arguments[@]:1}" </dev/null >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -rf "$dir.try"
      fail "meson could not configure $dir; all it said is in $log"
      return
    fi
    rm -rf "$dir.try"
    configure "${arguments[@]}" || return
  fi
  ninja -C "$dir" -n "$@" </dev/null 2>/dev/null | grep -q 'no work to do' && return
  say "Building $dir (the first time takes some minutes)"
  if [ -t 2 ] && [ -z "${CI:-}" ]; then
    ninja -C "$dir" -j "$(jobs_that_fit)" "$@" </dev/null >&2 && return
    fail "the build failed; the compiler's messages stand above"
  else
    ninja -C "$dir" -j "$(jobs_that_fit)" "$@" </dev/null >"$log" 2>&1 && return
    tail -n 60 "$log" >&2
    fail "the build failed; above stands the end of $log"
  fi
}
