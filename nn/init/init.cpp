#include <chainrule/nn/init/init.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::nn {

namespace {

Fans checked_fans(const char* op, const Shape& weight, const Where& where) {
  if (weight.rank() < 2)
    throw ShapeError(fmt::format("{}: a weight {} has no fan in and out", op, to_string(weight)),
                     where, "weights are (out, in), or (out, in, …); a bias usually begins with 0");
  std::int64_t field = 1;
  for (int axis = 2; axis < weight.rank(); ++axis) field *= weight[axis];
  return {weight[1] * field, weight[0] * field};
}

void check_gain(const char* op, double gain, const Where& where) {
  if (gain >= 0 && std::isfinite(gain)) return;
  throw ValueError(fmt::format("{}: the gain {} is negative or not finite", op, gain), where,
                   "it is that of the activation behind the layer: 1, or √2 for relu");
}

// Numbers uniform in [−a, a) or normal, of this standard deviation.
Tensor draw(const char* op, bool normal, double deviation, const Shape& shape, DType dtype,
            Generator* given, const Where& where) try {
  if (!is_floating(dtype))
    throw DTypeError(fmt::format("{}: makes f32 or f64, not {}", op, name_of(dtype)), where,
                     "randint draws integers");
  Generator& generator = given ? *given : default_generator();
  // It may be infinite where there are no elements.
  if (!std::ranges::all_of(shape, [](std::int64_t extent) { return extent > 0; })) deviation = 0;
  const double bound = std::sqrt(3.0) * deviation;
  // randn() goes to 8.6 standard deviations.
  const double largest = normal ? 8.6 * deviation : bound;
  if (!(largest <=
        (dtype == f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max())))
    throw ValueError(fmt::format("{}: a standard deviation of {} leads beyond {}", op, deviation,
                                 name_of(dtype)),
                     where, "the gain is that of an activation, near 1");
  if (!normal) return uniform(-bound, bound, shape, generator, dtype, where);
  const NoGrad guard;
  return mul(randn(shape, generator, dtype, where), deviation, where);
} catch (const ShapeError&) {
  throw ShapeError(fmt::format("{}: {} cannot be the shape of a weight", op, to_string(shape)),
                   where, "no extent is negative, and the elements can be counted");
} catch (const MemoryError&) {
  chainrule::detail::throw_no_memory_for(op, shape, dtype, where);
}

Tensor xavier(const char* op, bool normal, const Shape& weight, const XavierOptions& options,
              const Where& where) {
  check_gain(op, options.gain, where);
  const Fans fans = checked_fans(op, weight, where);
  const double sum = static_cast<double>(fans.in) + static_cast<double>(fans.out);
  return draw(op, normal, options.gain * std::sqrt(2 / sum), weight, options.dtype,
              options.generator, where);
}

Tensor kaiming(const char* op, bool normal, const Shape& weight, const KaimingOptions& options,
               const Where& where) {
  check_gain(op, options.gain, where);
  const Fans fans = checked_fans(op, weight, where);
  const auto fan = static_cast<double>(options.fan == Fan::in ? fans.in : fans.out);
  return draw(op, normal, options.gain / std::sqrt(fan), weight, options.dtype, options.generator,
              where);
}

}  // namespace

Fans fans(const Shape& weight, Where where) { return checked_fans("fans", weight, where); }

Tensor xavier_uniform(const Shape& weight, XavierOptions options, Where where) {
  return xavier("xavier_uniform", false, weight, options, where);
}
Tensor xavier_normal(const Shape& weight, XavierOptions options, Where where) {
  return xavier("xavier_normal", true, weight, options, where);
}
Tensor kaiming_uniform(const Shape& weight, KaimingOptions options, Where where) {
  return kaiming("kaiming_uniform", false, weight, options, where);
}
Tensor kaiming_normal(const Shape& weight, KaimingOptions options, Where where) {
  return kaiming("kaiming_normal", true, weight, options, where);
}

}  // namespace chainrule::nn
