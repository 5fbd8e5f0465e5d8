#include <chainrule/graph/derivation/diagnose.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/mutate.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

class Diagnosis {
 public:
  Diagnosis(const Trace& trace, const Suspect& suspect,
            const std::function<std::string(const Expr&)>& text)
      : trace_(trace), suspect_(suspect), text_(text) {}

  std::string find() {
    const NoGrad guard;
    if (std::string found = not_finite(); !found.empty()) return found;
    if (std::string found = by_numbers(); !found.empty()) return found;
    if (std::string found = by_mutants(); !found.empty()) return found;
    if (std::string found = by_scale(); !found.empty()) return found;
    return by_place();
  }

 private:
  const Tensor& value() const { return suspect_.value; }
  const Tensor& expected() const { return suspect_.expected; }
  std::string right() const { return text_(suspect_.right); }

  bool same(const Tensor& a) const { return nearly_equal(a, value(), 1e-9, suspect_.tolerance); }

  std::string not_finite() const {
    if (value().shape() != expected().shape()) return "";
    const std::vector<double> x = expected().to_vector<double>(), y = value().to_vector<double>();
    for (std::size_t i = 0; i < y.size(); ++i)
      if (std::isfinite(x[i]) && !std::isfinite(y[i]))
        return fmt::format("it is {} at {}; the chain rule gives {}", y[i],
                           to_string(position_of(static_cast<std::int64_t>(i), value().shape())),
                           right());
    return "";
  }

  // Mistakes that need no look into the formula.
  std::string by_numbers() const {
    if (suspect_.accumulated.defined() && same(suspect_.accumulated) && same(expected() * 2.0))
      return "accumulated twice: this is grad() after a second backward(), without zero_grad()";
    if (expected().rank() == 2 && same(expected().T()))
      return fmt::format("transposed: this is the transpose of {}", right());
    if (same(-expected()) && !suspect_.right->is(Role::Kind::difference))
      return fmt::format("the sign is wrong: this is −({})", right());
    return "";
  }

  std::string by_mutants() const {
    std::string found;
    for_each_mutant(trace_, suspect_.right, suspect_.point, [&](const Mutant& mutant) {
      try {
        if (!same(evaluate(mutant.formula, suspect_.point))) return false;
      } catch (const Error&) {
        return false;  // shapes that do not fit
      }
      found = fmt::format("{}: this is {}; the chain rule gives {}", mutant.mistake,
                          text_(mutant.formula), right());
      return true;
    });
    return found;
  }

  // A number that all elements are too large by.
  std::string by_scale() const {
    if (value().shape() != expected().shape()) return "";
    const std::vector<double> x = expected().to_vector<double>(), y = value().to_vector<double>();
    double xx = 0, xy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      xx += x[i] * x[i];
      xy += x[i] * y[i];
    }
    if (xx == 0 || xy == 0) return "";
    const double factor = xy / xx;
    if (!std::isfinite(factor) || !same(expected() * factor)) return "";
    if (std::abs(factor + 1) < 1e-6)
      return fmt::format("the sign is wrong: this is −({})", right());
    const double inverse = 1 / factor;
    const bool whole = std::abs(factor - std::round(factor)) < 1e-6 * std::abs(factor);
    const bool part = std::abs(inverse - std::round(inverse)) < 1e-6 * std::abs(inverse);
    if (whole) return fmt::format("too large by a factor of {:.0f}{}", factor, meaning(factor));
    if (part) return fmt::format("too small by a factor of {:.0f}{}", inverse, meaning(inverse));
    return fmt::format("a factor of {:.6g} too much", factor);
  }

  // An extent of the graph's tensors that the factor equals.
  std::string meaning(double factor) const {
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      const Shape shape = trace_.node(i).shape();
      for (int axis = 0; axis < shape.rank(); ++axis)
        if (static_cast<double>(shape[axis]) == std::round(factor) && shape[axis] > 2)
          return fmt::format(
              ", which is the extent of axis {} of {}: a mean in the place of a "
              "sum, or the reverse",
              axis, describe_node(i));
    }
    return "";
  }
  std::string describe_node(std::uint32_t i) const {
    const Node& node = trace_.node(i);
    return fmt::format("{}{}{}", node.name(), node.name().empty() ? "" : " ",
                       to_string(node.shape()));
  }

  // Right but for some elements.
  std::string by_place() const {
    const Shape &is = value().shape(), &should = expected().shape();
    if (is != should) {
      for (int axis = 0; axis < is.rank(); ++axis)
        for (const bool keep : {false, true})
          if (same_after_sum(axis, keep))
            return fmt::format("the sum over axis {} is missing; the chain rule gives {}", axis,
                               right());
      return fmt::format("the shape is {} instead of {}; the chain rule gives {}", to_string(is),
                         to_string(should), right());
    }
    const std::vector<double> x = expected().to_vector<double>(), y = value().to_vector<double>();
    std::size_t wrong = 0, at_zero = 0, first = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!(difference(x[i], y[i]) <= suspect_.tolerance)) {
        if (wrong++ == 0) first = i;
        at_zero += x[i] == 0;
      }
    if (std::ranges::all_of(y, [](double element) { return element == 0; }))
      return fmt::format("it is 0; the chain rule gives {}", right());
    if (wrong == at_zero && wrong < x.size())
      return fmt::format(
          "wrong only where the gradient is 0, at {} of {} elements: behind a mask "
          "or at a kink",
          wrong, x.size());
    if (wrong <= x.size() / 4)
      return fmt::format("right but for {} of {} elements, the first at {}", wrong, x.size(),
                         to_string(position_of(static_cast<std::int64_t>(first), is)));
    return "";
  }
  bool same_after_sum(int axis, bool keep) const {
    const Tensor summed = sum(value(), axis, keep);
    if (summed.shape() != expected().shape()) return false;
    const std::vector<double> x = summed.to_vector<double>(), y = expected().to_vector<double>();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!(std::abs(x[i] - y[i]) <= suspect_.tolerance)) return false;
    return true;
  }

  const Trace& trace_;
  const Suspect& suspect_;
  const std::function<std::string(const Expr&)>& text_;
};

}  // namespace

std::string diagnose(const Trace& trace, const Suspect& suspect,
                     const std::function<std::string(const Expr&)>& text) {
  return Diagnosis(trace, suspect, text).find();
}

}  // namespace chainrule::derivation
