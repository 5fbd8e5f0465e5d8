#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What formulas call the tensors of a graph: by their names, and those without by short ones that
/// nothing else is called by, in any notation: no tensor, gradient, constant or axis.
class Naming {
 public:
  explicit Naming(const Trace& trace);

  std::string tensor(std::uint32_t i);
  /// The same; one without a name is called `name` from here on, if nothing else is.
  std::string tensor(std::uint32_t i, const std::string& name);
  std::string constant(const Expression& constant);
  /// Of a tensor, the tensor of a gradient, or a constant.
  std::string symbol(const Expression& e);
  /// A formula; with numbers of layers in names relative to `layer`, where it is given. Results
  /// without names are shown by short formulas of their own where that reads as well.
  std::string text(const Expr& expression, Format format = Format::unicode,
                   const std::optional<InLayer>& layer = std::nullopt);
  /// The same where it says what a result without a name is.
  std::string definition(const Expr& expression, Format format,
                         const std::optional<InLayer>& layer = std::nullopt);
  /// A formula with every result under its name.
  std::string text_as_it_is(const Expr& expression, Format format = Format::unicode);
  /// What text() shows for an expression: those formulas in their places.
  Expr inlined(const Expr& expression);
  /// What text() calls the symbols of a formula, which it meets.
  Names names();
  /// The results without names, or with a name that others have, too, that text() met, and those
  /// that their formulas need.
  std::set<std::uint32_t> abbreviated();
  /// What a program says of what has another name here, as ", also called t" where others are
  /// called so, too, and ", the values of h" where h was detached; empty for others.
  std::string in_the_program(const Expression& symbol) const;
  /// The parameters and data without names of their own that text() met: tensors and constants.
  const std::vector<Expr>& data() const noexcept { return data_; }

 private:
  bool is_free(std::string_view name) const;
  void take(std::string_view name);
  std::string derivative_of(std::string_view name) const;
  std::string unused(const std::string& letter);
  std::string short_name(std::uint32_t i);
  std::optional<int> number_of(std::uint32_t i) const;
  bool begins_steps(std::uint32_t leaf) const;
  std::optional<int> number_below(std::uint32_t i, int depth) const;
  void meet(const Expression& symbol);
  Expr in_place_of(std::uint32_t i);
  Expr with_inlined_operands(const Expr& expression) const;

  const Trace& trace_;
  std::vector<std::uint32_t> users_, user_;  // of each tensor: how many operations, and the last
  std::map<std::uint32_t, Expr> in_place_;   // null: it is called by a name
  std::map<std::uint32_t, std::string> given_names_, short_names_;
  std::map<const Value*, std::string> constants_;
  std::map<std::string, int> counts_;
  std::set<std::string> taken_, derivatives_;  // names, and what their derivatives are called
  std::set<std::uint32_t> numbered_;           // that have a name's number from here
  std::set<std::uint32_t> met_, given_;
  std::vector<Expr> data_;
};

}  // namespace chainrule::derivation
