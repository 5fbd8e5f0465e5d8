#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The matrix product a·b.
///
///     (m, k) · (k, n) → (m, n)        (m, k) · (k) → (m)        (k) · (k, n) → (n)
///     (k) · (k) → ()                  (…, m, k) · (…, k, n) → (…, m, n), where … broadcasts
///
/// Gradients: dA = g·Bᵀ, dB = Aᵀ·g. Transposed operands are not copied. Throws ShapeError when the
/// inner dimensions differ or an operand is a scalar, DTypeError for different dtypes.
Tensor matmul(const Tensor& a, const Tensor& b, Where where = Where::current());

/// The inner product Σ aᵢ bᵢ of two vectors of one length, a scalar. Gradients: g b and g a.
Tensor dot(const Tensor& a, const Tensor& b, Where where = Where::current());

/// The outer product a bᵀ of two vectors (m) and (n): (m, n). Gradients: g·b and gᵀ·a.
Tensor outer(const Tensor& a, const Tensor& b, Where where = Where::current());

class Vjp;

namespace detail {

/// The product of a and b, each with its last two axes exchanged or not.
Tensor product(const Tensor& a, bool a_transposed, const Tensor& b, bool b_transposed,
               const Where& where);

/// Gives a·b, each transposed or not, as the gradient of the matrix that is input i: added to the
/// sum so far where that is possible, else laid out in memory as the input likes it.
void give_product(Vjp& r, std::size_t i, const Tensor& a, bool a_transposed, const Tensor& b,
                  bool b_transposed);

}  // namespace detail

}  // namespace chainrule
