#include <chainrule/graph/picture/picture.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/modules.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/picture/layout.hpp>
#include <chainrule/graph/picture/page.hpp>
#include <chainrule/graph/picture/view.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule {

using derivation::Naming;
using derivation::Trace;

namespace {

struct Statistics {
  double least = 0, most = 0, norm = 0;
  bool finite = true;
};

Statistics statistics_of(const Tensor& x) {
  Statistics s;
  if (!x.defined() || x.numel() == 0) return s;
  const std::vector<double> elements = to(x.detach(), f64).to_vector<double>();
  s.least = s.most = elements[0];
  for (const double e : elements) {
    s.least = std::min(s.least, e);
    s.most = std::max(s.most, e);
    s.norm += e * e;
    s.finite &= std::isfinite(e);
  }
  s.norm = std::sqrt(s.norm);
  return s;
}

// Blue where a gradient is much smaller than the median, red where it is much larger.
std::string colour_of(double norm, double median) {
  if (!(norm > 0) || !(median > 0)) return norm == 0 ? "#9db7e8" : "#ffffff";
  const double decades = std::clamp(std::log10(norm / median) / 3, -1.0, 1.0);
  const int other = static_cast<int>(std::lround(255 - 110 * std::abs(decades)));
  return decades < 0 ? fmt::format("#{0:02x}{0:02x}ff", other)
                     : fmt::format("#ff{0:02x}{0:02x}", other);
}

// All nodes of a graph get the names that formulas need.
std::vector<Tensor> all_nodes(const Tensor& loss) {
  const Traversal traversal(std::span(&loss, 1), Traversal::Visit::differentiable);
  std::vector<Tensor> nodes;
  for (std::size_t i = 0; i < traversal.size(); ++i)
    nodes.push_back(Tensor(Ref<Value>(), Ref<Node>::share(&traversal.node(i))));
  return nodes;
}

class Picture {
 public:
  Picture(const Tensor& loss, const char* caller, const Where& where)
      : trace_(loss, loss.node() ? all_nodes(loss) : std::vector<Tensor>(), caller, where),
        names_(trace_),
        modules_(derivation::modules_of(trace_.traversal())) {
    measure();
  }

  /// The modules that there are at a depth, and for each node which one it is in.
  std::vector<std::string> modules_at(int depth) const {
    std::vector<std::string> modules;
    for (const std::string& path : modules_)
      modules.emplace_back(derivation::outer_module(path, depth));
    return modules;
  }

  std::size_t size() const { return trace_.size(); }

  std::string svg(const std::vector<std::string>& modules, const std::set<std::string>& folded,
                  bool interactive) {
    const View view = picture::view_of(trace_.traversal(), modules, folded);
    std::vector<picture::Box> boxes;
    std::vector<picture::Arrow> arrows;
    for (const View::Item& item : view.items) {
      std::size_t longest = 0;
      const std::vector<std::string> lines = lines_of(item);
      for (const std::string& line : lines) longest = std::max(longest, detail::width_of(line));
      boxes.push_back({7.0 * static_cast<double>(longest) + 16,
                       15.0 * static_cast<double>(lines.size()) + 10,
                       {}});
    }
    for (const View::Edge& edge : view.edges) arrows.push_back({edge.from, edge.to, {}});
    const picture::Point size = picture::place(boxes, arrows);
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" font-family=\"system-ui, sans-serif\" "
        "font-size=\"12\">\n",
        std::max(size.x, legend_width), size.y + legend_height);
    for (const picture::Arrow& arrow : arrows) out += path_of(arrow);
    for (std::size_t k = 0; k < boxes.size(); ++k)
      out += box_of(view.items[k], boxes[k], interactive);
    return out + legend(size.y) + "</svg>\n";
  }

 private:
  using View = picture::View;
  static constexpr double legend_width = 640, legend_height = 34;

