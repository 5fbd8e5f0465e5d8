#pragma once

#include <functional>
#include <span>

#include <chainrule/core/role.hpp>
#include <chainrule/core/tensor.hpp>

namespace chainrule::detail {

/// What an op of this role made of its operands, moved by `adjust` where it was rounded: not what
/// only moves, selects, compares or turns signs; nor an element of any other that is one of the
/// operands', as those of max and clamp are. What is equal stays so.
Tensor adjusted_where_rounded(const Role& role, std::span<const Tensor> operands, Tensor result,
                              const std::function<Tensor(Tensor)>& adjust);

}  // namespace chainrule::detail
