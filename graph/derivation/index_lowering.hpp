#pragma once

#include <string>
#include <vector>

#include <chainrule/core/eigen_form.hpp>
#include <chainrule/graph/derivation/index_terms.hpp>

namespace chainrule::derivation {

/// From whole tensors to elements, operation by operation: index_lower.cpp, and index_places.cpp
/// for those that put elements into places.
class Lowering {
 public:
  /// Both outlive it.
  Lowering(const Environment& environment, Letters& letters)
      : environment_(environment), letters_(letters) {}

  /// What stands at these positions of an expression.
  IndexFormula of(const Expr& e, const Indices& at);

 private:
  IndexFormula operand(const Expr& e, std::size_t k, const Indices& at);
  IndexFormula operation(const Expr& e, const Indices& at);
  IndexFormula by_form(const Expr& e, const Indices& at);
  IndexFormula notation(const Expr& e, std::string text, const Indices& at);
  Index new_letter(std::int64_t extent, std::vector<int>& letters);
  IndexFormula lines(const Expr& e, const EigenForm& form, const Indices& at);
  double take_unused(std::vector<int>& letters, const IndexFormula& formula) const;
  IndexFormula reduced(const Expr& e, const Indices& at);
  IndexFormula contraction(std::vector<int> letters, std::vector<IndexFormula> factors);
  IndexFormula inner(const Expr& e);
  IndexFormula matrix(const Expr& e, const Role& role, const Indices& at);
  IndexFormula scattered(const Expr& e, const Indices& at);
  IndexFormula joined(const Expr& e, const Indices& at);
  IndexFormula looked_up(const Expr& e, const LookUp& found, const Indices& at);

  const Environment& environment_;
  Letters& letters_;
  int parts_ = 0, depth_ = 0;
};

}  // namespace chainrule::derivation
