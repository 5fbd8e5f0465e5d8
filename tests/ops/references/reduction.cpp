// References of the reductions.
#include <chainrule/tests/ops/references/references.hpp>

#include <cmath>
#include <limits>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;
using Group = std::vector<Real>;

struct Axes {
  Shape axes;  // none: all
  bool keepdim = false;
};

// What the labels of the reductions mean.
Axes axes_in(Label label, const Array& x) {
  if (label == "all" || label == "scalar") return {};
  if (label == "axis 0" || label == "empty") return {{0}};
  if (label == "axis 1" || label == "no rows") return {{1}};
  if (label == "axis 1, kept") return {{1}, true};
  if (label == "outer axes") return {{0, 2}};
  if (label == "last axes") return {{1, 2}};
  if (label == "first, kept") return {{0}, true};
  if (label == "last, kept") return {{x.rank() - 1}, true};
  throw UnknownSample(label);
}

template <class F>
Array reduced(In in, Label label, F f) {
  if (label == "no axis") {
    Array each = in[0];
    for (Real& e : each.v) e = f(Group{e});
    return each;
  }
  const Axes axes = axes_in(label, in[0]);
  return reduce(in[0], axes.axes, axes.keepdim, f);
}

Real total(const Group& x) {
  Real sum = 0;
  for (const Real e : x) sum += e;
  return sum;
}

Real largest(const Group& x) {
  Real best = -std::numeric_limits<Real>::infinity();
  for (const Real e : x) best = e > best ? e : best;
  return best;
}

// Without a shift: long double holds e^±11000, and small arguments lose nothing.
Real log_total_exp(const Group& x) {
  Real sum = 0;
  for (const Real e : x) sum += std::exp(e);
  return std::log(sum);
}

Array sum(In in, Label label) { return reduced(in, label, total); }
Array mean(In in, Label label) {
  return reduced(in, label, [](const Group& x) { return total(x) / static_cast<Real>(x.size()); });
}
Array max(In in, Label label) { return reduced(in, label, largest); }
Array min(In in, Label label) {
  return reduced(in, label, [](Group x) {
    for (Real& e : x) e = -e;
    return -largest(x);
  });
}
Array logsumexp(In in, Label label) { return reduced(in, label, log_total_exp); }

Array all(In in, Label) {
  return reduce(in[0], {0}, false, [](const Group& x) {
    Real product = 1;
    for (const Real e : x) product *= e;
    return product;
  });
}
Array any(In in, Label) {
  return reduce(in[0], {0}, false, [](const Group& x) { return Real(total(x) > 0); });
}

// The position of the first of the best elements, in row-major order over all axes or along axis 1.
template <class Better>
Array position(In in, Label label, Better better) {
  const auto of_group = [&](const Group& x) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < x.size(); ++i)
      if (better(x[i], x[best])) best = i;
    return static_cast<Real>(best);
  };
  if (label == "all") return reduce(in[0], {}, false, of_group);
  if (label == "one axis" || label == "no rows") return reduce(in[0], {1}, false, of_group);
  throw UnknownSample(label);
}
Array argmax(In in, Label label) {
  return position(in, label, [](Real a, Real b) { return a > b; });
}
Array argmin(In in, Label label) {
  return position(in, label, [](Real a, Real b) { return a < b; });
}

// Σ (x − mean)² / (n − correction).
Real variance(const Group& x, Real correction) {
  const Real n = static_cast<Real>(x.size()), mean = total(x) / n;
  Real squares = 0;
  for (const Real e : x) squares += (e - mean) * (e - mean);
  return squares / (n - correction);
}

// The labels begin with the result that they are of: "var, all".
Array var_mean(In in, Label label) {
  const std::size_t comma = label.find(", ");
  if (comma == Label::npos) throw UnknownSample(label);
  const Label what = label.substr(0, comma), axes = label.substr(comma + 2);
  if (what == "var") return reduced(in, axes, [](const Group& x) { return variance(x, 1); });
  if (what == "mean") return mean(in, axes);
  if (what != "both") throw UnknownSample(label);
  return map(reduced(in, axes, [](const Group& x) { return variance(x, 0); }), mean(in, axes),
             [](Real var, Real mean) { return var + mean / 2; });
}

constexpr Entry entries[] = {
    {"all", all},
    {"argmax", argmax},
    {"argmin", argmin},
    {"any", any},
    {"log_of_sum_exp", logsumexp},
    {"logsumexp", logsumexp},
    {"max", max},
    {"mean", mean},
    {"min", min},
    {"sum", sum},
    {"var_mean", var_mean},
};

}  // namespace

std::span<const Entry> reduction() { return entries; }

}  // namespace reference
