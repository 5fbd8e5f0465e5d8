#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

struct PictureOptions {
  /// Modules of this many names in a row ("encoder" has encoder.0.weight) are one box each; 0:
  /// none.
  int fold_modules = 0;
};

/// The recorded graph behind the scalar `loss` as an SVG: a box for every node with its op, the
/// function that a layer applies in one go, name and shape; parameters, named data and results told
/// apart; the range of its values and the norm of its gradient, which colours it from vanishing
/// (blue) to exploding (red) against the median; the local rule as derive() writes it, and the
/// source line, as a tooltip. What made the first NaN or infinity has a thick red border, and what
/// has the first such gradient a dashed one; both as the graph is computed again in f64. A leaf
/// that many operations use is drawn again beside each. Arrows run beside boxes, never behind them;
/// a tall graph goes on in another column. Needs no other program. Throws errors as derive()
/// does.
std::string graph_svg(const Tensor& loss, const PictureOptions& options = {},
                      Where where = Where::current());

/// The same as a page that opens with the whole graph in view, to be zoomed and dragged. Beside it
/// stand the gradients' formulas in the order of the backward sweep, which can be played step by
/// step; a click on a box shows its formulas, and one on a formula its box. Where parameters have
/// dotted names their modules, and where the program has a loop its steps are folded and unfolded;
/// it opens with as much as can be read. Self-contained.
std::string graph_html(const Tensor& loss, Where where = Where::current());

}  // namespace chainrule
