#pragma once

#include <span>
#include <vector>

#include <chainrule/graph/checking/check_derivation.hpp>

namespace chainrule::derivation {

/// The formulas, where those that are given as functions have a value, too, at what was recorded.
/// Throws for what cannot be asked so, as check_derivation() says.
std::vector<Formula> with_values(std::span<const Formula> given, const Where& where);

/// The tensors that they are the gradients for; throws for formulas that cannot be compared.
std::vector<Tensor> tensors_of(std::span<const Formula> formulas, const CheckOptions& options,
                               const Where& where);

}  // namespace chainrule::derivation
