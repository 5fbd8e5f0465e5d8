#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace chainrule::picture {

/// One of the pictures that a page shows, one at a time.
struct Scene {
  std::string id;     ///< the module that is unfolded in it, or a sign that no module is called
  std::string label;  ///< in the menu
  /// Its boxes are of class "node", with the nodes that they stand for as data-nodes, and modules
  /// with their name as data-module.
  std::string svg;
  std::size_t boxes = 0;  ///< how many
  double scale = 1;       ///< how large it can be shown
};

/// What a page says of a node.
struct Note {
  std::uint32_t node = 0;
  std::string title;     ///< "h1 (3, 1) f64"
  std::string forward;   ///< "h1 = σ(z1)"; "" for leaves
  std::string gradient;  ///< "dh1 = (W2)ᵀ·dz2"; "" where there is none
  std::string numbers;   ///< the ranges of the two
  std::string place;     ///< "my_model.cpp:41"
};

/// A page of HTML that needs no network: the scenes, with a menu where there are several, to be
/// zoomed and dragged; beside them what is said of the box that was clicked, and the formulas of
/// the gradients in the order of `notes`, in which the backward sweep can be played.
std::string page_of(const std::vector<Scene>& scenes, const std::string& shown_first,
                    const std::vector<Note>& notes, const std::string& legend);

}  // namespace chainrule::picture
