#pragma once

#include <utility>
#include <vector>

#include <chainrule/core/tensor.hpp>

/// Losses of operations that the library does not have, with a label each: emitted code is made
/// from what an op says of itself.
std::vector<std::pair<const char*, chainrule::Tensor>> own_op_losses();
/// Of operations with every kind of form in Eigen, on every kind of operand.
std::vector<std::pair<const char*, chainrule::Tensor>> own_form_losses();