  void measure() {
    std::vector<double> norms;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      values_.push_back(statistics_of(trace_.replay().value(i)));
      gradients_.push_back(statistics_of(trace_.environment().gradients[i]));
      if (i == trace_.loss()) gradients_.back().norm = 1;  // dL/dL
      if (gradients_.back().norm > 0) norms.push_back(gradients_.back().norm);
    }
    std::ranges::sort(norms);
    median_ = norms.empty() ? 0 : norms[norms.size() / 2];
    for (std::uint32_t i = 0; i < trace_.size() && first_bad_ == Traversal::none; ++i)
      if (!values_[i].finite) first_bad_ = i;
  }

  bool is_parameter(std::uint32_t i) const {
    return trace_.node(i).is_leaf() && trace_.node(i).requires_grad();
  }

  // The gradient of all parameters of a module together; of its first result where it has none.
  double norm_of(const View::Item& item) const {
    if (item.module.empty()) return gradients_[item.node].norm;
    double squares = 0;
    for (const std::uint32_t i : item.inside)
      if (is_parameter(i)) squares += gradients_[i].norm * gradients_[i].norm;
    return squares > 0 ? std::sqrt(squares) : gradients_[item.inside.front()].norm;
  }

  std::vector<std::string> lines_of(const View::Item& item) {
    if (!item.module.empty()) {
      const auto parameters =
          std::ranges::count_if(item.inside, [&](std::uint32_t i) { return is_parameter(i); });
      return {item.module + " · module",
              fmt::format("{} operations",
                          static_cast<std::ptrdiff_t>(item.inside.size()) - parameters),
              fmt::format("{} parameters", parameters), fmt::format("‖d‖ {:.2g}", norm_of(item))};
    }
    const std::uint32_t i = item.node;
    const Node& node = trace_.node(i);
    if (item.is_copy) return {names_.tensor(i)};
    const std::string op =
        node.is_leaf() ? (node.requires_grad() ? "parameter" : "data") : picture::op_of(node);
    if (!trace_.is_tensor(i)) return {op};
    std::vector<std::string> lines{node.name().empty() ? op : names_.tensor(i) + " · " + op,
                                   to_string(node.shape())};
    const auto& [least, most, norm, finite] = values_[i];
    if (node.shape().numel() > 0)
      lines.push_back(!finite         ? "not finite"
                      : least == most ? fmt::format("{:.3g}", least)
                                      : fmt::format("{:.3g} … {:.3g}", least, most));
    if (trace_.gradient(i)) lines.push_back(fmt::format("‖d‖ {:.2g}", gradients_[i].norm));
    return lines;
  }

  static std::string path_of(const picture::Arrow& arrow) {
    std::string d = fmt::format("M{:.1f} {:.1f}", arrow.points[0].x, arrow.points[0].y);
    for (std::size_t k = 1; k < arrow.points.size(); ++k) {
      const picture::Point &a = arrow.points[k - 1], &b = arrow.points[k];
      const double middle = (a.y + b.y) / 2;
      d += fmt::format("C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", a.x, middle, b.x, middle, b.x,
                       b.y);
    }
    // The head is drawn, not a marker, whose name would be one for all pictures of a page.
    const picture::Point& tip = arrow.points.back();
    return fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke=\"#555\"/>"
        "<path d=\"M{:.1f} {:.1f}l-3.5 -7h7z\" fill=\"#555\"/>\n",
        d, tip.x, tip.y);
  }

  // What the colours and borders mean, below the graph.
  std::string legend(double top) const {
    double x = 16;
    std::string out = fmt::format("<g font-size=\"11\" transform=\"translate(0 {:.0f})\">", top);
    const auto entry = [&](std::string_view fill, std::string_view border, std::string_view words) {
      out += fmt::format(
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
    if (first_bad_ != Traversal::none)
      entry("#fff", "stroke=\"#d00000\" stroke-width=\"4\"", "first NaN or infinity");
    return out + "</g>\n";
  }

  // What the tooltip and the panel say.
  const std::string& details_of(std::uint32_t i) {
    const auto [at, added] = details_.try_emplace(i);
    if (!added) return at->second;
    const Node& node = trace_.node(i);
    if (!trace_.is_tensor(i))
      return at->second = fmt::format("{}\n{}:{}", picture::op_of(node), node.where().file_name(),
                                      node.where().line());
    std::string text =
        fmt::format("{} {} {}", names_.tensor(i), to_string(node.shape()), name_of(node.dtype()));
    if (trace_.forward(i))
      text += fmt::format("\n{} = {}", names_.tensor(i), names_.text(trace_.forward(i)));
    if (trace_.gradient(i))
      text += fmt::format(
          "\n{} = {}", derivation::gradient_text(names_.tensor(i), derivation::Format::unicode),
          names_.text(derivation::simplified(trace_, i, points_).back().expression));
    text += fmt::format("\n{}:{}", node.where().file_name(), node.where().line());
    return at->second = std::move(text);
  }

  std::string details_of(const View::Item& item) {
    if (item.is_copy)  // the rest is said where it stands first
      return fmt::format("{} {}", names_.tensor(item.node),
                         to_string(trace_.node(item.node).shape()));
    if (item.module.empty()) return details_of(item.node);
    std::string text = item.module;
    for (const std::uint32_t i : item.inside)
      if (trace_.forward(i))
        text += fmt::format("\n{} = {}", names_.tensor(i), names_.text(trace_.forward(i)));
    for (const std::uint32_t i : item.inside)
      if (is_parameter(i))
        text += fmt::format("\n{} {}, ‖d‖ {:.2g}", names_.tensor(i),
                            to_string(trace_.node(i).shape()), gradients_[i].norm);
    return text;
  }

  std::string box_of(const View::Item& item, const picture::Box& box, bool interactive) {
    const bool is_module = !item.module.empty();
    const bool leaf = !is_module && trace_.node(item.node).is_leaf();
    const bool parameter = leaf && is_parameter(item.node);
    const bool bad = is_module ? std::ranges::find(item.inside, first_bad_) != item.inside.end()
                               : item.node == first_bad_;
    const double x = box.centre.x - box.width / 2, y = box.centre.y - box.height / 2;
    const std::string fill =
        is_module || trace_.gradient(item.node) ? colour_of(norm_of(item), median_) : "#eeeeee";
    const char* stroke = bad         ? "#d00000\" stroke-width=\"4"
                         : parameter ? "#2e8b57\" stroke-width=\"2"
                         : is_module ? "#333\" stroke-width=\"3"
                                     : "#777";
    std::string out = interactive
                          ? fmt::format("<g class=\"node\"{}>",
                                        is_module ? fmt::format(" data-module=\"{}\"",
                                                                derivation::in_markup(item.module))
                                                  : "")
                          : "<g>";
    out += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" "
        "fill=\"{}\" stroke=\"{}\"{}/>",
        x, y, box.width, box.height, leaf || is_module ? 0 : 9, fill, stroke,
        leaf && !parameter ? " stroke-dasharray=\"4 2\"" : "");
    double line = y + 18;
    for (const std::string& text : lines_of(item)) {
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\"{}>{}</text>",
                         box.centre.x, line, line < y + 19 ? " font-weight=\"bold\"" : "",
                         derivation::in_markup(text));
      line += 15;
    }
    return out + fmt::format("<title>{}</title></g>\n", derivation::in_markup(details_of(item)));
  }

  Trace trace_;
  Naming names_;
  std::vector<std::string> modules_;
  std::vector<derivation::Environment> points_ = derivation::certifying_points(trace_);
  std::vector<Statistics> values_, gradients_;
  std::map<std::uint32_t, std::string> details_;
  double median_ = 0;
  std::uint32_t first_bad_ = Traversal::none;
};

