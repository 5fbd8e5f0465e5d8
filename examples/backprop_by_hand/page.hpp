#pragma once

#include <string>
#include <vector>

#include <chainrule/examples/common/progress.hpp>
#include <chainrule/graph/derivation/derive.hpp>

namespace by_hand {

/// Writes an HTML page that needs nothing else: the derivation in full, the graph (an SVG), and the
/// losses of the training's epochs as a curve. Throws chainrule::IoError when it cannot be written.
void write_page(const std::string& file, const std::string& network,
                const chainrule::Derivation& derivation, const std::string& graph,
                const std::vector<examples::Progress::Epoch>& history);

}  // namespace by_hand
