#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/picture/layout.hpp>
#include <chainrule/graph/picture/measures.hpp>
#include <chainrule/graph/picture/page.hpp>
#include <chainrule/graph/picture/steps.hpp>
#include <chainrule/graph/picture/view.hpp>

namespace chainrule::picture {

/// A recorded graph as it is drawn: what stands in its boxes, how they look, and what is said of
/// them.
class Figure {
 public:
  /// Throws GradError as derive() does.
  Figure(const Tensor& loss, const char* caller, const Where& where);

  /// The modules that there are at a depth, and for each node which one it is in.
  std::vector<std::string> modules_at(int depth) const;
  /// The program's loop, in which each step may be folded as a module.
  const Steps& steps() const noexcept { return steps_; }

  /// A drawing for which nothing else is needed, with tooltips and the legend.
  std::string still(const std::vector<std::string>& modules, const std::set<std::string>& folded);
  /// One for a page, whose boxes say which nodes they stand for.
  Scene scene(const std::vector<std::string>& modules, const std::set<std::string>& folded);
  /// What colours and borders mean, as a drawing.
  std::string legend() const;
  /// What the page says of each node, in the order of the backward sweep, and behind these of those
  /// without a gradient.
  std::vector<Note> notes();

 private:
  struct Drawn {
    std::string svg;
    Point size;
    std::size_t boxes = 0;
  };
  Drawn drawn(const std::vector<std::string>& modules, const std::set<std::string>& folded,
              bool for_page);
  std::string box_of(const View::Item& item, const Box& box, bool for_page);
  std::vector<std::string> lines_of(const View::Item& item);
  std::vector<std::string> lines_of_module(const View::Item& item);
  std::string range_of(std::uint32_t i) const;
  std::string norm_text(std::uint32_t i) const;
  double norm_of(const View::Item& item) const;
  bool is_step(const View::Item& item) const;
  std::uint32_t last_result(const View::Item& item) const;
  const std::string& label_of(std::uint32_t i);
  std::string labelled(std::uint32_t i) const;
  const Note& note_of(std::uint32_t i);
  std::string tooltip_of(const View::Item& item);
  bool is_parameter(std::uint32_t i) const;
  static bool contains(const View::Item& item, std::uint32_t node);
  Drawn legend_entries() const;

  derivation::Trace trace_;
  derivation::Naming names_;
  std::vector<std::string> modules_;
  Steps steps_;
  std::vector<derivation::Environment> points_;
  Measures measures_;
  std::vector<std::vector<std::uint32_t>> uses_;  // of each node, by others
  std::map<std::uint32_t, std::string> labels_;
  std::map<std::uint32_t, Note> notes_;
};

}  // namespace chainrule::picture
