#pragma once

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
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
/// count in the former. What runs on several threads must be measured by the wall. `process` is the
/// time of processors on all threads of the program together: more than `thread` where a library
/// works on threads that it was not given.
enum class Clock { thread, wall, process };

/// Seconds from some moment on.
inline double now(Clock clock = Clock::thread) {
  timespec time;
  clock_gettime(clock == Clock::wall     ? CLOCK_MONOTONIC
                : clock == Clock::thread ? CLOCK_THREAD_CPUTIME_ID
                                         : CLOCK_PROCESS_CPUTIME_ID,
                &time);
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
  /// The processor time of the whole program for a second of the clock, while a and b ran. By
  /// Clock::thread that is 1 for what stays on its thread, however busy the machine is; by
  /// Clock::wall, the processors that were used.
  double processors_a, processors_b;
  /// The processor time of the calling thread in such a second. By Clock::wall, less than 1 says
  /// that it waited, for others of its program or for a processor.
  double running_a, running_b;
};

/// Calls a and b in turn, `pairs` times each, about `seconds` long each time.
template <class A, class B>
Comparison compare(int pairs, double seconds, A&& a, B&& b, Clock clock = Clock::thread) {
  const int calls_a = calls_for(seconds, a), calls_b = calls_for(seconds, b);
  struct Samples {
    std::vector<double> times, processors, running;
  } of_a, of_b;
  const auto sample = [clock](int calls, auto&& f, Samples& of) {
    // Threads of a pool look for more work for some milliseconds before they sleep, and must not
    // take a processor from the other side's.
    if (clock == Clock::wall) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const double process = now(Clock::process), thread = now(Clock::thread);
    of.times.push_back(time_of(calls, f, clock));
    const double taken = of.times.back() * calls;
    of.running.push_back((now(Clock::thread) - thread) / taken);
    of.processors.push_back((now(Clock::process) - process) / taken);
  };
  std::vector<double> ratios;
  for (int i = 0; i < pairs; ++i) {
    sample(calls_a, a, of_a);
    sample(calls_b, b, of_b);
    ratios.push_back(of_a.times.back() / of_b.times.back());
  }
  const auto median = [](const std::vector<double>& values) { return spread(values).median; };
  return {spread(of_a.times),      spread(of_b.times),      spread(ratios),
          median(of_a.processors), median(of_b.processors), median(of_a.running),
          median(of_b.running)};
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
/// is one, as lines `name <tab> value <tab> unit <tab> target <tab> quartiles <tab> fault` for
/// bench/run. A target is "<= 1.5", ">= 25" or nothing; quartiles are "1.38 … 1.44" or nothing; a
/// fault says why the figure is no measurement of what it says, and is mostly nothing.
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
    write(name, value, unit, target, "", "");
  }
  /// How many times one thing takes as long as another, with the quartiles.
  void ratio(const std::string& name, const Spread& spread, const Target& target = {},
             const std::string& fault = {}) {
    write(name, spread.median, "x", target, number(spread.low) + " … " + number(spread.high),
          fault);
  }

 private:
  void write(const std::string& name, double value, const std::string& unit, const Target& target,
             const std::string& quartiles, const std::string& fault) {
    std::string limit;
    if (target.kind != Target::Kind::none)
      limit = (target.kind == Target::Kind::at_most ? "<= " : ">= ") + number(target.value);
    std::printf("%-66s %8s %-9s", name.c_str(), number(value).c_str(), unit.c_str());
    if (!quartiles.empty()) std::printf(" (%s)", quartiles.c_str());
    if (!limit.empty())
      std::printf(" target %s%s", limit.c_str(), target.reached(value) ? "" : "  MISSED");
    if (!fault.empty()) std::printf("  NOT VALID: %s", fault.c_str());
    std::printf("\n");
    std::fflush(stdout);
    if (file_.is_open())
      file_ << name << '\t' << number(value) << '\t' << unit << '\t' << limit << '\t' << quartiles
            << '\t' << fault << std::endl;
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
