#pragma once

#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

struct PictureOptions {
  /// Modules of this many names in a row ("encoder" has encoder.0.weight) are one box each; 0:
  /// none.
  int fold_modules = 0;
};

/// The recorded graph behind the scalar `loss` as an SVG: a box for every node with its op, name
/// and shape; parameters, named data and results told apart; the range of its values and the norm
/// of its gradient, which colours it from vanishing (blue) to exploding (red) against the median;
/// the local rule as derive() writes it, and the source line, as a tooltip. What made the first NaN
/// or infinity has a thick red border. A leaf that many operations use is drawn again beside each.
/// Needs no other program. Throws GradError as derive() does.
std::string graph_svg(const Tensor& loss, const PictureOptions& options = {},
                      Where where = Where::current());

/// The same as a page with a panel that shows the node under the pointer, and keeps the one that
/// was clicked; and, where parameters have dotted names, with modules to fold and unfold.
/// Self-contained.
std::string graph_html(const Tensor& loss, Where where = Where::current());

}  // namespace chainrule
