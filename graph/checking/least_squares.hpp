#pragma once

#include <vector>

namespace chainrule::derivation {

/// The factors cₖ for which Σ cₖ columnₖ comes nearest to `wanted`.
struct LeastSquares {
  std::vector<double> factors;  ///< 0 for a column that others make up, or that is 0
  bool unique = true;           ///< whether there are no such columns
};
LeastSquares least_squares(const std::vector<std::vector<double>>& columns,
                           const std::vector<double>& wanted);

}  // namespace chainrule::derivation
