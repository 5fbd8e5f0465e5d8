#pragma once

#include <string>
#include <vector>

#include <chainrule/core/shape.hpp>
#include <chainrule/examples/backprop_by_hand/derivation.hpp>

namespace by_hand {

/// How far two computations of one gradient are apart.
struct Distance {
  double absolute = 0;  ///< max |a − b|
  double relative = 0;  ///< max |a − b| / max |b|: measured on the largest element of the gradient
  double scale = 0;     ///< max |b|
};
/// Elements of two tensors, as many of each. NaN anywhere gives NaN.
Distance distance(const std::vector<double>& a, const std::vector<double>& b);

/// What a formula may be off by; see Report::to_string().
struct Limits {
  double formula;      ///< relative, between autograd and the formula
  double differences;  ///< relative, between autograd and central differences
};
/// 1e-12 for f64 and 1e-4 for f32 from the formula, 1e-6 from the differences.
Limits limits(chainrule::DType dtype);

/// One formula's row of the table.
struct Row {
  std::string gradient;  ///< "dW3"
  std::string text;      ///< "dz3·(h2)ᵀ"
  chainrule::Shape shape;
  Distance formula;        ///< of autograd from the formula, which is evaluated in f64
  Distance differences;    ///< of autograd in f64 from central differences
  bool formula_ok = true;  ///< whether it is within the limits
  bool differences_ok = true;
  bool inherited = false;  ///< the formula is off only because one that it builds on is
  bool sampled = false;    ///< not all elements were compared with differences
  bool too_small = false;  ///< the differences are mere rounding errors
};

/// The outcome for a whole chain.
struct Report {
  chainrule::DType dtype;
  std::vector<Row> rows;

  bool ok() const;
  /// The table, what its columns mean, and which formulas are off.
  std::string to_string() const;
};

/// Compares autograd's gradients of the loss with a chain of formulas and with central differences,
/// for samples x (64, N) with labels y (10, N), of the network's dtype.
Report check(const Network& network, const chainrule::Tensor& x, const chainrule::Tensor& y,
             const std::vector<HandFormula>& chain);

}  // namespace by_hand
