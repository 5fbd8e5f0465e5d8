#include <chainrule/graph/checking/repair.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/taken_apart.hpp>
#include <chainrule/graph/checking/wrong_axis.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::derivation {

namespace {

// Sums and means over other axes, all at once, and vectors that stand along another axis.
class Axes : public TakenApart {
 public:
  using TakenApart::TakenApart;

  std::string find() {
    if (parts_.size() > most_parts) return "";
    std::string found = sums_everywhere();
    for (std::size_t k = parts_.size(); k-- > 0 && found.empty() && !comparison_.exhausted();)
      found = along_another(parts_[k]);
    return found;
  }

 private:
  // A vector of n in a matrix of n rows and n columns.
  std::string along_another(const Expr& e) const {
    const std::optional<WrongAxis> other = along_other_axis(comparison_, text_, e);
    return other && fits(e, other->right) ? with_right(other->words) : "";
  }

  // All sums and means over the same axes at once.
  std::string sums_everywhere() const {
    std::vector<Expr> sums;
    for (const Expr& e : parts_)
      if (e->is(Role::Kind::total) || e->is(Role::Kind::mean)) sums.push_back(e);
    if (sums.size() < 2) return "";
    const auto fits_with = [&](auto f) {
      // Operands first: a sum in a sum is rebuilt from the inner one.
      Expr formula = formula_;
      for (const Expr& e : sums) {
        Expr now;
        visit_parts(formula, [&](const Expr& part) {
          if (part->application == e->application) now = part;
        });
        if (!now) return false;
        Expr other =
            built([&](Builder& builder) { return f(now, builder.value(now->operands[0])); });
        if (!other) return false;
        formula = replaced(formula, {{now.get(), std::move(other)}});
      }
      return comparison_.repairs(formula);
    };
    const auto is_mean = [](const Expr& e) { return e->is(Role::Kind::mean); };
    if (fits_with([&](const Expr& e, const Tensor& x) {
          const double count = static_cast<double>(x.numel()) /
                               static_cast<double>(std::max<std::int64_t>(1, e->shape.numel()));
          const Tensor y = apply_again(*e->application, std::span(&x, 1));
          return is_mean(e) ? y * count : y / count;
        }))
      return with_right(is_mean(sums[0]) ? "means in the place of sums"
                                         : "sums in the place of means");
    for (int axis = 0; axis < sums[0]->operands[0]->shape.rank(); ++axis)
      if (fits_with([&](const Expr& e, const Tensor& x) {
            return is_mean(e) ? mean(x, axis, true) : sum(x, axis, true);
          }))
        return with_right(
            fmt::format("the sums are over the wrong axis: axis {} belongs there", axis));
    return "";
  }
};

}  // namespace

std::string repair_axes(const Trace& trace, const Comparison& comparison, const Text& text) {
  return Axes(trace, comparison, text).find();
}

}  // namespace chainrule::derivation
