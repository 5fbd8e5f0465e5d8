#include <chainrule/nn/layers/layer_norm.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include <chainrule/core/create.hpp>
#include <chainrule/ops/nn/layer_norm.hpp>

namespace chainrule::nn {

namespace {

const Shape& checked(const Shape& shape, const LayerNormOptions& options, const Where& where) {
  if (shape.empty()) throw ShapeError("LayerNorm: the normalized shape has no axis", where);
  if (!std::ranges::all_of(shape, [](std::int64_t extent) { return extent > 0; }))
    throw ValueError(fmt::format("LayerNorm: the normalized shape is {}", to_string(shape)), where,
                     "all extents must be positive");
  if (!(options.eps >= 0 && std::isfinite(options.eps)))
    throw ValueError(fmt::format("LayerNorm: the eps {} is negative or not finite", options.eps),
                     where);
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
  const Where here = where();
  check_input(x, here);
  return layer_norm(x, shape_, weight, bias, eps_, here);
}

// What layer_norm() would find as well, but not say of which module.
void LayerNorm::check_input(const Tensor& x, const Where& where) const {
  if (!x.defined())
    throw ValueError(fmt::format("{}: the input is undefined", description_with_path()), where);
  const Value& in = *x.value_ref();
  const int axis = in.rank() - shape_.rank();
  if (axis < 0 || !std::equal(shape_.begin(), shape_.end(), in.dims() + axis))
    throw ShapeError(
        fmt::format("{}: the input {} does not end in the normalized shape {}",
                    description_with_path(), describe(x), chainrule::to_string(shape_)),
        where,
        in.rank() == 2 && shape_.rank() == 1 && in.dims()[0] == shape_[0]
            ? "samples stand in rows, (batch, features): pass x.T()"
            : "");
  if (weight.defined() && in.dtype() != weight.dtype())
    throw DTypeError(
        fmt::format("{}: the input {} is {}, but the weight is {}", description_with_path(),
                    describe(x), name_of(in.dtype()), name_of(weight.dtype())),
        where,
        fmt::format("convert it: to(x, {})", name_of(weight.dtype())) +
            (in.dtype() == f64 ? ", or make the layer with {.dtype = f64}" : ""));
}

std::string LayerNorm::description() const {
  return fmt::format("LayerNorm({}{})", fmt::join(shape_, ", "),
                     !weight.defined() ? ", not affine"
                     : !bias.defined() ? ", no bias"
                                       : "");
}

}  // namespace chainrule::nn
