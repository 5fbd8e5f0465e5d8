#include <chainrule/nn/layers/linear.hpp>

#include <fmt/format.h>

#include <cmath>
#include <typeinfo>

#include <chainrule/nn/layers/detail/dtype_hint.hpp>

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
  if (in > (std::int64_t{1} << 59) / out)
    throw ValueError(fmt::format("Linear: {} features in and {} out have more weights than can be "
                                 "counted",
                                 in, out),
                     where, "a tensor has at most 2^59 elements: is one of them a product?");
  return {out, in};
}

// What linear() cannot know: the weights are as they should be, it is x that does not fit.
std::string hint_at_shape(const Tensor& x, std::int64_t features) {
  const Value& in = *x.value_ref();
  const std::int64_t first = in.rank() > 0 ? in.dims()[0] : 0;
  if (in.rank() == 2 && first == features)
    return "samples stand in rows, (batch, features): pass x.T()";
  if (in.rank() > 2 && first > 0 && in.numel() / first == features)
    return "flatten(x, 1) makes rows of what each sample consists of";
  return fmt::format("samples stand in rows: (batch, {})", features);
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

Tensor Linear::forward(const Tensor& x) {
  return forward_as_call(x, [&] { return activated(x, Activation::none); });
}

Tensor Linear::call_with(const Tensor& x, Activation activation, const Where& where) {
  return call({&x}, where, [&] { return activated(x, activation); });
}

Tensor Linear::activated(const Tensor& x, Activation activation) const {
  try {
    return linear(x, weight, bias, activation, where());
  } catch (ShapeError& error) {
    const Shape shape = x.shape();
    if (shape.empty() || shape.back() != in_features())
      error.set_hint(hint_at_shape(x, in_features()));
    throw;
  } catch (DTypeError& error) {
    detail::set_dtype_hint(error, x, weight);
    throw;
  }
}

std::string Linear::description() const {
  if (is_moved_from()) return "Linear(moved from)";
  return fmt::format("Linear({}, {}{})", in_features(), out_features(),
                     bias.defined() ? "" : ", no bias");
}

// A class derived from this one may have more.
bool Linear::lists_parameters() const {
  const std::type_info* type = type_of(*this);
  return !type || *type != typeid(Linear);
}

}  // namespace chainrule::nn
