#pragma once

#include <chainrule/core/threads.hpp>

#include <cstdio>
#include <string>

#include <chainrule/bench/measure.hpp>
#include <chainrule/bench/peers/libtorch.hpp>

/// What the comparisons with libtorch share.
namespace peers {

inline constexpr int pairs = 11;

/// Both on one thread, with memory kept by malloc; prints libtorch's settings.
inline void prepare() {
  bench::keep_freed_memory();
  chainrule::set_num_threads(1);
  set_libtorch_threads(1);
  std::printf("settings: %s\n", libtorch_settings().c_str());
}

/// Calls libtorch's f and the library's in turn, `seconds` long each time, and reports `unit`s
/// (`scale` in a second) for each of `steps` in a call, and how many times faster the library is.
/// A call of libtorch's may have fewer steps.
template <class Peer, class Ours>
void compare(bench::Report& report, const std::string& label, Peer&& peer, Ours&& ours,
             double seconds, const bench::Target& target = {}, const std::string& unit = "us",
             double scale = 1e6, double steps = 1, double peer_steps = 1) {
  const auto both = bench::compare(pairs, seconds, peer, ours);
  report.figure(label + ": libtorch", both.a.median / peer_steps * scale, unit);
  report.figure(label + ": chainrule", both.b.median / steps * scale, unit);
  const double part = steps / peer_steps;
  report.ratio(label + ": libtorch / chainrule",
               {both.ratio.median * part, both.ratio.low * part, both.ratio.high * part}, target);
}

}  // namespace peers
