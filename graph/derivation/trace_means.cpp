#include <cmath>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/trace.hpp>

// Which numbers in gradients are extents: those that a mean divides by.

namespace chainrule::derivation {

// How many elements a scalar is the mean of: by its op, by what that is in simpler ones, or since a
// program divides by a number; 1 for others.
double Trace::averaged(std::uint32_t i) const {
  Expr formula = forward_[i];
  if (!formula || formula->shape.numel() != 1) return 1;
  const auto by_itself = [](const Expression& e) -> double {
    if (e.is(Role::Kind::mean)) return static_cast<double>(e.operands[0]->shape.numel());
    const bool divides = e.is(Role::Kind::quotient), scales = e.is(Role::Kind::product);
    for (std::size_t k = 0; (divides || scales) && k < 2; ++k)
      if (const auto x = number_in(*e.operands[k]); x && (scales || k == 1))
        return divides ? *x : 1 / *x;
    return 1;
  };
  if (const double count = by_itself(*formula); count != 1) return count;
  if (const Expr simpler = in_simpler_operations(formula, environment_)) {
    double count = 1;
    visit_parts(simpler, [&](const Expr& part) {
      if (part->kind == Expression::Kind::operation && part->shape.numel() == 1)
        count = std::max(count, by_itself(*part));
    });
    return count;
  }
  return 1;
}

void Trace::find_means() {
  if (extents_.empty()) return;
  // The first behind each node that all ways from it to the loss pass through, as K. Cooper,
  // T. Harvey and K. Kennedy find dominators, "A simple, fast dominance algorithm" (2001).
  std::vector<std::uint32_t> behind(size(), Traversal::none);
  std::vector<std::vector<Extent>> over(size());
  for (std::uint32_t i = loss() + 1; i-- > 0;) {
    over[i] = extents_in(averaged(i), extents_);
    if (i != loss()) {
      if (behind[i] == Traversal::none) continue;
      divided_by_[i] = over[behind[i]];
      const std::vector<Extent>& further = divided_by_[behind[i]];
      divided_by_[i].insert(divided_by_[i].end(), further.begin(), further.end());
    }
    for (const std::uint32_t edge : traversal_.edges(i)) {
      if (edge == Traversal::none) continue;
      std::uint32_t& meets = behind[edge];
      if (meets == Traversal::none) meets = i;
      for (std::uint32_t other = i; meets != other;) {
        std::uint32_t& earlier = meets < other ? meets : other;
        earlier = behind[earlier];
      }
    }
  }
}

}  // namespace chainrule::derivation
