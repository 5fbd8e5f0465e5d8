#include <chainrule/examples/backprop_by_hand/derivation.hpp>

#include <fmt/format.h>

#include <chainrule/chainrule.hpp>

namespace by_hand {

using cr::Tensor;

namespace {

// σ'(z) = σ(z) (1 − σ(z))
Tensor sigmoid_slope(const Tensor& z) { return sigmoid(z) * (1 - sigmoid(z)); }

}  // namespace

const Tensor& tensor_of(const Network& network, const Pass& pass, Symbol of) {
  const auto& tensors = of.kind == Kind::z   ? pass.z
                        : of.kind == Kind::h ? pass.h
                        : of.kind == Kind::W ? network.W
                                             : network.b;
  return tensors[static_cast<std::size_t>(of.layer)];
}

Terms::Terms(const Network& network, const Pass& pass, const Tensor& labels)
    : W(network.W), z(pass.z), h(pass.h), p(pass.p), y(labels), N(labels.size(1)) {
  for (auto* gradients : {&dz, &dh, &dW, &db}) gradients->resize(W.size());
}

Tensor& Terms::gradient(Symbol of) {
  auto& gradients = of.kind == Kind::z   ? dz
                    : of.kind == Kind::W ? dW
                    : of.kind == Kind::b ? db
                                         : dh;
  return gradients.at(static_cast<std::size_t>(of.layer));
}

std::vector<HandFormula> backward_chain(int layers, Samples samples) {
  const bool one = samples == Samples::one;
  const char *z = one ? "z" : "Z", *h = one ? "h" : "H", *x = one ? "x" : "X";
  const auto h_text = [&](int l) { return l == 0 ? x : fmt::format("({}{})", h, l); };
  std::vector<HandFormula> chain;

  const int output = layers;
  const std::string dz_output = fmt::format("d{}{}", z, output);
  if (one)
    chain.push_back(
        {{Kind::z, output}, dz_output, "p − y", [](const Terms& t) { return t.p - t.y; }});
  else
    chain.push_back({{Kind::z, output}, dz_output, "(P − Y)/N", [](const Terms& t) {
                       return (t.p - t.y) / t.N;
                     }});

  for (int l = output;; --l) {
    // (units of l, N)·(N, units of l − 1): the product sums over the samples
    chain.push_back({{Kind::W, l},
                     fmt::format("dW{}", l),
                     fmt::format("d{}{}·{}ᵀ", z, l, h_text(l - 1)),
                     [l](const Terms& t) { return matmul(t.dz[l], t.h[l - 1].T()); }});
    if (one)
      chain.push_back(
          {{Kind::b, l}, fmt::format("db{}", l), fmt::format("dz{}", l), [l](const Terms& t) {
             return t.dz[l];
           }});
    else
      chain.push_back({{Kind::b, l},
                       fmt::format("db{}", l),
                       fmt::format("row sums of dZ{}", l),
                       [l](const Terms& t) { return sum(t.dz[l], 1, true); }});
    if (l == 1) return chain;

    // (units of l − 1, units of l)·(units of l, N)
    chain.push_back({{Kind::h, l - 1},
                     fmt::format("d{}{}", h, l - 1),
                     fmt::format("(W{})ᵀ·d{}{}", l, z, l),
                     [l](const Terms& t) { return matmul(t.W[l].T(), t.dz[l]); }});
    chain.push_back({{Kind::z, l - 1},
                     fmt::format("d{}{}", z, l - 1),
                     fmt::format("d{}{} ⊗ σ'({}{})", h, l - 1, z, l - 1),
                     [l](const Terms& t) { return t.dh[l - 1] * sigmoid_slope(t.z[l - 1]); }});
  }
}

Terms evaluate(const std::vector<HandFormula>& chain, const Network& network, const Pass& pass,
               const Tensor& y) {
  const cr::NoGrad guard;
  Terms terms(network, pass, y);
  for (const HandFormula& formula : chain) terms.gradient(formula.of) = formula.compute(terms);
  return terms;
}

}  // namespace by_hand
