#include <chainrule/nn/layers/detail/dtype_hint.hpp>

#include <fmt/format.h>

namespace chainrule::nn::detail {

void set_dtype_hint(DTypeError& error, const Tensor& x, const Tensor& weight) {
  if (!weight.defined() || x.dtype() == weight.dtype()) return;
  error.set_hint(fmt::format("convert it: to(x, {}){}", name_of(weight.dtype()),
                             x.dtype() == f64 ? ", or make the layer with {.dtype = f64}" : ""));
}

}  // namespace chainrule::nn::detail
