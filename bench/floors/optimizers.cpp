#include <chainrule/bench/floors/optimizers.hpp>

#include <cmath>

namespace floors {

void sgd(float* __restrict w, const float* __restrict g, std::size_t n, float rate) {
  for (std::size_t i = 0; i < n; ++i) w[i] -= rate * g[i];
}

void sgd_momentum(float* __restrict w, const float* __restrict g, float* __restrict v,
                  std::size_t n, float rate, float momentum) {
  for (std::size_t i = 0; i < n; ++i) {
    v[i] = momentum * v[i] + g[i];
    w[i] -= rate * v[i];
  }
}

void adam(float* __restrict w, const float* __restrict g, float* __restrict m, float* __restrict v,
          std::size_t n, int t, float rate) {
  constexpr double beta1 = 0.9, beta2 = 0.999;
  constexpr auto b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2);
  constexpr auto c1 = static_cast<float>(1 - beta1), c2 = static_cast<float>(1 - beta2);
  constexpr float epsilon = 1e-8F;
  // m̂ and v̂ are never formed: their divisors are numbers of the step.
  const auto step = static_cast<float>(rate / (1 - std::pow(beta1, t)));
  const auto scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  for (std::size_t i = 0; i < n; ++i) {
    m[i] = b1 * m[i] + c1 * g[i];
    v[i] = b2 * v[i] + c2 * g[i] * g[i];
    w[i] -= step * m[i] / (std::sqrt(v[i]) * scale + epsilon);
  }
}

}  // namespace floors
