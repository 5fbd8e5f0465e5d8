#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/tensor.hpp>
#include <chainrule/graph/functional.hpp>

namespace chainrule {

/// A gradient as a person derived it: its name, the tensor that it is the gradient for (a leaf or
/// an intermediate result of the graph), and what the formula gives:
///
///     {"dW3", W3, matmul(p - y, h2.T())}
///
/// What was computed without recording, in loops over numbers say, is known at the recorded values
/// alone. As a function it is asked for other values of the parameters, too:
///
///     {"dW3", W3, {}, {p, h2}, [&](std::span<const Tensor> at) { return by_loops(at[0], at[1]); }}
struct Formula {
  std::string name;
  Tensor of;
  Tensor by_hand{};            ///< what the formula gives; undefined where `function` says it
  std::vector<Tensor> from{};  ///< what the function gets, in f64: each tensor of the graph that
                               ///< the formula depends on
  Function function{};
};

struct CheckOptions {
  /// A difference that counts as rounding in any case, in units of the largest element of the
  /// gradient. What rounding does to each element is found out, so that 0 serves nearly always.
  double tolerance = 0;
};

/// What check_derivation() found for one formula.
struct FormulaVerdict {
  std::string name;
  Shape expected;   ///< the shape of the tensor
  Shape given;      ///< the shape of the formula's value
  bool ok = false;  ///< right, by autograd or by differences, at the recorded values and, where it
                    ///< can be said, at others
  bool inherited = false;      ///< not ok, but only because of an earlier one that is wrong
  bool here_alone = false;     ///< it, or if inherited its own step, could be asked at the
                               ///< recorded values only
  std::string why_here_alone;  ///< and why; empty if not
  bool autograd_ok = false;  ///< autograd agrees with differences, or the note says why it does not
  double absolute_error = 0;  ///< the largest |by hand − by autograd|; NaN where shapes differ
  double relative_error = 0;  ///< the same in units of the largest element of the gradient
  double ulps = 0;            ///< the largest difference in units in the last place of the dtype
  Shape worst;                ///< the index of the largest difference
  double by_hand = 0, by_autograd = 0, by_differences = 0;  ///< the three numbers there
  std::string derived;    ///< the formula that the chain rule gives, "dz3·(h2)ᵀ"
  std::string diagnosis;  ///< what is wrong, if it was found out
  std::string note;       ///< where autograd, differences and formula do not all agree: why
};

/// The verdicts of check_derivation(), in the order of the formulas.
class DerivationReport {
 public:
  const std::vector<FormulaVerdict>& verdicts() const& noexcept { return verdicts_; }
  std::vector<FormulaVerdict> verdicts() && noexcept { return std::move(verdicts_); }
  /// True when every formula is right, and autograd agrees with differences or a note says why not;
  /// false also of a report that was moved from, which has no verdict.
  bool ok() const noexcept;
  /// The earliest formula in the backward chain that is wrong by itself; null when there is none.
  const FormulaVerdict* first_wrong() const noexcept;

  /// A table for a terminal, and a line for each formula that is wrong.
  std::string text(bool colour = false, Where where = Where::current()) const;
  /// Prints text(), in colour on a terminal unless NO_COLOR is set (https://no-color.org).
  void print(std::FILE* out = stdout, Where where = Where::current()) const;
  std::string markdown(Where where = Where::current()) const;
  std::string json(Where where = Where::current()) const;

 private:
  friend class DerivationChecker;
  std::vector<FormulaVerdict> verdicts_;
  std::size_t first_wrong_ = static_cast<std::size_t>(-1);
};

/// Compares formulas for gradients of `loss` with autograd and with central differences in f64. A
/// formula that is wrong, also one of another shape, is a verdict, not an exception. Throws
/// GradError when the loss is no scalar, has no graph or a released one, or does not depend on a
/// tensor, and for an op or a gradient rule that derive() refuses, too; ValueError for an
/// undefined tensor, no formulas, two for one tensor, a formula that is given twice, as a value and
/// as a function, a negative tolerance, or an operation that does not repeat; what a formula's
/// function throws at the recorded values; DTypeError for a formula of integers. Formulas count in
/// f64 or in the dtype of their tensor. Ask before backward() releases the graph.
DerivationReport check_derivation(const Tensor& loss, std::span<const Formula> formulas,
                                  CheckOptions options = {}, Where where = Where::current());
DerivationReport check_derivation(const Tensor& loss, std::initializer_list<Formula> formulas,
                                  CheckOptions options = {}, Where where = Where::current());

}  // namespace chainrule

template <>
struct fmt::formatter<chainrule::DerivationReport> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const chainrule::DerivationReport& report, fmt::format_context& context) const {
    auto out = context.out();
    for (const char c : report.text(false, {})) *out++ = c;
    return out;
  }
};
