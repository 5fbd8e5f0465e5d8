#include <chainrule/nn/optim/sgd.hpp>

#include <type_traits>
#include <utility>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::nn {

namespace {

template <class T>
struct Coefficients {
  T rate, momentum, fresh, decay;
};

enum class Velocity { none, first, later };

// One pass over the elements; what is constant is chosen outside of the loop, which vectorises.
template <Velocity velocity, bool nesterov, bool decay, class T>
void sweep_part(std::int64_t n, T* w, const T* gradient, [[maybe_unused]] T* v, Coefficients<T> c) {
  for (std::int64_t i = 0; i < n; ++i) {
    T g = gradient[i];
    if constexpr (decay) g += c.decay * w[i];
    if constexpr (velocity != Velocity::none) {
      const T moved = velocity == Velocity::first ? g : c.momentum * v[i] + c.fresh * g;
      v[i] = moved;
      g = nesterov ? g + c.momentum * moved : moved;
    }
    w[i] -= c.rate * g;
  }
}

template <Velocity velocity, bool nesterov, bool decay, class T>
void sweep(std::int64_t n, T* w, const T* gradient, T* v, Coefficients<T> c) {
  chainrule::detail::parallel_for(
      n, chainrule::detail::elements_for_thread, [=](std::int64_t begin, std::int64_t end) {
        sweep_part<velocity, nesterov, decay>(end - begin, w + begin, gradient + begin,
                                              v ? v + begin : v, c);
      });
}

template <class T>
void update_as(const SGDOptions& options, double rate, Velocity velocity, Value& parameter,
               const Value& gradient, Value* v) {
  const Coefficients<T> c = {static_cast<T>(rate), static_cast<T>(options.momentum),
                             static_cast<T>(1 - options.dampening),
                             static_cast<T>(options.weight_decay)};
  const auto with_decay = [&]<bool decay>(std::bool_constant<decay>) {
    const std::int64_t n = parameter.numel();
    T* w = parameter.data<T>();
    const T* g = gradient.data<T>();
    if (velocity == Velocity::none)
      sweep<Velocity::none, false, decay, T>(n, w, g, nullptr, c);
    else if (velocity == Velocity::first)
      options.nesterov ? sweep<Velocity::first, true, decay>(n, w, g, v->data<T>(), c)
                       : sweep<Velocity::first, false, decay>(n, w, g, v->data<T>(), c);
    else
      options.nesterov ? sweep<Velocity::later, true, decay>(n, w, g, v->data<T>(), c)
                       : sweep<Velocity::later, false, decay>(n, w, g, v->data<T>(), c);
  };
  if (options.weight_decay != 0)
    with_decay(std::true_type());
  else
    with_decay(std::false_type());
}

}  // namespace

SGD::SGD(std::vector<Tensor> parameters, double learning_rate, SGDOptions options, Where where)
    : Optimizer("SGD", std::move(parameters), learning_rate, options.allow_missing, where),
      options_(options) {
  const char* range = "negative or not finite";
  check_option("momentum", options.momentum, options.momentum >= 0, range,
               "0.9 is usual, 0 is none", where);
  check_option("dampening", options.dampening, true, "not finite", "0 is usual", where);
  check_option("weight decay", options.weight_decay, options.weight_decay >= 0, range,
               "1e-4 is usual, 0 is none", where);
  if (options.nesterov && !(options.momentum > 0 && options.dampening == 0))
    throw ValueError("SGD: nesterov needs a momentum, and no dampening", where,
                     "give {.momentum = 0.9, .nesterov = true}");
  chainrule::detail::naming_memory("SGD", where, [&] {
    momentum_.resize(options.momentum != 0 ? this->parameters().size() : 0);
  });
}

void SGD::prepare(std::size_t i, const Value& parameter) {
  if (options_.momentum != 0 && !momentum_[i].defined())
    momentum_[i] = Tensor(Value::make_like(parameter.dtype(), parameter));
}

bool SGD::takes_rows() const noexcept {
  return options_.momentum == 0 && options_.weight_decay == 0;
}

void SGD::update_rows(std::size_t, Value& parameter, const RowGradient& gradient) {
  const std::int64_t rows = gradient.index->numel();
  if (rows == 0) return;
  const std::int64_t size = gradient.rows->numel() / rows;
  visit_floating(parameter.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = gradient.rows->data<T>();
    for (std::int64_t k = 0; k < rows; ++k)
      sweep_part<Velocity::none, false, false, T>(
          size, parameter.data<T>() + gradient.index->data<std::int64_t>()[k] * size,
          from + k * size, nullptr, {static_cast<T>(learning_rate()), 0, 0, 0});
  });
}

void SGD::update(std::size_t i, Value& parameter, const Value& gradient) {
  Velocity velocity = Velocity::none;
  Value* v = nullptr;
  if (options_.momentum != 0) {
    velocity = update_count(i) == 1 ? Velocity::first : Velocity::later;
    v = momentum_[i].value_ref().get();
  }
  if (parameter.dtype() == f32)
    update_as<float>(options_, learning_rate(), velocity, parameter, gradient, v);
  else
    update_as<double>(options_, learning_rate(), velocity, parameter, gradient, v);
}

}  // namespace chainrule::nn
