#pragma once

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
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

/// Seconds that the processor spent on the calling thread, in the program and in the system for it.
/// While the thread has a processor to itself that is the time on the wall, since nothing measured
/// here waits; where others take it away in between, that does not count. (What runs on several
/// threads must be measured by the wall.)
inline double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
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
double time_of(int count, F&& f) {
  const double start = now();
  for (int i = 0; i < count; ++i) f();
  return (now() - start) / count;
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
Comparison compare(int pairs, double seconds, A&& a, B&& b) {
  const int calls_a = calls_for(seconds, a), calls_b = calls_for(seconds, b);
  std::vector<double> times_a, times_b, ratios;
  for (int i = 0; i < pairs; ++i) {
    times_a.push_back(time_of(calls_a, a));
    times_b.push_back(time_of(calls_b, b));
    ratios.push_back(times_a.back() / times_b.back());
  }
  return {spread(times_a), spread(times_b), spread(ratios)};
}

/// Where the figures go: to standard output, and to the file named by the only argument, if there
/// is one, as lines `name <tab> value <tab> unit <tab> target` for bench/run.
class Report {
 public:
  Report(int argc, char** argv) {
    if (argc > 2) throw std::runtime_error("usage: " + std::string(argv[0]) + " [FIGURES]");
    if (argc == 2) {
      file_.open(argv[1]);
      if (!file_) throw std::runtime_error(std::string(argv[1]) + " cannot be written");
    }
  }

  /// A figure; with a target, which is the most that it may be.
  void figure(std::string_view name, double value, std::string_view unit, double target = -1) {
    std::string limit;
    if (target >= 0) limit = number(target);
    std::printf("%-58.*s %10s %-10.*s", static_cast<int>(name.size()), name.data(),
                number(value).c_str(), static_cast<int>(unit.size()), unit.data());
    if (!limit.empty())
      std::printf(" target %s%s", limit.c_str(), value <= target ? "" : "  MISSED");
    std::printf("\n");
    std::fflush(stdout);
    if (file_.is_open())
      file_ << name << '\t' << number(value) << '\t' << unit << '\t' << limit << std::endl;
  }

 private:
  static std::string number(double value) {
    char text[32];
    const double size = std::abs(value);
    const int digits = size >= 100 || value == static_cast<int>(value) ? 0 : size >= 10 ? 1 : 2;
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
