#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

namespace chainrule::derivation {

/// Where sums along some axes stand in a formula that does not say whether they keep these. Beside
/// a tensor of as many axes as what was summed they stand along the axes that are left, beside one
/// of fewer as what has these alone.
class SumAxes {
 public:
  /// A part whose operands are known.
  void add(const Expression& part);
  /// Whether a reshape only takes the axes away that a sum keeps, or puts them back, so that the
  /// sum alone says the same.
  bool is_implied(const Expression& reshape) const;
  /// The operands that a reader would put elsewhere without their shape.
  std::vector<std::size_t> unclear(const Expression& operation) const;
  /// Whether a formula is a sum with its axes kept, and beside what was summed would stand
  /// elsewhere without them.
  bool is_unclear(const Expr& whole) const;

 private:
  /// What formulas show of a sum: which axes there were, and which are left. It may have lost
  /// the others, or kept them with extent 1.
  struct Sum {
    Shape from;
    std::vector<int> axes;
    Shape kept, dropped;
    bool operator==(const Sum& other) const {
      return from.rank() == other.from.rank() && axes == other.axes;
    }
  };
  const Sum* find(const Expr& e) const;
  std::optional<Sum> of(const Expression& part) const;
  std::unordered_map<const Expression*, Sum> sums_;
};

}  // namespace chainrule::derivation
