#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/emission/eigen.hpp>
#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule::emission {

/// What the emitted functions consist of: a derivation with names and lines of C++.
class Program {
 public:
  /// A parameter or data that a function is given, or a gradient that it returns.
  struct Variable {
    std::string identifier;
    std::string called;  ///< in formulas
    Tensor value;        ///< as recorded, in f64
    bool mask = false;   ///< boolean in the program
  };
  struct Line {
    std::string identifier;
    Shape shape;
    std::string code;
    std::string formula;  ///< "z1 = W1·x + b1"; empty for a part of the next line
    bool returned;        ///< to the caller, and not for this function alone
  };

  /// `predicted` may be undefined.
  Program(const derivation::Chain& chain, const Tensor& predicted, const Where& where);

  const std::vector<Variable>& parameters() const noexcept { return parameters_; }
  const std::vector<Variable>& data() const noexcept { return data_; }
  const std::vector<Variable>& gradients() const noexcept { return gradients_; }
  const std::vector<Line>& forward() const noexcept { return forward_; }
  const std::vector<Line>& backward() const noexcept { return backward_; }
  /// Which gradient is that of which parameter.
  const std::vector<std::pair<std::string, std::string>>& pairs() const noexcept { return pairs_; }
  /// The loss: a line of forward().
  const Variable& loss() const noexcept { return loss_; }

  /// The lines that lead to what is predicted, the last one, and which of the data they need.
  const std::vector<Line>& prediction() const noexcept { return prediction_; }
  const std::vector<Variable>& predicts_from() const noexcept { return predicts_from_; }
  const Variable& predicted() const noexcept { return predicted_; }

  /// Definitions of the functions that the lines call.
  const std::string& functions() const noexcept { return functions_; }

 private:
  void find_forward(std::uint32_t predicted);
  void name_all();
  void write_lines(std::uint32_t predicted);
  void define_functions();
  Tensor places_of(const Expr& slope, const Shape& shape, double first) const;
  std::string slope_body(const Expr& slope, const Tensor& at);
  std::string slope_function_of_doubles(const std::string& name, const Expr& slope);
  std::string slope_function_of_matrices(const std::string& name, const Expr& slope);
  Expr in_terms_of_data(const Expr& expression);
  std::vector<std::uint32_t> behind(std::uint32_t i) const;
  std::vector<Line> lines_for(const std::vector<std::pair<Expr, Line>>& formulas);
  std::vector<Line> lines_for(EigenWriter& writer,
                              const std::vector<std::pair<Expr, Line>>& formulas);
  std::string identifier_of(const Expression& symbol);
  std::vector<Expr> with_shared_parts(const std::vector<std::pair<Expr, Line>>& formulas) const;

  const derivation::Chain& chain_;
  const derivation::Trace& trace_;
  derivation::Naming names_;
  Identifiers identifiers_;
  Helpers helpers_;
  std::map<std::string, std::pair<Expr, std::set<bool>>> slopes_;  // whether of doubles, matrices

  std::vector<Expr> formulas_;  // of the results that get a line; null for others
  std::vector<Expr> gradients_as_shown_, gradient_formulas_;  // of the chain's links
  std::vector<Expr> constants_;
  std::set<const Value*> given_;  // data of the program: operands, as they are
  int shared_parts_ = 0;
  std::map<std::uint32_t, std::string> tensors_, gradients_of_;  // their identifiers
  std::vector<Variable> parameters_, data_, gradients_, predicts_from_;
  std::vector<Line> forward_, backward_, prediction_;
  std::vector<std::pair<std::string, std::string>> pairs_;
  Variable loss_, predicted_;
  std::string functions_;
};

}  // namespace chainrule::emission
