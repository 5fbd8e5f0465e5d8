#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The recorded graph behind the scalar `loss` as an SVG: a box for every node with its op, name
/// and shape; parameters, named data and results told apart; the range of its values and the norm
/// of its gradient, which colours it from vanishing (blue) to exploding (red) against the median;
/// the local rule as derive() writes it, and the source line, as a tooltip. What made the first NaN
/// or infinity has a thick red border. Needs no other program. Throws GradError as derive() does.
std::string graph_svg(const Tensor& loss, Where where = Where::current());

/// The same as a page with a panel that shows the node under the pointer, and keeps the one that
/// was clicked. Self-contained.
std::string graph_html(const Tensor& loss, Where where = Where::current());

}  // namespace chainrule
