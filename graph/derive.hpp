#pragma once

#include <fmt/core.h>

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The chain rule as it was applied to one recorded program: a formula for the gradient of every
/// parameter and every named result, from the loss backwards. What the gradient rules computed is
/// what it shows; each simplification was checked with numbers before it was taken.
class Derivation {
 public:
  /// A formula in three notations.
  struct Formula {
    std::string text;    ///< Unicode: "dz3·(h2)ᵀ"
    std::string latex;   ///< for math mode, of amsmath
    std::string mathml;  ///< what stands inside of <math>
  };
  /// One form of a formula, and why it equals the one before ("Σ y = 1").
  struct Form {
    Formula formula;
    std::string reason;
  };
  struct Step {
    Formula gradient;  ///< dW3
    std::string of;    ///< "W3"
    Shape shape;
    std::vector<Form> forms;  ///< from what the rules gave to the simplest one found

    const Formula& formula() const noexcept { return forms.back().formula; }
  };
  /// What a formula abbreviates: t1 = W·x + b.
  struct Definition {
    Formula name;
    Formula formula;
    bool only_in_full = false;  ///< only forms before the last ones need it
  };

  const std::vector<Step>& steps() const noexcept { return steps_; }
  const std::vector<Definition>& definitions() const noexcept { return definitions_; }
  /// All steps, a line each; with the forms before the last, and reasons, when `in_full`.
  std::string text(bool in_full = false) const;
  /// An align* environment of amsmath.
  std::string latex(bool in_full = false) const;
  /// A table with formulas in LaTeX between dollar signs.
  std::string markdown(bool in_full = false) const;
  /// A whole page with formulas in MathML, which needs nothing else.
  std::string html(bool in_full = true) const;
  /// The table of that page alone, to be put into another.
  std::string html_table(bool in_full = true) const;

 private:
  friend class DerivationBuilder;
  // Calls row(left side, right side, reason) for every line.
  template <class Row>
  void rows(bool in_full, Row&& row) const;

  std::vector<Step> steps_;
  std::vector<Definition> definitions_;
};

/// Derives the gradients of the scalar `loss` for all parameters and named results that it was
/// computed from. For the program that ran: other branches of it may have other derivatives.
/// Throws GradError as backward() does, and when something that the loss was computed from was
/// written to since. Ask before backward() releases the graph.
Derivation derive(const Tensor& loss, Where where = Where::current());
/// For these tensors alone, and what they need.
Derivation derive(const Tensor& loss, std::span<const Tensor> inputs,
                  Where where = Where::current());
Derivation derive(const Tensor& loss, std::initializer_list<Tensor> inputs,
                  Where where = Where::current());

}  // namespace chainrule

template <>
struct fmt::formatter<chainrule::Derivation> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const chainrule::Derivation& derivation, fmt::format_context& context) const {
    auto out = context.out();
    for (const char c : derivation.text()) *out++ = c;
    return out;
  }
};
