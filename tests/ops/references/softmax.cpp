// References of softmax and its kin, without shifts: long double holds e^±11000.
#include <chainrule/tests/ops/references/references.hpp>

#include <cmath>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;

// The axis that the labels mean.
int axis_in(Label label, const Array& x) {
  if (label.find("columns") != Label::npos) return 0;
  if (label.find("middle axis") != Label::npos) return 1;
  for (const Label known : {"rows", "vector", "no rows", "no classes", "labels", "probabilities",
                            "one sample", "no samples"})
    if (label.starts_with(known)) return x.rank() - 1;
  throw UnknownSample(label);
}

// Σ f(x) over the line along `axis` that `index` lies in.
template <class F>
Real line_sum(const Array& x, Shape index, int axis, F f) {
  Real sum = 0;
  for (index[axis] = 0; index[axis] < x.shape[axis]; ++index[axis]) sum += f(index);
  return sum;
}

Real exp_sum(const Array& x, const Shape& index, int axis) {
  return line_sum(x, index, axis, [&](const Shape& i) { return std::exp(x.at(i)); });
}

Array softmax(In in, Label label) {
  const Array& x = in[0];
  const int axis = axis_in(label, x);
  return generate(x.shape, [&](const Shape& i) { return std::exp(x.at(i)) / exp_sum(x, i, axis); });
}

Array log_softmax(In in, Label label) {
  const Array& x = in[0];
  const int axis = axis_in(label, x);
  return generate(x.shape, [&](const Shape& i) { return x.at(i) - std::log(exp_sum(x, i, axis)); });
}

// p ⊗ (g − Σ p⊗g)
Array softmax_slope(In in, Label label) {
  const Array &g = in[0], &p = in[1];
  const int axis = axis_in(label, p);
  return generate(p.shape, [&](const Shape& i) {
    return p.at(i) *
           (g.at(i) - line_sum(p, i, axis, [&](const Shape& k) { return p.at(k) * g.at(k); }));
  });
}

// g − exp(l) Σ g
Array log_softmax_slope(In in, Label label) {
  const Array &g = in[0], &l = in[1];
  const int axis = axis_in(label, l);
  return generate(l.shape, [&](const Shape& i) {
    return g.at(i) -
           std::exp(l.at(i)) * line_sum(g, i, axis, [&](const Shape& k) { return g.at(k); });
  });
}

// The probability of the class i[axis] by a target that is labels or probabilities.
Real probability(const Array& z, const Array& target, const Shape& i, int axis) {
  if (target.rank() == z.rank()) return target.at(i);
  Shape sample = i;
  sample.erase(axis);
  return Real(target.at(sample) == static_cast<Real>(i[axis]));
}

Array cross_entropy(In in, Label label) {
  const Array &z = in[0], &target = in[1];
  const int axis = axis_in(label, z);
  Shape samples = z.shape;
  samples.erase(axis);
  const Array losses = generate(samples, [&](const Shape& sample) {
    Shape at = sample;
    at.insert(axis, 0);
    return line_sum(z, at, axis, [&](const Shape& i) {
      return probability(z, target, i, axis) * (std::log(exp_sum(z, i, axis)) - z.at(i));
    });
  });
  if (label.ends_with("each") || label.ends_with("middle axis")) return losses;
  Array total;
  for (const Real loss : losses.v) total.v[0] += loss;
  const bool sum = label.ends_with("sum") || label == "no samples";
  if (!sum) total.v[0] /= static_cast<Real>(losses.v.size());
  return total;
}

// The gradient of cross_entropy for the logits, with the cotangent in[2].
Array cross_entropy_slope(In in, Label label) {
  const Array &z = in[0], &target = in[1], &g = in[2];
  const int axis = axis_in(label, z);
  const bool mean = label.ends_with("mean");
  Real samples = 1;
  for (int k = 0; k < z.rank(); ++k)
    if (k != axis) samples *= static_cast<Real>(z.shape[k]);
  return generate(z.shape, [&](const Shape& i) {
    Shape sample = i;
    sample.erase(axis);
    const Real weight = mean ? g.v[0] / samples : g.at(sample);
    const auto q = [&](const Shape& k) { return probability(z, target, k, axis); };
    return weight * (std::exp(z.at(i)) / exp_sum(z, i, axis) * line_sum(z, i, axis, q) - q(i));
  });
}

constexpr Entry entries[] = {
    {"cross_entropy", cross_entropy},         {"cross_entropy_slope", cross_entropy_slope},
    {"log_of_softmax", log_softmax},          {"log_softmax", log_softmax},
    {"log_softmax_slope", log_softmax_slope}, {"softmax", softmax},
    {"softmax_slope", softmax_slope},
};

}  // namespace

std::span<const Entry> softmax_family() { return entries; }

}  // namespace reference
