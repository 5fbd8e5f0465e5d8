#include <chainrule/tests/ops/samples/samples.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <exception>
#include <limits>
#include <stdexcept>

#include <chainrule/core/node.hpp>

namespace samples {

using chainrule::Ref;
using chainrule::Shape;
using chainrule::Value;

namespace {

// Calls f(reference to the element in memory) in row-major order of the indices.
template <class T, class F>
void each_element(Value& value, F f) {
  T* data = value.data<T>();
  reference::each(value.shape(), [&](const Shape& index) {
    std::int64_t offset = 0;
    for (int i = 0; i < index.rank(); ++i) offset += index[i] * value.strides()[i];
    f(data[offset]);
  });
}

// The elements of x in another layout: `strides` and `offset` in an owner of `size` elements.
Tensor laid_out(const Tensor& x, const Shape& strides, std::int64_t offset, std::int64_t size) {
  const Array elements = array_of(x);
  Ref<Value> owner = Value::make(x.dtype(), {size});
  chainrule::visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // What lies between the elements must not be read.
    for (std::int64_t i = 0; i < size; ++i)
      owner->data<T>()[i] = std::numeric_limits<T>::has_quiet_NaN
                                ? std::numeric_limits<T>::quiet_NaN()
                                : std::numeric_limits<T>::max();
  });
  Ref<Value> view = Value::view(owner, x.shape(), strides, offset);
  chainrule::visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::size_t n = 0;
    each_element<T>(*view, [&](T& element) { element = static_cast<T>(elements.v[n++]); });
  });
  return Tensor(std::move(view));
}

Tensor column_major(const Tensor& x) {
  Shape strides = x.shape();
  std::int64_t step = 1;
  for (int i = 0; i < x.rank(); ++i) {
    strides[i] = step;
    step *= x.shape()[i];
  }
  return laid_out(x, strides, 0, x.numel());
}

Tensor every_second(const Tensor& x) {
  Shape wide = x.shape();
  for (std::int64_t& extent : wide) extent *= 2;
  Shape strides = chainrule::contiguous_strides(wide);
  for (std::int64_t& stride : strides) stride *= 2;
  return laid_out(x, strides, 0, std::max<std::int64_t>(wide.numel(), 1));
}

Tensor backwards(const Tensor& x) {
  Shape strides = chainrule::contiguous_strides(x.shape());
  for (std::int64_t& stride : strides) stride = -stride;
  return laid_out(x, strides, x.numel() == 0 ? 0 : x.numel() - 1, x.numel());
}

void check(const Op& op, const Sample& sample,
           const std::function<std::string(const Op&, const Sample&)>& f) {
  const std::int64_t before = chainrule::live_nodes();
  std::string problem;
  try {
    problem = f(op, sample);
  } catch (const std::exception& error) {
    problem = std::string("threw ") + error.what();
  }
  const std::int64_t left = chainrule::live_nodes() - before;
  if (problem.empty() && left != 0) problem = fmt::format("{} nodes live on", left);
  CHECK_MESSAGE(problem.empty(), fmt::format("{} / {}: {}", op.name(), sample.label, problem));
}

}  // namespace

void for_each(const std::function<std::string(const Op&, const Sample&)>& f) {
  for (const Op* op : chainrule::all_ops())
    for (const Sample& sample : op->samples()) check(*op, sample, f);
}

void for_each_differentiable(const std::function<std::string(const Op&, const Sample&)>& f) {
  for (const Op* op : chainrule::all_ops()) {
    if (!op->differentiable()) continue;
    for (const Sample& sample : op->samples()) {
      if (floating(sample.inputs).empty()) continue;
      if (is_floating(sample.apply(sample.inputs).dtype())) check(*op, sample, f);
    }
  }
}

Array array_of(const Tensor& x) {
  Array out(x.shape());
  std::size_t n = 0;
  chainrule::visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    each_element<T>(*x.value_ref(), [&](T& element) { out.v[n++] = static_cast<Real>(element); });
  });
  return out;
}

Arrays arrays_of(std::span<const Tensor> tensors) {
  Arrays out;
  for (const Tensor& x : tensors) out.push_back(array_of(x));
  return out;
}

Tensor tensor_of(const Array& a, DType dtype) {
  Ref<Value> value = Value::make(dtype, a.shape);
  chainrule::visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < a.v.size(); ++i) value->data<T>()[i] = static_cast<T>(a.v[i]);
  });
  return Tensor(std::move(value));
}

Array value_of(const Op& op, const Sample& sample, std::span<const Array> in) {
  const reference::Function function = reference::of(op.name());
  if (!function)
    throw std::runtime_error(fmt::format("the op {} has no reference in tests/ops", op.name()));
  return function(in, sample.label);
}

Tensors leaves_of(std::span<const Tensor> inputs) {
  Tensors leaves;
  for (const Tensor& x : inputs) {
    leaves.push_back(x.detach());
    if (is_floating(x.dtype())) leaves.back().requires_grad_();
  }
  return leaves;
}

std::vector<std::size_t> floating(std::span<const Tensor> inputs) {
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (is_floating(inputs[i].dtype())) which.push_back(i);
  return which;
}

Tensors pick(std::span<const Tensor> tensors, std::span<const std::size_t> which) {
  Tensors out;
  for (const std::size_t i : which) out.push_back(tensors[i]);
  return out;
}

Array direction(const Shape& shape, unsigned seed) {
  Array out(shape);
  std::uint32_t state = 2654435761U * (seed + 1);
  for (Real& x : out.v) {
    state = state * 1664525U + 1013904223U;  // Numerical Recipes, section 7.1
    const Real size = 0.25L + 0.75L * static_cast<Real>(state >> 12 & 0xfff) / 0x1000;
    x = state >> 31 ? size : -size;
  }
  return out;
}

Array scattered(const Shape& shape, std::uint64_t seed, Real size) {
  Array out(shape);
  std::uint64_t state = seed;
  for (Real& x : out.v) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
    x = static_cast<Real>(static_cast<std::int64_t>(state >> 33) - (1 << 30)) / (1 << 30) * size;
  }
  return out;
}

std::string compare(const std::string& what, const Array& got, const Array& want, Real tolerance) {
  if (got.shape != want.shape)
    return fmt::format("{} has the shape {} instead of {}", what, to_string(got.shape),
                       to_string(want.shape));
  std::string problem;
  std::size_t n = 0;
  reference::each(got.shape, [&](const Shape& index) {
    const Real a = got.v[n], b = want.v[n];
    ++n;
    const bool same =
        (std::isnan(a) && std::isnan(b)) || a == b ||
        (std::isfinite(b) && std::abs(a - b) <= tolerance * std::max<Real>(1, std::abs(b)));
    if (!same && problem.empty())
      problem = fmt::format("{} at {} is {:.17g} instead of {:.17g}", what, to_string(index), a, b);
  });
  return problem;
}

std::string compare(const std::string& what, const Tensor& got, const Array& want, Real tolerance) {
  return compare(what, array_of(got), want, tolerance);
}

std::string compare(const std::string& what, const Tensor& got, const Tensor& want,
                    Real tolerance) {
  return compare(what, array_of(got), array_of(want), tolerance);
}

std::span<const Layout> layouts() {
  static constexpr Layout all[] = {{"column-major", column_major},
                                   {"every second element", every_second},
                                   {"backwards", backwards}};
  return all;
}

}  // namespace samples
