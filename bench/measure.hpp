#pragma once

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the benchmarks share. Rules that all of them keep: what is compared is computed by both
/// sides in the same process and checked before it is timed; inputs are random and change from step
/// to step; every result is used; two things are compared in turn, A B A B …, by the median of the
/// ratios of neighbours.
namespace bench {

/// Which time is measured: that of a processor on the calling thread, in the program and in the
/// system for it, or that on the wall. While the thread has a processor to itself they are the
/// same, since nothing measured here waits; where others take it away in between, that does not
/// count in the former. What runs on several threads must be measured by the wall.
enum class Clock { thread, wall };

/// Seconds from some moment on.
inline double now(Clock clock = Clock::thread) {
  timespec time;
  clock_gettime(clock == Clock::wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Makes the compiler believe that the value is read here.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

/// The median of some measurements and their quartiles.
struct Spread {
  double median;
  double low;
  double high;
};

inline Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    const double position = part * static_cast<double>(values.size() - 1);
    const auto i = static_cast<std::size_t>(position);
    const double next = values[std::min(i + 1, values.size() - 1)];
    return values[i] + (position - static_cast<double>(i)) * (next - values[i]);
  };
  return {at(0.5), at(0.25), at(0.75)};
}

/// Seconds for each of `count` calls of f together.
template <class F>
double time_of(int count, F&& f, Clock clock = Clock::thread) {
  const double start = now(clock);
  for (int i = 0; i < count; ++i) f();
  return (now(clock) - start) / count;
}

/// How often f is to be called to take about `seconds`.
template <class F>
int calls_for(double seconds, F&& f) {
  f();
  for (int count = 1;; count *= 2) {
    const double taken = time_of(count, f) * count;
    if (taken > seconds / 4 || count >= 1 << 24)
      return std::max(1, static_cast<int>(count * std::min(seconds / taken, 1e3)));
  }
}

/// Two things measured in turn.
struct Comparison {
  Spread a;  ///< seconds for each call
  Spread b;
  Spread ratio;  ///< a / b, of neighbours
};

/// Calls a and b in turn, `pairs` times each, about `seconds` long each time.
template <class A, class B>
Comparison compare(int pairs, double seconds, A&& a, B&& b, Clock clock = Clock::thread) {
  const int calls_a = calls_for(seconds, a), calls_b = calls_for(seconds, b);
  std::vector<double> times_a, times_b, ratios;
  for (int i = 0; i < pairs; ++i) {
    times_a.push_back(time_of(calls_a, a, clock));
    times_b.push_back(time_of(calls_b, b, clock));
    ratios.push_back(times_a.back() / times_b.back());
  }
  return {spread(times_a), spread(times_b), spread(ratios)};
}

/// Makes malloc keep what is freed. By default glibc gives large blocks back to the system, and the
/// page faults when they are asked for again cost programs that take buffers from it, as libtorch
/// does in every operation and Eigen in every product, 8 % and more.
inline void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

/// What a figure should be: nothing in particular, at most a number, or at_least() one.
struct Target {
  enum class Kind { none, at_most, at_least };
  Kind kind = Kind::none;
  double value = 0;

  Target() = default;
  Target(double most) : kind(Kind::at_most), value(most) {}
  bool reached(double figure) const {
    return kind == Kind::none || (kind == Kind::at_most ? figure <= value : figure >= value);
  }
};
inline Target at_least(double value) {
  Target target(value);
  target.kind = Target::Kind::at_least;
  return target;
}

/// Where the figures go: to standard output, and to the file named by the only argument, if there
/// is one, as lines `name <tab> value <tab> unit <tab> target <tab> quartiles` for bench/run. A
/// target is "<= 1.5", ">= 25" or nothing; quartiles are "1.38 … 1.44" or nothing.
class Report {
 public:
  Report(int argc, char** argv) {
    if (argc > 2) throw std::runtime_error("usage: " + std::string(argv[0]) + " [FIGURES]");
    if (argc == 2) {
      file_.open(argv[1]);
      if (!file_) throw std::runtime_error(std::string(argv[1]) + " cannot be written");
    }
  }

  void figure(const std::string& name, double value, const std::string& unit,
              const Target& target = {}) {
    write(name, value, unit, target, "");
  }
  /// How many times one thing takes as long as another, with the quartiles.
  void ratio(const std::string& name, const Spread& spread, const Target& target = {}) {
    write(name, spread.median, "x", target, number(spread.low) + " … " + number(spread.high));
  }

 private:
  void write(const std::string& name, double value, const std::string& unit, const Target& target,
             const std::string& quartiles) {
    std::string limit;
    if (target.kind != Target::Kind::none)
      limit = (target.kind == Target::Kind::at_most ? "<= " : ">= ") + number(target.value);
    std::printf("%-66s %8s %-9s", name.c_str(), number(value).c_str(), unit.c_str());
    if (!quartiles.empty()) std::printf(" (%s)", quartiles.c_str());
    if (!limit.empty())
      std::printf(" target %s%s", limit.c_str(), target.reached(value) ? "" : "  MISSED");
    std::printf("\n");
    std::fflush(stdout);
    if (file_.is_open())
      file_ << name << '\t' << number(value) << '\t' << unit << '\t' << limit << '\t' << quartiles
            << std::endl;
  }

  // Three digits, or all those before the point.
  static std::string number(double value) {
    const double size = std::abs(value);
    int digits = 0;
    if (size != std::floor(size))
      for (double least = 100; digits < 5 && size < least; least /= 10) ++digits;
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
  }

  std::ofstream file_;
};

/// Ends the program with a message unless `good`: what is wrong is not worth timing.
inline void require(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "error: %s\n", what.c_str());
  std::exit(1);
}

}  // namespace bench
