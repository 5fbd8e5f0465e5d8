#pragma once

#include <string>
#include <vector>

namespace chainrule::picture {

/// One of the pictures that a page shows, one at a time.
struct Scene {
  std::string id;     ///< the module that is unfolded in it, or a sign that no module is called
  std::string label;  ///< in the menu
  std::string svg;    ///< its boxes are of class "node", modules with their name as data-module
};

/// A page of HTML that needs no network: a menu of the scenes where there are several, and a panel
/// that shows the <title> of the box that is pointed at.
std::string page_of(const std::vector<Scene>& scenes, const std::string& shown_first);

}  // namespace chainrule::picture
