#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/tests/ops/references/references.hpp>

/// What the generic tests of all ops' samples share.
namespace samples {

using chainrule::DType;
using chainrule::Op;
using chainrule::Sample;
using chainrule::Tensor;
using reference::Array;
using reference::Real;
using Tensors = std::vector<Tensor>;
using Arrays = std::vector<Array>;

/// Calls f(op, sample) for every sample of every op, and gives a failure of the test that names
/// them for what f returns (unless empty) or throws, and for nodes that live on.
void for_each(const std::function<std::string(const Op&, const Sample&)>& f);
/// The same for the samples that have derivatives: of a differentiable op, with a floating result.
void for_each_differentiable(const std::function<std::string(const Op&, const Sample&)>& f);

/// The elements of a tensor, read by its strides.
Array array_of(const Tensor& x);
Arrays arrays_of(std::span<const Tensor> tensors);
/// A row-major tensor.
Tensor tensor_of(const Array& a, DType dtype);

/// The reference's value. Throws when there is none.
Array value_of(const Op& op, const Sample& sample, std::span<const Array> in);

/// Copies that require gradients where they are floating.
Tensors leaves_of(std::span<const Tensor> inputs);
/// Which inputs are floating, and so have gradients.
std::vector<std::size_t> floating(std::span<const Tensor> inputs);
Tensors pick(std::span<const Tensor> tensors, std::span<const std::size_t> which);

/// Numbers of size 1/4 … 1 and both signs, always the same for one shape and `seed`.
Array direction(const chainrule::Shape& shape, unsigned seed);

/// Numbers in −size … size without a pattern, always the same for one shape and `seed`.
Array scattered(const chainrule::Shape& shape, std::uint64_t seed, Real size);

/// "" if every element is within tolerance · max(1, |want|) of what is wanted (NaN and infinities:
/// the same), else which one is not.
std::string compare(const std::string& what, const Array& got, const Array& want, Real tolerance);
std::string compare(const std::string& what, const Tensor& got, const Array& want, Real tolerance);
std::string compare(const std::string& what, const Tensor& got, const Tensor& want, Real tolerance);

/// The same tensor in memory of other strides.
struct Layout {
  const char* name;
  Tensor (*apply)(const Tensor& x);
};
std::span<const Layout> layouts();

}  // namespace samples
