#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule::derivation {

/// The elements of a tensor of at most two axes in brackets, for LaTeX's math mode and for MathML;
/// of larger ones the first and last rows and columns. Nothing for more axes.
std::string value_in_latex(const Tensor& value);
std::string value_in_mathml(const Tensor& value);

}  // namespace chainrule::derivation
