#include <chainrule/nn/optim/adam.hpp>

#include <cmath>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::nn {

namespace {

template <class T>
struct Coefficients {
  T fresh_m;  // 1 − β₁
  T beta2;
  T fresh_v;    // 1 − β₂
  T decay;      // λ, of the gradient
  T keep;       // 1 − η λ, of the weights
  T rate;       // η / (1 − β₁ᵗ)
  T root_rate;  // 1 / √(1 − β₂ᵗ)
  T eps;
};

template <class T>
Coefficients<T> coefficients(const AdamOptions& options, double rate, std::int64_t updates) {
  const auto [beta1, beta2] = options.betas;
  const auto t = static_cast<double>(updates);
  return {.fresh_m = static_cast<T>(1 - beta1),
          .beta2 = static_cast<T>(beta2),
          .fresh_v = static_cast<T>(1 - beta2),
          .decay = static_cast<T>(options.weight_decay),
          .keep = static_cast<T>(1 - rate * options.weight_decay),
          .rate = static_cast<T>(rate / (1 - std::pow(beta1, t))),
          .root_rate = static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, t))),
          .eps = static_cast<T>(options.eps)};
}

enum class Decay { none, coupled, decoupled };

// One pass over the elements; what is constant is chosen outside of the loop, which vectorises.
template <Decay decay, bool amsgrad, class T>
void sweep_as(std::int64_t n, T* w, const T* gradient, T* __restrict m, T* __restrict v,
              [[maybe_unused]] T* __restrict largest_v, Coefficients<T> c) {
  for (std::int64_t i = 0; i < n; ++i) {
    T g = gradient[i], x = w[i];
    if constexpr (decay == Decay::coupled) g += c.decay * x;
    if constexpr (decay == Decay::decoupled) x *= c.keep;
    // β m + (1 − β) g, with one rounded constant instead of two that do not add up to 1.
    const T mean = m[i] + c.fresh_m * (g - m[i]);
    T square = c.beta2 * v[i] + c.fresh_v * (g * g);  // stays infinite where it overflowed
    m[i] = mean;
    v[i] = square;
    if constexpr (amsgrad) {
      const T largest = largest_v[i];
      square = square > largest || square != square ? square : largest;  // NaN stays
      largest_v[i] = square;
    }
    w[i] = x - c.rate * mean / (std::sqrt(square) * c.root_rate + c.eps);
  }
}

// `largest_v` is null without amsgrad.
template <Decay decay, class T>
void sweep(std::int64_t n, T* w, const T* gradient, T* m, T* v, T* largest_v, Coefficients<T> c) {
  chainrule::detail::parallel_for(
      n, chainrule::detail::elements_for_thread, [=](std::int64_t begin, std::int64_t end) {
        const std::int64_t count = end - begin;
        if (largest_v)
          sweep_as<decay, true>(count, w + begin, gradient + begin, m + begin, v + begin,
                                largest_v + begin, c);
        else
          sweep_as<decay, false>(count, w + begin, gradient + begin, m + begin, v + begin,
                                 static_cast<T*>(nullptr), c);
      });
}

}  // namespace

Adam::Adam(const char* name, std::vector<Tensor> parameters, double learning_rate,
           AdamOptions options, bool decoupled, const Where& where)
    : Optimizer(name, std::move(parameters), learning_rate, options.allow_missing, where),
      options_(options),
      decoupled_(decoupled) {
  const auto [beta1, beta2] = options.betas;
  check_option("first beta", beta1, beta1 >= 0 && beta1 < 1, "not from 0 to below 1",
               "0.9 is usual", where);
  check_option("second beta", beta2, beta2 >= 0 && beta2 < 1, "not from 0 to below 1",
               "0.999 is usual", where);
  const char* range = "negative or not finite";
  check_option("eps", options.eps, options.eps >= 0, range, "1e-8 is usual", where);
  check_option("weight decay", options.weight_decay, options.weight_decay >= 0, range,
               "0.01 is usual, 0 is none", where);
  chainrule::detail::naming_memory(name, where,
                                   [&] { moments_.resize(this->parameters().size()); });
}

Adam::Adam(std::vector<Tensor> parameters, double learning_rate, AdamOptions options, Where where)
    : Adam("Adam", std::move(parameters), learning_rate, options, false, where) {}

AdamW::AdamW(std::vector<Tensor> parameters, double learning_rate, AdamWOptions options,
             Where where)
    : Adam("AdamW", std::move(parameters), learning_rate,
           {options.betas, options.eps, options.weight_decay, options.amsgrad,
            options.allow_missing},
           true, where) {}

void Adam::prepare(std::size_t i, const Value& parameter) {
  Moments& moments = moments_[i];
  for (Tensor* state : {&moments.m, &moments.v, &moments.largest_v})
    if (!state->defined() && (state != &moments.largest_v || options_.amsgrad))
      *state = zeros(parameter.shape(), parameter.dtype());
}

void Adam::update(std::size_t i, Value& parameter, const Value& gradient) {
  const Decay decay = options_.weight_decay == 0 ? Decay::none
                      : decoupled_               ? Decay::decoupled
                                                 : Decay::coupled;
  const Moments& moments = moments_[i];
  visit_floating(parameter.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto c = coefficients<T>(options_, learning_rate(), update_count(i));
    const std::int64_t n = parameter.numel();
    T* w = parameter.data<T>();
    const T* g = gradient.data<T>();
    T* m = moments.m.value_ref()->template data<T>();
    T* v = moments.v.value_ref()->template data<T>();
    T* largest = options_.amsgrad ? moments.largest_v.value_ref()->template data<T>() : nullptr;
    if (decay == Decay::none)
      sweep<Decay::none>(n, w, g, m, v, largest, c);
    else if (decay == Decay::coupled)
      sweep<Decay::coupled>(n, w, g, m, v, largest, c);
    else
      sweep<Decay::decoupled>(n, w, g, m, v, largest, c);
  });
}

}  // namespace chainrule::nn
