#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace examples {

/// The part of the images whose label was predicted. Both are i64 (images).
double accuracy(const chainrule::Tensor& labels, const chainrule::Tensor& predicted);

/// Which digits were taken for which: a row for each true digit, a column for each predicted one,
/// and at the end how many of that digit were recognised. `labels` and `predicted` are i64
/// (images), from 0 to 9.
std::string confusion_matrix(const chainrule::Tensor& labels, const chainrule::Tensor& predicted);

}  // namespace examples
