#pragma once

#include <cstdint>
#include <vector>

#include <chainrule/core/tensor.hpp>

namespace chainrule::derivation {

/// The elements in f64.
std::vector<double> numbers(const Tensor& x);

/// |a − b|; 0 for equal infinities and for NaN twice; NaN or infinite where only one is.
double difference(double a, double b) noexcept;
/// The largest difference of elements; NaN stays. The shapes are the same.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);

/// The largest |x| that is finite; 0 without one.
double largest(const std::vector<double>& x);

/// Whether two tensors of one shape are equal but for `tolerance` times the largest element of `a`,
/// or for `allowed` where that is more. False for different shapes.
bool nearly_equal(const Tensor& a, const Tensor& b, double tolerance, double allowed = 0);

}  // namespace chainrule::derivation
