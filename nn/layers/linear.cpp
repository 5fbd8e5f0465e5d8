#include <chainrule/nn/layers/linear.hpp>

#include <fmt/format.h>

#include <cmath>

namespace chainrule::nn {

namespace {

// Uniform in [−1/√in, 1/√in).
Tensor initial(const Shape& shape, std::int64_t in, const LinearOptions& options,
               const Where& where) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  Generator& generator = options.generator ? *options.generator : default_generator();
  return uniform(-bound, bound, shape, generator, options.dtype, where);
}

Shape weight_shape(std::int64_t in, std::int64_t out, DType dtype, const Where& where) {
  if (in <= 0 || out <= 0)
    throw ValueError(fmt::format("Linear: {} features in and {} out", in, out), where,
                     "both must be positive");
  if (!is_floating(dtype))
    throw DTypeError(fmt::format("Linear: it cannot compute in {}", name_of(dtype)), where,
                     "give it .dtype = f32 or f64");
  return {out, in};
}

}  // namespace

Linear::Linear(std::int64_t in_features, std::int64_t out_features, LinearOptions options,
               Where where)
    : weight(parameter("weight",
                       initial(weight_shape(in_features, out_features, options.dtype, where),
                               in_features, options, where),
                       where)),
      bias(options.bias
               ? parameter("bias", initial({out_features}, in_features, options, where), where)
               : Parameter()) {}

Tensor Linear::forward(const Tensor& x) { return activated(x, Activation::none); }

Tensor Linear::call_with(const Tensor& x, Activation activation, const Where& where) {
  return call({&x}, where, [&] { return activated(x, activation); });
}

Tensor Linear::activated(const Tensor& x, Activation activation) const {
  const Where here = where();
  if (!x.defined())
    throw ValueError(fmt::format("{}: the input is undefined", description_with_path()), here);
  const Value &in = *x.value_ref(), &w = weight.value(here);
  const std::int64_t features = w.dims()[1];
  if (in.rank() == 0 || in.dims()[in.rank() - 1] != features) {
    std::string hint = "samples stand in rows: (batch, features)";
    if (in.rank() == 2 && in.dims()[0] == features)
      hint = "samples stand in rows, (batch, features): pass x.T()";
    else if (in.rank() > 2 && in.numel() == in.dims()[0] * features)
      hint = "flatten(x, 1) makes rows of what each sample consists of";
    throw ShapeError(
        fmt::format("{}: {} features are expected in the last axis, but the input is {}",
                    description_with_path(), features, describe(x)),
        here, hint);
  }
  if (in.dtype() != w.dtype())
    throw DTypeError(
        fmt::format("{}: the input {} is {}, but the weights are {}", description_with_path(),
                    describe(x), name_of(in.dtype()), name_of(w.dtype())),
        here,
        fmt::format("convert it: to(x, {})", name_of(w.dtype())) +
            (in.dtype() == f64 ? ", or make the layer with {.dtype = f64}" : ""));
  return linear(x, weight, bias, activation, here);
}

std::string Linear::description() const {
  return fmt::format("Linear({}, {}{})", in_features(), out_features(),
                     bias.defined() ? "" : ", no bias");
}

}  // namespace chainrule::nn
