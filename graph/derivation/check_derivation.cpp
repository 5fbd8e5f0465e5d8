#include <chainrule/graph/derivation/check_derivation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/diagnose.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

using derivation::Environment;
using derivation::Expr;
using derivation::largest;
using derivation::largest_difference;
using derivation::numbers;
using derivation::Trace;

namespace {

// The distance from |x| to the next number of the dtype.
double ulp(double x, DType dtype) {
  if (dtype == f64) return std::nextafter(std::abs(x), HUGE_VAL) - std::abs(x);
  const float y = std::abs(static_cast<float>(x));
  return std::nextafter(y, HUGE_VALF) - y;
}

}  // namespace

class DerivationChecker {
 public:
  DerivationChecker(const Tensor& loss, std::span<const Formula> formulas, CheckOptions options,
                    const Where& where)
      : formulas_(formulas),
        options_(options),
        tensors_(checked(formulas, options, where)),
        trace_(loss, tensors_, "check_derivation", where),
        names_(trace_) {
    for (const Tensor& tensor : tensors_) {
      const std::uint32_t i = trace_.find(tensor);
      if (i == trace_.loss())
        throw GradError(
            fmt::format("check_derivation: {} is the loss itself, and its gradient is 1",
                        describe(tensor)),
            where, "check the gradients of the tensors that it was computed from");
      if (i == Traversal::none || !trace_.gradient(i))
        throw GradError(
            fmt::format("check_derivation: the loss does not depend on {}", describe(tensor)),
            where, "check the gradients of the tensors that the loss was computed from");
      places_.push_back(i);
    }
    for (std::uint32_t i = 0; i < trace_.size(); ++i)
      has_f32_ = has_f32_ || trace_.node(i).dtype() == f32;
    autograd_ = grad(loss, tensors_, {.retain_graph = true}, where);
  }

  DerivationReport run() {
    // In the order of the chain, so that each is judged by the person's own earlier ones.
    std::map<std::uint32_t, std::size_t> formula_at;
    for (std::size_t k = 0; k < formulas_.size(); ++k) formula_at[places_[k]] = k;
    DerivationReport report;
    report.verdicts_.resize(formulas_.size());
    Environment own = trace_.environment();
    for (const std::uint32_t i : trace_.order()) {
      const auto found = formula_at.find(i);
      if (found == formula_at.end()) {
        if (trace_.is_named(i)) own.gradients[i] = evaluate(trace_.gradient(i), own);
        continue;
      }
      const std::size_t k = found->second;
      FormulaVerdict& verdict = report.verdicts_[k];
      judge(k, i, own, verdict);
      if (!verdict.ok && !verdict.inherited && report.first_wrong() == nullptr)
        report.first_wrong_ = k;
      const Tensor by_hand = to(formulas_[k].by_hand.detach(), f64);
      // A value of another shape cannot take part in what follows.
      own.gradients[i] =
          by_hand.shape() == trace_.node(i).shape() ? by_hand : evaluate(trace_.gradient(i), own);
    }
    return report;
  }

 private:
  static std::vector<Tensor> checked(std::span<const Formula> formulas, const CheckOptions& options,
                                     const Where& where) {
    if (!(options.tolerance >= 0))
      throw ValueError(fmt::format("check_derivation: the tolerance is {}", options.tolerance),
                       where, "0 for the usual one");
    if (formulas.empty()) throw ValueError("check_derivation: no formulas", where);
    std::vector<Tensor> tensors;
    for (const Formula& formula : formulas) {
      const auto fail = [&](const char* problem) {
        throw ValueError(fmt::format("check_derivation: formula {}: {}", formula.name, problem),
                         where);
      };
      if (!formula.of.defined()) fail("the tensor that it is the gradient for is undefined");
      if (!formula.by_hand.defined()) fail("its value is undefined");
      if (!is_floating(formula.by_hand.dtype()))
        throw DTypeError(fmt::format("check_derivation: formula {} is {}", formula.name,
                                     name_of(formula.by_hand.dtype())),
                         where);
      if (!formula.of.requires_grad())
        throw GradError(fmt::format("check_derivation: formula {}: {} does not require gradients",
                                    formula.name, describe(formula.of)),
                        where, "call requires_grad_() on it before the computation");
      for (const Tensor& earlier : tensors)
        if (earlier.node() == formula.of.node()) fail("there is one for this tensor already");
      tensors.push_back(formula.of);
    }
    return tensors;
  }

