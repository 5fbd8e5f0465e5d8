#include <chainrule/nn/layers/layer_norm.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <typeinfo>

#include <chainrule/core/create.hpp>
#include <chainrule/nn/layers/detail/dtype_hint.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>

namespace chainrule::nn {

namespace {

const Shape& checked(const Shape& shape, const LayerNormOptions& options, const Where& where) {
  if (shape.empty())
    throw ShapeError("LayerNorm: the normalized shape has no axis", where,
                     "give the extents of the trailing axes: LayerNorm(features)");
  if (!std::ranges::all_of(shape, [](std::int64_t extent) { return extent > 0; }))
    throw ValueError(fmt::format("LayerNorm: the normalized shape is {}", to_string(shape)), where,
                     "all extents must be positive");
  if (!(options.eps >= 0 && std::isfinite(options.eps)))
    throw ValueError(fmt::format("LayerNorm: the eps {} is negative or not finite", options.eps),
                     where, "it keeps the variance from 0: 1e-5 is usual");
  if (!is_floating(options.dtype))
    throw DTypeError(fmt::format("LayerNorm: it cannot compute in {}", name_of(options.dtype)),
                     where, "give it .dtype = f32 or f64");
  return shape;
}

}  // namespace

LayerNorm::LayerNorm(const Shape& normalized_shape, LayerNormOptions options, Where where)
    : shape_(checked(normalized_shape, options, where)),
      eps_(options.eps),
      weight(options.affine ? parameter("weight", ones(shape_, options.dtype, where), where)
                            : Parameter()),
      bias(options.affine && options.bias
               ? parameter("bias", zeros(shape_, options.dtype, where), where)
               : Parameter()) {}

Tensor LayerNorm::forward(const Tensor& x) {
  return forward_as_call(x, [&] {
    try {
      return layer_norm(x, shape_, weight, bias, eps_, where());
    } catch (DTypeError& error) {
      detail::set_dtype_hint(error, x, weight);
      throw;
    }
  });
}

std::string LayerNorm::description() const {
  if (is_moved_from()) return "LayerNorm(moved from)";
  return fmt::format("LayerNorm({}{})", fmt::join(shape_, ", "),
                     !weight.defined() ? ", not affine"
                     : !bias.defined() ? ", no bias"
                                       : "");
}

// A class derived from this one may have more.
bool LayerNorm::lists_parameters() const {
  const std::type_info* type = type_of(*this);
  return !type || *type != typeid(LayerNorm);
}

}  // namespace chainrule::nn
