#include <chainrule/examples/backprop_by_hand/differences.hpp>

#include <algorithm>

#include <chainrule/chainrule.hpp>

namespace by_hand {

using cr::Tensor;

namespace {

constexpr double h = 1.0 / 256;  // a power of two, so that a + h is exact where a is not large

// The loss when `value` stands in the place of the tensor `of`.
Tensor loss_with(Network& network, const Pass& pass, const Tensor& y, Symbol of,
                 const Tensor& value) {
  const int l = of.layer;
  if (of.kind == Kind::z) return loss(from_z(network, l, value), y);
  if (of.kind == Kind::h) return loss(from_h(network, l, value), y);
  Tensor& parameter = (of.kind == Kind::W ? network.W : network.b)[l];
  parameter = value;
  return loss(from_h(network, l - 1, pass.h[l - 1]), y);
}

}  // namespace

Differences central_differences(const Network& network, const Pass& pass, const Tensor& y,
                                Symbol of, std::int64_t most_elements) {
  const cr::NoGrad guard;
  const Tensor& at = tensor_of(network, pass, of);
  Network changed = network;
  const auto elements = at.to_vector<double>();
  Tensor value = cr::from_vector(elements, at.shape());  // a copy to write into
  const auto loss_at = [&](std::int64_t i, double element) {
    value.mutable_data<double>()[i] = element;
    return loss_with(changed, pass, y, of, value).item();
  };

  Differences differences;
  const std::int64_t n = value.numel(), count = std::min(n, most_elements);
  cr::Generator generator(1);
  for (std::int64_t k = 0; k < count; ++k) {
    // One of each of `count` stretches; not the first, or it might always be the same column.
    const std::int64_t i = generator.integer(k * n / count, (k + 1) * n / count);
    const double a = elements[i];
    const double outer = loss_at(i, a + 2 * h) - loss_at(i, a - 2 * h);
    const double inner = loss_at(i, a + h) - loss_at(i, a - h);
    value.mutable_data<double>()[i] = a;
    differences.elements.push_back(i);
    differences.slopes.push_back((8 * inner - outer) / (12 * h));
  }
  return differences;
}

}  // namespace by_hand
