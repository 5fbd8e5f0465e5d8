#pragma once

#include <fmt/core.h>

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// How much of a derivation is shown.
struct DerivationView {
  /// All forms of each formula, from what the rules gave, with reasons; and the results with names
  /// that the formulas of the parameters pass by.
  bool steps = false;
  bool shapes = false;  ///< of the gradients
  bool norms = false;   ///< √Σg² of each gradient at the recorded point
  bool values = false;  ///< the gradients' elements there
  /// Formulas that differ in the layer's number alone once, for layer k; not with `steps`.
  bool layers_once = false;
  /// Instead of all formulas of a module ("encoder" has encoder.0.weight) one line, for modules of
  /// this many names in a row; 0: of none. A negative number is a ValueError.
  int fold_modules = 0;
  /// Each formula for one element, with a letter for each axis: dWᵢⱼ = Σₙ dzᵢₙ xⱼₙ.
  bool indices = false;
  bool limits = true;  ///< a last line that says what it is valid for
};

/// The chain rule as it was applied to one recorded program: a formula for the gradient of every
/// parameter and every named result, from the loss backwards. What the gradient rules computed is
/// what it shows; each simplification was checked with numbers before it was taken. dW is the
/// gradient of W; where a tensor of the program is called as one of them would be, all gradients
/// are ∇W (or ∂W, if that is taken, too). Where none is left, derive() throws ValueError.
class Derivation {
 public:
  /// A formula in three notations.
  struct Written {
    std::string text;    ///< Unicode: "dz3·(h2)ᵀ"
    std::string latex;   ///< for math mode, of amsmath
    std::string mathml;  ///< what stands inside of <math>
  };
  /// A formula for one element: Σ with its letters, an axis of extent 1 without one, (formula)ᵢⱼ
  /// for what letters do not say.
  struct ByElement {
    Written left;   ///< "dWᵢⱼ"
    Written right;  ///< "Σₙ dzᵢₙ xⱼₙ"
  };
  /// One form of a formula, and why it equals the one before ("Σ y = 1").
  struct Form {
    Written formula;
    std::string reason;
    ByElement by_element;
  };
  /// The formula with numbers of layers relative to its own: dWₖ = dzₖ·(hₖ₋₁)ᵀ for k = 3.
  struct InLayer {
    int k;
    Written gradient;  ///< or what is defined
    Written formula;
    Written with_positions;  ///< the same with positions relative to k: X[k-1]; empty without any
    ByElement by_element;
  };
  struct Step {
    Written gradient;  ///< dW3
    std::string of;    ///< "W3"
    Shape shape;
    std::vector<Form> forms;          ///< from what the rules gave to the simplest one found
    Tensor value;                     ///< the gradient at the recorded point, in f64
    std::string module;               ///< "encoder.0"; "" outside of all
    std::optional<InLayer> in_layer;  ///< nothing where its name has no number
    bool only_in_full = false;        ///< a result that the formulas of the parameters pass by

    const Written& formula() const noexcept { return forms.back().formula; }
  };
  /// What a formula abbreviates: t1 = W·x + b.
  struct Definition {
    Written name;
    Written formula;
    bool only_in_full = false;  ///< only forms before the last ones need it
    ByElement by_element{};
    bool only_by_element = false;  ///< only formulas for one element need it
    std::optional<InLayer> in_layer{};
  };

  const std::vector<Step>& steps() const& noexcept { return steps_; }
  std::vector<Step> steps() && noexcept { return std::move(steps_); }
  const std::vector<Definition>& definitions() const& noexcept { return definitions_; }
  std::vector<Definition> definitions() && noexcept { return std::move(definitions_); }
  /// All steps, a line each.
  std::string text(const DerivationView& view = {}, Where where = Where::current()) const;
  /// An align* environment of amsmath, which goes over pages after \allowdisplaybreaks.
  std::string latex(const DerivationView& view = {}, Where where = Where::current()) const;
  /// A table with formulas in LaTeX between dollar signs.
  std::string markdown(const DerivationView& view = {}, Where where = Where::current()) const;
  /// A whole page with formulas in MathML, which needs nothing else.
  std::string html(const DerivationView& view = {.steps = true},
                   Where where = Where::current()) const;
  /// The table of that page alone, to be put into another.
  std::string html_table(const DerivationView& view = {.steps = true},
                         Where where = Where::current()) const;

 private:
  friend class DerivationBuilder;

  std::vector<Step> steps_;
  std::vector<Definition> definitions_;
};

/// Derives the gradients of the scalar `loss` for all parameters and named results that it was
/// computed from. For the program that ran: other branches of it may have other derivatives.
/// Throws GradError as backward() does, when something behind the loss was written to since, for an
/// op that is not what its role() or written_out() says or whose infer() does not repeat, and for a
/// rule that makes numbers of what it reads, or hands on saved values of others; ValueError for an
/// operation that gives other numbers again. Ask before backward() releases the graph.
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
    for (const char c : derivation.text({}, {})) *out++ = c;
    return out;
  }
};
