#pragma once

#include <filesystem>
#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

struct EmitOptions {
  /// What the files, and the namespace in them, are called: an identifier of C++.
  std::string name = "model";
  /// A result that is wanted for other data than the recorded, such as the probabilities: gives a
  /// function predict(). It must be something that the loss was computed from.
  Tensor predict{};
};

/// The text of three files, which need Eigen 3.4 and C++17, and not this library.
struct EmittedCode {
  std::string name;
  std::string header;  ///< <name>.hpp: forward(), backward(), and predict() where asked for
  std::string values;  ///< <name>_values.hpp: the parameters and data that were recorded
  std::string test;    ///< <name>_test.cpp: a doctest against the numbers of this library

  /// Writes the files into a folder, which is made if need be. Each is complete, or as it was
  /// before. Throws IoError with the system's reason, ValueError where the name is no identifier.
  void write(const std::filesystem::path& folder, Where where = Where::current()) const;
};

/// The program that computed the scalar `loss`, and its derivation, as C++ that a person might have
/// written: a line for every named result and every gradient, as derive() has them, with the
/// formula beside it. A tensor of one element becomes a double, one of one axis an
/// Eigen::VectorXd, one of two axes an Eigen::MatrixXd. It computes in f64, whatever the graph did.
/// Names of tensors become names of C++; what has none gets a short one.
///
/// Valid for the program that ran: numbers that it took from the data's shape (such as the N in
/// loss / N) stay as they were, and so do masks, but for those that formulas show as comparisons.
/// Throws errors as derive() does; ValueError, with the line, for tensors of more than two axes and
/// for an op that Eigen has nothing for, unless Op::written_out() says it in simpler ones. Ask
/// before backward() releases the graph.
EmittedCode emit_cpp(const Tensor& loss, const EmitOptions& options = {},
                     Where where = Where::current());

}  // namespace chainrule
