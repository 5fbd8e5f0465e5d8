#include <chainrule/graph/checking/least_squares.hpp>

#include <cmath>
#include <cstddef>

namespace chainrule::derivation {

LeastSquares least_squares(const std::vector<std::vector<double>>& columns,
                           const std::vector<double>& wanted) {
  // What is left of a column of size 1 without the others is a part of them, if it is so small.
  constexpr double dependent = 1e-7;
  const std::size_t n = columns.size();
  const auto dot = [](const std::vector<double>& x, const std::vector<double>& y) {
    double sum = 0;
    for (std::size_t e = 0; e < x.size(); ++e) sum += x[e] * y[e];
    return sum;
  };
  LeastSquares found{std::vector<double>(n)};
  std::vector<double> sizes(n);
  for (std::size_t i = 0; i < n; ++i) sizes[i] = std::sqrt(dot(columns[i], columns[i]));
  std::vector<std::vector<double>> a(n, std::vector<double>(n + 1));
  for (std::size_t i = 0; i < n; ++i) {
    if (!(sizes[i] > 0)) continue;
    for (std::size_t j = 0; j < n; ++j)
      if (sizes[j] > 0) a[i][j] = dot(columns[i], columns[j]) / (sizes[i] * sizes[j]);
    a[i][n] = dot(columns[i], wanted) / sizes[i];
  }
  std::vector<bool> used(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (!(a[i][i] > dependent)) {
      found.unique = false;
      continue;
    }
    used[i] = true;
    for (std::size_t j = 0; j < n; ++j) {
      if (j == i) continue;
      const double factor = a[j][i] / a[i][i];
      for (std::size_t k = i; k <= n; ++k) a[j][k] -= factor * a[i][k];
    }
  }
  for (std::size_t i = 0; i < n; ++i)
    if (used[i]) found.factors[i] = a[i][n] / a[i][i] / sizes[i];
  return found;
}

}  // namespace chainrule::derivation