std::set<std::string> names_in(const std::vector<std::string>& modules) {
  std::set<std::string> names(modules.begin(), modules.end());
  names.erase("");
  return names;
}

// A graph of more nodes is shown folded at first.
constexpr std::size_t most_unfolded = 60;
// Of more modules, none is unfolded alone.
constexpr std::size_t most_choices = 12;

}  // namespace

std::string graph_svg(const Tensor& loss, const PictureOptions& options, Where where) {
  if (options.fold_modules < 0)
    throw ValueError(
        fmt::format("graph_svg: fold_modules = {}: a number of names cannot be negative",
                    options.fold_modules),
        where, "0 folds none, 1 the outermost");
  return detail::naming_all_memory("graph_svg", where, [&] {
    Picture picture(loss, "graph_svg", where);
    const std::vector<std::string> modules = picture.modules_at(options.fold_modules);
    return picture.svg(
        modules, options.fold_modules > 0 ? names_in(modules) : std::set<std::string>(), false);
  });
}

std::string graph_html(const Tensor& loss, Where where) {
  return detail::naming_all_memory("graph_html", where, [&] {
    Picture picture(loss, "graph_html", where);
    const std::vector<std::string> modules = picture.modules_at(1);
    const std::set<std::string> all = names_in(modules);
    std::vector<picture::Scene> scenes;
    const auto add = [&](const std::string& id, const std::string& label,
                         const std::set<std::string>& folded) {
      scenes.push_back({id, label, picture.svg(modules, folded, true)});
    };
    add("", "all operations", {});
    if (!all.empty()) add("*", "modules folded", all);
    if (all.size() > 1 && all.size() <= most_choices)
      for (const std::string& module : all) {
        std::set<std::string> others = all;
        others.erase(module);
        add(module, module + " unfolded", others);
      }
    return picture::page_of(scenes, !all.empty() && picture.size() > most_unfolded ? "*" : "");
  });
}

}  // namespace chainrule