  void judge(std::size_t k, std::uint32_t i, const Environment& own, FormulaVerdict& verdict) {
    const Formula& formula = formulas_[k];
    const Tensor by_hand = to(formula.by_hand.detach(), f64);
    const Tensor right = to(autograd_[k].detach(), f64);
    verdict.name = formula.name;
    verdict.expected = right.shape();
    verdict.given = by_hand.shape();
    const std::vector<double> expected = numbers(right);
    const double scale = largest(expected);
    const DType dtype = formula.of.dtype();
    const bool single = dtype == f32 || formula.by_hand.dtype() == f32;
    const double tolerance = options_.tolerance > 0 ? options_.tolerance : (single ? 1e-4 : 1e-10);
    // Autograd against the same rules in f64. That is what f32 costs here, where there is any;
    // without it, the engine and what it is said to compute must agree.
    const double apart = largest_difference(expected, numbers(trace_.environment().gradients[i]));
    const double noise = has_f32_ && std::isfinite(apart) ? apart : 0;
    const bool engine_ok = has_f32_ || apart <= std::max(tolerance, 1e-9) * scale;
    const double allowed = std::max(tolerance * scale, 16 * noise);

    std::int64_t worst = 0;
    if (verdict.given == verdict.expected) {
      const std::vector<double> given = numbers(by_hand);
      for (std::size_t e = 0; e < given.size(); ++e) {
        const double difference = derivation::difference(given[e], expected[e]);
        if (difference > 0)
          verdict.ulps = std::max(verdict.ulps, difference / ulp(expected[e], single ? f32 : f64));
        if (difference > verdict.absolute_error || std::isnan(difference)) {
          verdict.absolute_error = difference;
          worst = static_cast<std::int64_t>(e);
          if (std::isnan(difference)) break;
        }
      }
      verdict.relative_error = scale > 0 ? verdict.absolute_error / scale : verdict.absolute_error;
      verdict.ok = verdict.absolute_error <= allowed;
      if (!given.empty()) verdict.by_hand = given[static_cast<std::size_t>(worst)];
    } else {
      verdict.absolute_error = verdict.relative_error = verdict.ulps = verdict.by_hand =
          std::numeric_limits<double>::quiet_NaN();
    }
    if (!expected.empty()) {
      verdict.worst = position_of(worst, verdict.expected);
      verdict.by_autograd = expected[static_cast<std::size_t>(worst)];
      verdict.by_differences = difference_at(i, worst);
      verdict.autograd_ok = engine_ok && agrees_in_a_direction(i, right, scale, single);
    } else {
      verdict.autograd_ok = true;
    }

    const Expr simplest = derivation::simplified(trace_, i, points_).back().expression;
    verdict.derived = names_.text(simplest);
    if (verdict.ok) return;
    const Tensor by_own = evaluate(trace_.gradient(i), own);
    if (verdict.given == verdict.expected) {
      const double own_allowed =
          std::max({allowed, tolerance * largest(numbers(by_own)), 16 * noise});
      verdict.inherited = largest_difference(numbers(by_hand), numbers(by_own)) <= own_allowed;
    }
    if (verdict.inherited) return;
    const Tensor accumulated = formula.of.grad();
    derivation::Suspect suspect{i,
                                simplest,
                                by_hand,
                                by_own,
                                own,
                                allowed,
                                accumulated.defined() ? to(accumulated.detach(), f64) : Tensor()};
    verdict.diagnosis = derivation::diagnose(
        trace_, suspect, [&](const Expr& expression) { return names_.text(expression); });
  }

  double loss_with(std::uint32_t i, const Tensor& value) const {
    return trace_.replay().changed(i, value)[trace_.loss()].item<double>();
  }
  // (L(x + h v) − L(x − h v)) / 2h. The error is h² times a third derivative and rounding over h;
  // both are small for a cube root of the precision.
  double difference_along(std::uint32_t i, const Tensor& direction) const {
    const NoGrad guard;
    const Tensor& x = trace_.replay().value(i);
    const double h = 6e-6 * std::max(1.0, largest(numbers(x)));
    return (loss_with(i, x + direction * h) - loss_with(i, x - direction * h)) / (2 * h);
  }
  double difference_at(std::uint32_t i, std::int64_t position) const {
    Tensor unit = zeros(trace_.node(i).shape(), f64);
    unit.mutable_data<double>()[static_cast<std::size_t>(position)] = 1;
    return difference_along(i, unit);
  }
  bool agrees_in_a_direction(std::uint32_t i, const Tensor& gradient, double scale,
                             bool single) const {
    Generator generator(i + 1);
    const Tensor direction = randn(gradient.shape(), generator, f64);
    const NoGrad guard;
    const double expected = sum(direction * gradient).item<double>();
    const double size = scale * std::sqrt(static_cast<double>(gradient.numel()));
    const double loss = std::abs(trace_.replay().value(trace_.loss()).item<double>());
    return std::abs(difference_along(i, direction) - expected) <=
           (single ? 1e-3 : 1e-5) * size + 1e-9 * std::max(1.0, loss);
  }

  std::span<const Formula> formulas_;
  CheckOptions options_;
  std::vector<Tensor> tensors_;
  Trace trace_;
  derivation::Naming names_;
  std::vector<std::uint32_t> places_;
  std::vector<Tensor> autograd_;
  std::vector<Environment> points_ = derivation::certifying_points(trace_);
  bool has_f32_ = false;
};

bool DerivationReport::ok() const noexcept {
  return std::ranges::all_of(verdicts_,
                             [](const FormulaVerdict& v) { return v.ok && v.autograd_ok; });
}

const FormulaVerdict* DerivationReport::first_wrong() const noexcept {
  return first_wrong_ < verdicts_.size() ? &verdicts_[first_wrong_] : nullptr;
}

DerivationReport check_derivation(const Tensor& loss, std::span<const Formula> formulas,
                                  CheckOptions options, Where where) {
  return detail::naming_memory("check_derivation", where, [&] {
    return DerivationChecker(loss, formulas, options, where).run();
  });
}

DerivationReport check_derivation(const Tensor& loss, std::initializer_list<Formula> formulas,
                                  CheckOptions options, Where where) {
  return check_derivation(loss, std::span(formulas.begin(), formulas.size()), options, where);
}

}  // namespace chainrule
