#include <chainrule/graph/derivation/compare.hpp>

#include <algorithm>
#include <cmath>

#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::derivation {

std::vector<double> numbers(const Tensor& x) { return to(x.detach(), f64).to_vector<double>(); }

double difference(double a, double b) noexcept {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  return std::abs(a - b);
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = difference(a[i], b[i]);
    if (std::isnan(d)) return d;
    most = std::max(most, d);
  }
  return most;
}

double largest(const std::vector<double>& x) {
  double most = 0;
  for (const double element : x)
    if (std::isfinite(element)) most = std::max(most, std::abs(element));
  return most;
}

bool nearly_equal(const Tensor& a, const Tensor& b, double tolerance, double allowed) {
  if (a.shape() != b.shape()) return false;
  const std::vector<double> x = numbers(a), y = numbers(b);
  return largest_difference(x, y) <= std::max(allowed, tolerance * largest(x));
}

}  // namespace chainrule::derivation
