#include <chainrule/graph/picture/measures.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::picture {

namespace {

Statistics statistics_of(const Tensor& x) {
  Statistics s;
  if (!x.defined() || x.numel() == 0) return s;
  const std::vector<double> elements = to(x.detach(), f64).to_vector<double>();
  s.least = s.most = elements[0];
  for (const double e : elements) {
    s.least = std::min(s.least, e);
    s.most = std::max(s.most, e);
    s.norm += e * e;
    s.finite &= std::isfinite(e);
  }
  s.norm = std::sqrt(s.norm);
  return s;
}

}  // namespace

Measures::Measures(const derivation::Trace& trace) {
  std::vector<double> norms;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    values.push_back(statistics_of(trace.replay().value(i)));
    gradients.push_back(statistics_of(trace.environment().gradients[i]));
    if (i == trace.loss()) gradients.back().norm = 1;  // dL/dL
    if (gradients.back().norm > 0) norms.push_back(gradients.back().norm);
    if (!values[i].finite && first_bad_value == Traversal::none) first_bad_value = i;
    if (!gradients[i].finite) first_bad_gradient = i;  // the sweep goes from the last to the first
  }
  std::ranges::sort(norms);
  if (!norms.empty()) median = norms[norms.size() / 2];
}

std::string Measures::colour_of(double norm) const {
  if (!(norm > 0) || !(median > 0)) return norm == 0 ? "#9db7e8" : "#ffffff";
  const double decades = std::clamp(std::log10(norm / median) / 3, -1.0, 1.0);
  const int other = static_cast<int>(std::lround(255 - 110 * std::abs(decades)));
  return decades < 0 ? fmt::format("#{0:02x}{0:02x}ff", other)
                     : fmt::format("#ff{0:02x}{0:02x}", other);
}

}  // namespace chainrule::picture
