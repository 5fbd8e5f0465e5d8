#include <chainrule/graph/picture/figure.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/modules.hpp>

namespace chainrule::picture {

using derivation::in_markup;

namespace {

constexpr double legend_height = 34;
constexpr const char* bad_border = "#d00000\" stroke-width=\"4";
constexpr const char* bad_gradient_border = "#d00000\" stroke-width=\"4\" stroke-dasharray=\"6 3";

// All nodes of a graph get the names that formulas need.
std::vector<Tensor> all_nodes(const Tensor& loss) {
  if (!loss.node()) return {};
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::differentiable);
  std::vector<Tensor> nodes;
  for (std::size_t i = 0; i < traversal.size(); ++i)
    nodes.push_back(Tensor(Ref<Value>(), Ref<Node>::share(&traversal.node(i))));
  return nodes;
}

// Rounded where it turns, and bent between layers.
std::string path_of(const Arrow& arrow) {
  std::string d = fmt::format("M{:.1f} {:.1f}", arrow.points[0].x, arrow.points[0].y);
  for (std::size_t k = 1; k < arrow.points.size(); ++k) {
    const Point &a = arrow.points[k - 1], &b = arrow.points[k];
    const double middle = (a.y + b.y) / 2;
    if (a.x == b.x || a.y == b.y)
      d += fmt::format("L{:.1f} {:.1f}", b.x, b.y);
    else
      d += fmt::format("C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", a.x, middle, b.x, middle, b.x,
                       b.y);
  }
  // The head is drawn, not a marker, whose name would be one for all pictures of a page.
  const Point& tip = arrow.points.back();
  return fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"#555\" stroke-linejoin=\"round\"/>"
      "<path d=\"M{:.1f} {:.1f}l-3.5 -7h7z\" fill=\"#555\"/>\n",
      d, tip.x, tip.y);
}

std::string drawing(double width, double height, const std::string& inside) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "width=\"{0:.0f}\" height=\"{1:.0f}\" font-family=\"system-ui, sans-serif\" "
      "font-size=\"12\">\n{2}</svg>\n",
      width, height, inside);
}

}  // namespace

Figure::Figure(const Tensor& loss, const char* caller, const Where& where)
    : trace_(loss, all_nodes(loss), caller, where),
      names_(trace_),
      modules_(derivation::modules_of(trace_.traversal())),
      steps_(steps_of(trace_.traversal())),
      points_(derivation::certifying_points(trace_)),
      measures_(trace_),
      uses_(trace_.size()) {
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    for (const std::uint32_t input : trace_.traversal().edges(i))
      if (input != Traversal::none) uses_[input].push_back(i);
}

std::vector<std::string> Figure::modules_at(int depth) const {
  std::vector<std::string> modules;
  for (const std::string& path : modules_)
    modules.emplace_back(derivation::outer_module(path, depth));
  return modules;
}

std::string Figure::still(const std::vector<std::string>& modules,
                          const std::set<std::string>& folded) {
  const Drawn graph = drawn(modules, folded, false), below = legend_entries();
  return drawing(std::max(graph.size.x, below.size.x), graph.size.y + below.size.y,
                 fmt::format("{}<g font-size=\"11\" transform=\"translate(0 {:.0f})\">{}</g>\n",
                             graph.svg, graph.size.y, below.svg));
}

Scene Figure::scene(const std::vector<std::string>& modules, const std::set<std::string>& folded) {
  const Drawn graph = drawn(modules, folded, true);
  return {.id = "",
          .label = "",
          .svg = drawing(graph.size.x, graph.size.y, graph.svg),
          .boxes = graph.boxes,
          .scale = scale_of(graph.size)};
}

std::string Figure::legend() const {
  const Drawn entries = legend_entries();
  return drawing(entries.size.x, entries.size.y, "<g font-size=\"11\">" + entries.svg + "</g>");
}

