#pragma once

#include <chainrule/core/threads.hpp>

#include <cstdio>
#include <string>

#include <chainrule/bench/measure.hpp>
#include <chainrule/bench/peers/libtorch.hpp>

/// What the comparisons with libtorch share.
namespace peers {

inline constexpr int pairs = 11;

/// How many threads both have, and the most and the least processors that libtorch was seen to use.
inline int threads = 1;
inline double most_processors = 0, least_processors = 1e9;

/// Both on so many threads, with memory kept by malloc; prints libtorch's settings.
inline void prepare(int count = 1) {
  bench::keep_freed_memory();
  threads = count;
  chainrule::set_num_threads(count);
  set_libtorch_threads(count);
  std::printf("settings: %s\n", libtorch_settings().c_str());
  std::printf("settings: %s\n", libtorch_thread_settings().c_str());
}

/// Why the times of libtorch in a comparison are not those of `threads` threads, or nothing.
/// `busy`: there is work for all of them.
inline std::string fault(const bench::Comparison& both, bool busy) {
  if (threads > 1 && blas_has_own_threads())
    return "OpenBLAS has a pool of threads beside OpenMP's";
  const double processors = both.processors_a;
  char text[100] = "";
  // A twentieth for what the clocks disagree, a quarter for what does not run in parallel.
  if (processors > 1.05 * threads || (busy && processors < 0.75 * threads))
    std::snprintf(text, sizeof text, "libtorch used %.2f processors, and has %d", processors,
                  threads);
  else if (both.running_a < 0.8)  // its thread waits for others by looping, not by giving way
    std::snprintf(text, sizeof text, "libtorch had a processor for %.0f %% of the time",
                  100 * both.running_a);
  return text;
}

/// How libtorch's f and the library's are called, and reported.
struct How {
  double seconds;  ///< for each of the samples
  bench::Target target = {};
  std::string unit = "us";
  double scale = 1e6;     ///< units in a second
  double steps = 1;       ///< in a call of the library's
  double peer_steps = 1;  ///< in a call of libtorch's
  bool busy = false;      ///< all of libtorch's threads have work
};

/// Calls libtorch's f and the library's in turn and reports the time of each step, and how many
/// times faster the library is. That is marked if libtorch used other threads than it was given.
template <class Peer, class Ours>
void compare(bench::Report& report, const std::string& label, Peer&& peer, Ours&& ours,
             const How& how) {
  const auto both = bench::compare(pairs, how.seconds, peer, ours,
                                   threads == 1 ? bench::Clock::thread : bench::Clock::wall);
  most_processors = std::max(most_processors, both.processors_a);
  if (how.busy) least_processors = std::min(least_processors, both.processors_a);
  report.figure(label + ": libtorch", both.a.median / how.peer_steps * how.scale, how.unit);
  report.figure(label + ": chainrule", both.b.median / how.steps * how.scale, how.unit);
  const double part = how.steps / how.peer_steps;
  report.ratio(label + ": libtorch / chainrule",
               {both.ratio.median * part, both.ratio.low * part, both.ratio.high * part},
               how.target, fault(both, how.busy));
}

/// Reports what processors libtorch used in all of these comparisons.
inline void finish(bench::Report& report, const std::string& what) {
  const std::string label = what + ", " + std::to_string(threads) +
                            (threads == 1 ? " thread" : " threads") + ": processors of libtorch";
  report.figure(label + ", at most", most_processors, "", 1.05 * threads);
  if (threads > 1)
    report.figure(label + " where there is work for all, at least", least_processors, "",
                  bench::at_least(0.75 * threads));
}

}  // namespace peers
