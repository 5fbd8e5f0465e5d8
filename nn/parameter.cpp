#include <chainrule/nn/parameter.hpp>

#include <fmt/format.h>

#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::nn {

void State::set(const Tensor& values, Where where) {
  value(where, "set");  // throws for no tensor at all
  Value& mine = *value_ref();
  const Value& from = values.value(where, "set", "operand");
  if (from.dtype() != mine.dtype())
    throw DTypeError(fmt::format("set: {} is {}, but the values are {}", describe(*this),
                                 name_of(mine.dtype()), name_of(from.dtype())),
                     where, fmt::format("convert them: to(values, {})", name_of(mine.dtype())));
  if (!from.same_shape(mine)) {
    const bool transposed = mine.rank() == 2 && from.rank() == 2 &&
                            mine.dims()[0] == from.dims()[1] && mine.dims()[1] == from.dims()[0];
    throw ShapeError(
        fmt::format("set: the shapes differ: {} from values {}", describe(*this), describe(values)),
        where,
        transposed                     ? "the values fit transposed: set(values.T())"
        : from.numel() == mine.numel() ? "reshape() gives the values that shape"
                                       : "a layer keeps the sizes that it was made with");
  }
  if (from.owner() == mine.owner()) {
    // A view of these very elements, which the copy would change under its hands.
    kernels::copy(mine, *kernels::copied(from));
  } else {
    kernels::copy(mine, from);
  }
  mine.bump_version();
}

}  // namespace chainrule::nn
