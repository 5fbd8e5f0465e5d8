#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What may stand in the place of a symbol, or of a slope at one, in the formula for the gradient
/// of node `target`.
class OtherSymbols {
 public:
  OtherSymbols(const Trace& trace, const Environment& point, std::uint32_t target)
      : trace_(trace), point_(point), target_(target) {}

  /// Whether node i may: of its shape, known by a name, another. A slope is also known by the
  /// function that it is one of, where its result has a name.
  bool contain(std::uint32_t i, const Expr& symbol);

 private:
  bool is_known_by_result(std::uint32_t i, const Op* function);

  const Trace& trace_;
  const Environment& point_;
  std::uint32_t target_;
  // Functions whose results have names, and what they were taken of; collected where it is asked.
  std::optional<std::set<std::pair<const Op*, std::uint32_t>>> known_by_result_;
};

/// Whether one of them is the other one with its sign changed.
bool is_negative(const Expr& a, const Expr& b, const Environment& point);

/// Node i as a symbol, or the slope at it, as this is one.
Expr same_kind(const Expr& symbol, std::uint32_t i);

}  // namespace chainrule::derivation
