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
  for (std::uint32_t mean = 0; mean < size(); ++mean) {
    const std::vector<Extent> over = extents_in(averaged(mean), extents_);
    if (over.empty()) continue;
    // Where the loss can be reached without passing through the mean.
    std::vector<bool> reaches(size());
    std::vector<std::uint32_t> to_do;
    const auto reach = [&](std::uint32_t i) {
      if (i == Traversal::none || i == mean || reaches[i]) return;
      reaches[i] = true;
      to_do.push_back(i);
    };
    reach(loss());
    while (!to_do.empty()) {
      const std::uint32_t i = to_do.back();
      to_do.pop_back();
      for (const std::uint32_t edge : traversal_.edges(i)) reach(edge);
    }
    for (std::uint32_t i = 0; i < mean; ++i)
      if (!reaches[i]) divided_by_[i].insert(divided_by_[i].end(), over.begin(), over.end());
  }
}

}  // namespace chainrule::derivation
