#include <chainrule/nn/losses.hpp>

#include <fmt/format.h>

#include <chainrule/ops/arithmetic.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/reduction.hpp>

namespace chainrule::nn {

namespace {

// Why a prediction and a target of the same numbers of elements differ in shape, most likely.
std::string shape_hint(const Value& y, const Value& t) {
  if (y.numel() != t.numel()) return "";
  if (y.rank() == t.rank() + 1 && y.dims()[y.rank() - 1] == 1)
    return "give the target the shape of the prediction, unsqueeze(target, -1), or drop the last "
           "axis of the prediction, squeeze(prediction, -1)";
  if (t.rank() == y.rank() + 1 && t.dims()[t.rank() - 1] == 1)
    return "drop the last axis of the target: squeeze(target, -1)";
  return "reshape one of them";
}

}  // namespace

Tensor MSELoss::operator()(const Tensor& prediction, const Tensor& target, Where where) const {
  const Value &y = prediction.value(where), &t = target.value(where);
  check_dtypes("MSELoss", prediction, target, false, where);
  if (!y.same_shape(t))
    throw ShapeError(fmt::format("MSELoss: the shapes differ: prediction {} and target {}",
                                 describe(prediction), describe(target)),
                     where, shape_hint(y, t));
  const Tensor difference = sub(prediction, target, where);
  const Tensor squares = mul(difference, difference, where);
  switch (reduction) {
    case Reduction::none:
      return squares;
    case Reduction::sum:
      return sum(squares, {}, false, where);
    default:
      if (y.numel() == 0)
        throw ShapeError(fmt::format("MSELoss: the mean of no elements: {}", describe(prediction)),
                         where);
      return mean(squares, {}, false, where);
  }
}

}  // namespace chainrule::nn
