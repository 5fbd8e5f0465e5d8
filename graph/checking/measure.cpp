#include <chainrule/graph/checking/measure.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

// The distance from |x| to the next number of the dtype.
double ulp(double x, DType dtype) {
  if (dtype == f64) return std::nextafter(std::abs(x), HUGE_VAL) - std::abs(x);
  const float y = std::abs(static_cast<float>(x));
  return std::nextafter(y, HUGE_VALF) - y;
}

}  // namespace

std::size_t measure(const std::vector<double>& given, const std::vector<double>& expected,
                    const std::vector<bool>& wrong, bool single, FormulaVerdict& verdict) {
  std::size_t worst = 0;
  std::pair<bool, double> most{false, -1};
  for (std::size_t e = 0; e < given.size(); ++e) {
    const double difference = derivation::difference(given[e], expected[e]);
    if (difference > 0 && std::isfinite(difference))
      verdict.ulps = std::max(verdict.ulps, difference / ulp(expected[e], single ? f32 : f64));
    if (!std::isfinite(difference)) verdict.ulps = difference;
    // What is wrong comes before what was rounded.
    const std::pair<bool, double> mine{wrong[e], difference};
    if (mine > most || std::isnan(difference)) {
      most = mine;
      worst = e;
    }
    if (difference > verdict.absolute_error || std::isnan(difference))
      verdict.absolute_error = difference;
    if (std::isnan(difference)) break;
  }
  const double scale = largest(expected);
  verdict.relative_error = scale > 0 ? verdict.absolute_error / scale : verdict.absolute_error;
  if (!given.empty()) verdict.by_hand = given[worst];
  return worst;
}

}  // namespace chainrule::derivation
