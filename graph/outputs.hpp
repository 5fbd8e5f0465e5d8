#pragma once

#include <span>

#include <chainrule/core/tensor.hpp>

/// What is asked of the tensors that a call differentiates. Errors number one of several.
namespace chainrule::detail {

/// Throws ValueError for one that is no tensor at all, GradError for one without a graph.
void check_outputs(std::span<const Tensor> outputs, const char* caller, const Where& where);
/// Throws GradError for one that is not a scalar; `otherwise` is what the hint adds.
void check_scalars(std::span<const Tensor> outputs, const char* caller, const char* otherwise,
                   const Where& where);
/// Throws ValueError, DTypeError or ShapeError for a seed that is not like its output; there is one
/// for each.
void check_seeds(std::span<const Tensor> outputs, std::span<const Tensor> seeds, const char* caller,
                 const Where& where);

/// Throws ValueError, DTypeError or ShapeError for a direction that is not like its owner and
/// floating: messages call them "the tangent" and "the input", say. There is one for each.
void check_like(std::span<const Tensor> given, std::span<const Tensor> of, const char* caller,
                const char* what, const char* owner, const Where& where);

}  // namespace chainrule::detail
