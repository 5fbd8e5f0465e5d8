// References of operations that do several steps in one pass.
#include <chainrule/tests/ops/references/references.hpp>

#include <cmath>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;

// The mean or sum of an array, or itself, as the label begins.
Array reduced(const Array& each, Label label) {
  if (label.starts_with("each")) return each;
  if (!label.starts_with("mean") && !label.starts_with("sum")) throw UnknownSample(label);
  Array total;
  for (const Real e : each.v) total.v[0] += e;
  if (label.starts_with("mean")) total.v[0] /= static_cast<Real>(each.v.size());
  return total;
}

Array mse_loss(In in, Label label) {
  return reduced(map(in[0], in[1], [](Real y, Real t) { return (y - t) * (y - t); }), label);
}

// The gradient of mse_loss for the prediction, with the cotangent in[2].
Array mse_slope(In in, Label label) {
  const Real n = label == "mean" ? static_cast<Real>(in[0].v.size()) : 1;
  return map(in[0], in[1], in[2], [n](Real y, Real t, Real g) { return 2 * (y - t) / n * g; });
}

// The ε of the samples.
constexpr Real layer_norm_eps = 0.01;

// The first normalized axis that the label means.
int first_axis(Label label, const Array& x) {
  if (label.starts_with("rows")) return x.rank() - 1;
  if (label.starts_with("two axes")) return x.rank() - 2;
  if (label == "all axes") return 0;
  throw UnknownSample(label);
}

// The mean over the axes from `axis` on of what stands in the same row as `index`.
Real row_mean(const Array& x, const Shape& index, int axis) {
  Real sum = 0, n = 0;
  each(x.shape, [&](const Shape& i) {
    for (int k = 0; k < axis; ++k)
      if (i[k] != index[k]) return;
    sum += x.at(i);
    ++n;
  });
  return sum / n;
}

// 1 / √(σ² + ε) of every row, in the shape of x.
Array row_scale(const Array& x, int axis) {
  const Array squares = generate(x.shape, [&](const Shape& i) {
    const Real deviation = x.at(i) - row_mean(x, i, axis);
    return deviation * deviation;
  });
  return generate(x.shape, [&](const Shape& i) {
    return 1 / std::sqrt(row_mean(squares, i, axis) + layer_norm_eps);
  });
}

Array standardized(const Array& x, int axis) {
  const Array scale = row_scale(x, axis);
  return generate(x.shape,
                  [&](const Shape& i) { return (x.at(i) - row_mean(x, i, axis)) * scale.at(i); });
}

Array layer_norm(In in, Label label) {
  Array out = standardized(in[0], first_axis(label, in[0]));
  const auto times = [](Real x, Real y) { return x * y; };
  const auto plus = [](Real x, Real y) { return x + y; };
  if (label.find("weight") != Label::npos) out = map(out, in[1], times);
  if (label.find("bias") != Label::npos) out = map(out, in.back(), plus);
  return out;
}

// The gradient of layer_norm for x, with the cotangent in[0] at x = in[1] and a weight in[2].
Array layer_norm_slope(In in, Label label) {
  const Array& x = in[1];
  const int axis = first_axis(label, x);
  const auto times = [](Real a, Real b) { return a * b; };
  const Array k = in.size() > 2 ? map(in[0], in[2], times) : in[0];
  const Array y = standardized(x, axis), scale = row_scale(x, axis), ky = map(k, y, times);
  return generate(x.shape, [&](const Shape& i) {
    return scale.at(i) * (k.at(i) - row_mean(k, i, axis) - y.at(i) * row_mean(ky, i, axis));
  });
}

// Σ in[0] ⊗ x̂ over the first axis, the only one in front of the rows of the samples.
Array layer_norm_weight_slope(In in, Label) {
  const Array y = standardized(in[1], 1);
  return reduce(map(in[0], y, [](Real g, Real e) { return g * e; }), {0}, false,
                [](const std::vector<Real>& column) {
                  Real sum = 0;
                  for (const Real e : column) sum += e;
                  return sum;
                });
}

constexpr Entry entries[] = {
    {"layer_norm", layer_norm},
    {"layer_norm_slope", layer_norm_slope},
    {"layer_norm_weight_slope", layer_norm_weight_slope},
    {"mse_loss", mse_loss},
    {"mse_slope", mse_slope},
};

}  // namespace

std::span<const Entry> fused() { return entries; }

}  // namespace reference
