#pragma once

#include <cstddef>
#include <vector>

#include <chainrule/graph/checking/check_derivation.hpp>

namespace chainrule::derivation {

/// The differences that a report shows of a formula, into its verdict; returns where they are
/// largest, where elements that are wrong come before those that were rounded. `single`: in units
/// of f32.
std::size_t measure(const std::vector<double>& given, const std::vector<double>& expected,
                    const std::vector<bool>& wrong, bool single, FormulaVerdict& verdict);

}  // namespace chainrule::derivation
