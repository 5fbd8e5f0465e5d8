// The table of references, and those of the elementwise ops.
#include <chainrule/tests/ops/references/references.hpp>

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;

// A reference made of a function of one, two or three numbers.
template <auto f>
Array unary(In in, Label) {
  return map(in[0], f);
}
template <auto f>
Array binary(In in, Label) {
  return map(in[0], in[1], f);
}

constexpr auto add = [](Real x, Real y) { return x + y; };
constexpr auto sub = [](Real x, Real y) { return x - y; };
constexpr auto mul = [](Real x, Real y) { return x * y; };
constexpr auto div = [](Real x, Real y) { return x / y; };
constexpr auto pow = [](Real x, Real y) { return std::pow(x, y); };
constexpr auto neg = [](Real x) { return -x; };
constexpr auto square = [](Real x) { return x * x; };
constexpr auto reciprocal = [](Real x) { return 1 / x; };
constexpr auto sqrt = [](Real x) { return std::sqrt(x); };
constexpr auto exp = [](Real x) { return std::exp(x); };
constexpr auto expm1 = [](Real x) { return std::expm1(x); };
constexpr auto log = [](Real x) { return std::log(x); };
constexpr auto log1p = [](Real x) { return std::log1p(x); };
constexpr auto sin = [](Real x) { return std::sin(x); };
constexpr auto cos = [](Real x) { return std::cos(x); };
constexpr auto tanh = [](Real x) { return std::tanh(x); };
constexpr auto abs = [](Real x) { return std::abs(x); };
constexpr auto sign = [](Real x) { return x > 0 ? 1 : x < 0 ? -1 : x; };
constexpr auto relu = [](Real x) { return x > 0 ? x : std::isnan(x) ? x : 0; };
// By their definitions: in long double e^x holds up to x = 11356.
constexpr auto sigmoid = [](Real x) { return 1 / (1 + std::exp(-x)); };
constexpr auto softplus = [](Real x) { return std::log1p(std::exp(x)); };
constexpr auto log_sigmoid = [](Real x) { return -std::log1p(std::exp(-x)); };

// The cotangent times the derivative at x (of relu: or at its result).
constexpr auto sigmoid_slope = [](Real g, Real x) { return g * sigmoid(x) * sigmoid(-x); };
constexpr auto tanh_slope = [](Real g, Real x) { return g / (std::cosh(x) * std::cosh(x)); };
constexpr auto sigmoid_curvature = [](Real g, Real x) { return -g * std::tanh(x / 2); };
constexpr auto erf_slope = [](Real g, Real x) {
  return g * 2 * std::numbers::inv_sqrtpi_v<Real> * std::exp(-x * x);
};
constexpr auto relu_slope = [](Real g, Real y) { return y > 0 ? g : 0; };

constexpr auto larger = [](Real x, Real y) { return x > y || std::isnan(x) ? x : y; };
constexpr auto smaller = [](Real x, Real y) { return x < y || std::isnan(x) ? x : y; };

constexpr auto eq = [](Real x, Real y) { return Real(x == y); };
constexpr auto ne = [](Real x, Real y) { return Real(x != y); };
constexpr auto lt = [](Real x, Real y) { return Real(x < y); };
constexpr auto le = [](Real x, Real y) { return Real(x <= y); };
constexpr auto gt = [](Real x, Real y) { return Real(x > y); };
constexpr auto ge = [](Real x, Real y) { return Real(x >= y); };

constexpr auto both = [](Real x, Real y) { return x * y; };
constexpr auto either = [](Real x, Real y) { return Real(x + y > 0); };
constexpr auto not_ = [](Real x) { return 1 - x; };
constexpr auto isnan = [](Real x) { return Real(x != x); };
constexpr auto isinf = [](Real x) { return Real(std::abs(x) > std::numeric_limits<Real>::max()); };
constexpr auto isfinite = [](Real x) {
  return Real(std::abs(x) <= std::numeric_limits<Real>::max());
};

Array clamp(In in, Label label) {
  const Real infinity = std::numeric_limits<Real>::infinity();
  const auto [low, high] = label == "from below" ? std::pair<Real, Real>{0, infinity}
                           : label == "integers" ? std::pair<Real, Real>{-1, 2}
                                                 : std::pair<Real, Real>{-0.5, 1.5};
  return map(in[0], [low = low, high = high](Real x) {
    return x < low ? low : x > high ? high : x;
  });
}

Array where(In in, Label) {
  return map(in[0], in[1], in[2], [](Real c, Real x, Real y) { return c != 0 ? x : y; });
}

constexpr Entry entries[] = {
    {"abs", unary<abs>},
    {"add", binary<add>},
    {"clamp", clamp},
    {"cos", unary<cos>},
    {"div", binary<div>},
    {"eq", binary<eq>},
    {"erf", unary<[](Real x) { return std::erf(x); }>},
    {"erf_slope", binary<erf_slope>},
    {"exp", unary<exp>},
    {"expm1", unary<expm1>},
    {"ge", binary<ge>},
    {"gt", binary<gt>},
    {"isfinite", unary<isfinite>},
    {"isinf", unary<isinf>},
    {"isnan", unary<isnan>},
    {"le", binary<le>},
    {"log", unary<log>},
    {"log1p", unary<log1p>},
    {"log_of_sigmoid", unary<log_sigmoid>},
    {"log_sigmoid", unary<log_sigmoid>},
    {"logical_and", binary<both>},
    {"logical_not", unary<not_>},
    {"logical_or", binary<either>},
    {"lt", binary<lt>},
    {"maximum", binary<larger>},
    {"minimum", binary<smaller>},
    {"mul", binary<mul>},
    {"ne", binary<ne>},
    {"neg", unary<neg>},
    {"pow", binary<pow>},
    {"reciprocal", unary<reciprocal>},
    {"relu", unary<relu>},
    {"relu_slope", binary<relu_slope>},
    {"sigmoid", unary<sigmoid>},
    {"sigmoid_curvature", binary<sigmoid_curvature>},
    {"sigmoid_slope", binary<sigmoid_slope>},
    {"sign", unary<sign>},
    {"sin", unary<sin>},
    {"softplus", unary<softplus>},
    {"sqrt", unary<sqrt>},
    {"square", unary<square>},
    {"sub", binary<sub>},
    {"tanh", unary<tanh>},
    {"tanh_slope", binary<tanh_slope>},
    {"where", where},
    {"wrong_mul", binary<mul>},  // of a test's own op
};

}  // namespace

std::span<const Entry> elementwise() { return entries; }

Function of(std::string_view op) {
  for (const std::span<const Entry> family :
       {elementwise(), linear(), arrangement(), reduction(), softmax_family(), fused()})
    for (const Entry& entry : family)
      if (entry.op == op) return entry.function;
  return nullptr;
}

}  // namespace reference