Figure::Drawn Figure::drawn(const std::vector<std::string>& modules,
                            const std::set<std::string>& folded, bool for_page) {
  const View view = view_of(trace_.traversal(), modules, folded);
  std::vector<Box> boxes;
  std::vector<Arrow> arrows;
  for (const View::Item& item : view.items) {
    std::size_t longest = 0;
    const std::vector<std::string> lines = lines_of(item);
    for (const std::string& line : lines) longest = std::max(longest, detail::width_of(line));
    boxes.push_back({7.0 * static_cast<double>(longest) + 16,
                     15.0 * static_cast<double>(lines.size()) + 10,
                     {}});
  }
  for (const View::Edge& edge : view.edges) arrows.push_back({edge.from, edge.to, {}});
  Drawn graph;
  graph.size = place(boxes, arrows);
  graph.boxes = boxes.size();
  for (const Arrow& arrow : arrows) graph.svg += path_of(arrow);
  for (std::size_t k = 0; k < boxes.size(); ++k)
    graph.svg += box_of(view.items[k], boxes[k], for_page);
  return graph;
}

std::string Figure::box_of(const View::Item& item, const Box& box, bool for_page) {
  const bool is_module = !item.module.empty();
  const bool leaf = !is_module && trace_.node(item.node).is_leaf();
  const bool parameter = leaf && is_parameter(item.node);
  const double x = box.centre.x - box.width / 2, y = box.centre.y - box.height / 2;
  const std::string fill =
      is_module || trace_.gradient(item.node) ? measures_.colour_of(norm_of(item)) : "#eeeeee";
  const char* stroke = contains(item, measures_.first_bad_value)      ? bad_border
                       : contains(item, measures_.first_bad_gradient) ? bad_gradient_border
                       : parameter                                    ? "#2e8b57\" stroke-width=\"2"
                       : is_module                                    ? "#333\" stroke-width=\"3"
                                                                      : "#777";
  std::string out = "<g";
  if (for_page) {
    out += " class=\"node\"";
    if (is_module) out += fmt::format(" data-module=\"{}\"", in_markup(item.module));
    out +=
        fmt::format(" data-nodes=\"{}\"", is_module ? fmt::format("{}", fmt::join(item.inside, " "))
                                                    : std::to_string(item.node));
  }
  out += fmt::format(
      "><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" "
      "fill=\"{}\" stroke=\"{}\"{}/>",
      x, y, box.width, box.height, leaf || is_module ? 0 : 9, fill, stroke,
      leaf && !parameter ? " stroke-dasharray=\"4 2\"" : "");
  double line = y + 18;
  for (const std::string& text : lines_of(item)) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\"{}>{}</text>",
                       box.centre.x, line, line < y + 19 ? " font-weight=\"bold\"" : "",
                       in_markup(text));
    line += 15;
  }
  if (!for_page) out += fmt::format("<title>{}</title>", in_markup(tooltip_of(item)));
  return out + "</g>\n";
}

Figure::Drawn Figure::legend_entries() const {
  double x = 16;
  Drawn legend;
  const auto entry = [&](std::string_view fill, std::string_view border, std::string_view words) {
    legend.svg += fmt::format(
        "<rect x=\"{:.0f}\" y=\"8\" width=\"18\" height=\"12\" fill=\"{}\" {}/>"
        "<text x=\"{:.0f}\" y=\"18\">{}</text>",
        x, fill, border, x + 24, words);
    x += 36 + 6 * static_cast<double>(words.size());
  };
  entry("#fff", "stroke=\"#2e8b57\" stroke-width=\"2\"", "parameter");
  entry("#eee", "stroke=\"#777\" stroke-dasharray=\"4 2\"", "data");
  entry("#fff", "stroke=\"#777\" rx=\"5\"", "result");
  entry("#9191ff", "stroke=\"#777\"", "vanishing gradient");
  entry("#ff9191", "stroke=\"#777\"", "exploding gradient");
  if (measures_.first_bad_value != Traversal::none)
    entry("#fff", fmt::format("stroke=\"{}\"", bad_border), "first NaN or infinity");
  if (measures_.first_bad_gradient != Traversal::none)
    entry("#fff", fmt::format("stroke=\"{}\"", bad_gradient_border),
          "first NaN or infinity of the gradients");
  legend.size = {x, legend_height};
  return legend;
}

}  // namespace chainrule::picture
