#pragma once

#include <chainrule/ops/operand.hpp>

namespace chainrule {

class Op;

/// Functions of every element. The result has the shape and dtype of x. NaN gives NaN. They take
/// f32 and f64, and `square abs sign` also i64, which wraps around; DTypeError for other dtypes.

/// eˣ. Gradient: g ⊗ exp(x). Where a logarithm follows, as in log(sum(exp(x))), the stable form is
/// computed; see log().
Tensor exp(const Tensor& x, Where where = Where::current());
/// eˣ − 1, exact also near 0. Gradient: g ⊗ exp(x).
Tensor expm1(const Tensor& x, Where where = Where::current());
/// ln(1 + x), exact also near 0; −∞ at −1, NaN below. Gradient: g ⊘ (1 + x).
Tensor log1p(const Tensor& x, Where where = Where::current());
/// √x; NaN below 0. Gradient: g ⊘ 2√x, infinite at 0.
Tensor sqrt(const Tensor& x, Where where = Where::current());
/// x². Gradient: 2 g ⊗ x.
Tensor square(const Tensor& x, Where where = Where::current());
/// |x|. Gradient: g ⊗ sign(x), 0 at 0 as in PyTorch and JAX.
Tensor abs(const Tensor& x, Where where = Where::current());
/// −1, 0 or 1 by the sign of x. Gradient: 0 everywhere.
Tensor sign(const Tensor& x, Where where = Where::current());
/// The error function 2/√π ∫₀ˣ exp(−t²) dt. Gradient: g ⊗ 2/√π exp(−x²). (NIST Digital Library of
/// Mathematical Functions, 7.2.1.)
Tensor erf(const Tensor& x, Where where = Where::current());
/// sin x, of radians. Gradient: g ⊗ cos(x).
Tensor sin(const Tensor& x, Where where = Where::current());
/// cos x, of radians. Gradient: −g ⊗ sin(x).
Tensor cos(const Tensor& x, Where where = Where::current());
/// 1 / x. Gradient: −g ⊘ x².
Tensor reciprocal(const Tensor& x, Where where = Where::current());

/// xʸ for f32 and f64, broadcast; a number on either side adapts to the other operand's dtype. As
/// in C, x⁰ is 1 for every x, and a negative x has powers for integer y only, else NaN. Gradients:
/// g ⊗ y ⊗ xʸ⁻¹, which is 0 where y is 0; and g ⊗ xʸ ⊗ ln x, which counts as 0 where x is 0 and
/// y ≥ 0, as in PyTorch. Throws ShapeError for shapes that do not broadcast, DTypeError for
/// different dtypes or others than f32 and f64.
Tensor pow(const Operand& x, const Operand& y, Where where = Where::current());

namespace detail {

/// The tensor z with x = op(z, …), value and node, where the node of x, made by `op`, still has it
/// as it was; else an undefined tensor. For Op::logarithm().
Tensor argument_of(const Tensor& x, const Op& op);

/// The tensor z with e = exp(z), or an undefined one; for a sum of exponentials.
Tensor exp_argument(const Tensor& e);
Tensor exp_argument(const Node* e);

}  // namespace detail
}  // namespace chainrule
