#pragma once

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// ln x for f32 and f64; −∞ at 0, NaN below. Gradient: g ⊘ x. Throws DTypeError for other dtypes.
///
/// Where x is known to be softmax(z), sigmoid(z) or sum(exp(z)), recorded or not, the result is
/// computed from z as log_softmax(z), log_sigmoid(z) or logsumexp(z), and so is the gradient: both
/// are finite where x itself underflows or overflows. This holds for x as that operation returned
/// it, not for a view or another function of it, nor once x or z were written to or the graph of x
/// was released. The graph shows both z and x as operands. If the gradient of x itself (or of
/// exp(z)) is asked for, by grad(), the gradient goes through it as g ⊘ x, and is as unstable as
/// that.
Tensor log(const Tensor& x, Where where = Where::current());

}  // namespace chainrule
