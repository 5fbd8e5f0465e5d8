#pragma once

#include <initializer_list>
#include <span>

#include <chainrule/graph/derivation/derive.hpp>

namespace chainrule {

/// The chain rule in the order of the program, as forward mode applies it: a formula for the
/// tangent of every named result of a recorded program and of `output`, in terms of tangents of
/// what it was computed from, from the inputs on:
///
///     ż1 = Ẇ1·x + ḃ1
///     ḣ1 = ż1 ⊗ σ'(z1)
///
/// ẋ is the derivative of x along the direction that the inputs' tangents are: for W + ε Ẇ in the
/// place of W, the derivative for ε at 0. It has the shape of x. Steps are tangents where derive()
/// has gradients; each formula was simplified and checked with numbers in the same way. Where a
/// tensor is called ẋ as a tangent would be, all are ∂x (or dx), and ValueError if none is left.
/// All parameters have tangents here; those of data are zero. `output` may have any shape.
///
/// Source: A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 3.1.
///
/// Throws GradError when `output` has no graph, when that was released or written to since, and
/// when an op has no jvp rule, or one that computes a tangent in another way than by tensor
/// operations; ValueError for an operation that gives other numbers when it is computed again. What
/// the tangents are is not known here: views with values or norms are a ValueError.
Derivation derive_forward(const Tensor& output, Where where = Where::current());

/// Of these inputs alone, parameters or results. Throws GradError, too, for one that `output` does
/// not depend on.
Derivation derive_forward(const Tensor& output, std::span<const Tensor> inputs,
                          Where where = Where::current());
Derivation derive_forward(const Tensor& output, std::initializer_list<Tensor> inputs,
                          Where where = Where::current());

/// With the inputs' tangents, of their shapes and dtypes, so that steps have values: that of the
/// last is what jvp() gives. Throws ValueError for another number of tangents than of inputs,
/// ShapeError and DTypeError for one that is not like its input.
Derivation derive_forward(const Tensor& output, std::span<const Tensor> inputs,
                          std::span<const Tensor> tangents, Where where = Where::current());
Derivation derive_forward(const Tensor& output, std::initializer_list<Tensor> inputs,
                          std::initializer_list<Tensor> tangents, Where where = Where::current());

}  // namespace chainrule
