#include <chainrule/graph/picture.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/picture/layout.hpp>

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
  if (!x.defined() || !is_floating(x.dtype()) || x.numel() == 0) return s;
  const std::vector<double> elements = x.to_vector<double>();
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
        names_(trace_) {}

  std::string svg(bool interactive) {
    measure();
    place();
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker>"
        "</defs>\n",
        size_.x, size_.y);
    for (const picture::Arrow& arrow : arrows_) out += path_of(arrow);
    for (std::uint32_t i = 0; i < trace_.size(); ++i) out += box_of(i, interactive);
    return out + "</svg>\n";
  }

 private:
  void measure() {
    std::vector<double> norms;
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      values_.push_back(statistics_of(trace_.replay().value(i)));
      gradients_.push_back(statistics_of(trace_.environment().gradients[i]));
      if (gradients_.back().norm > 0) norms.push_back(gradients_.back().norm);
    }
    std::ranges::sort(norms);
    median_ = norms.empty() ? 0 : norms[norms.size() / 2];
    for (std::uint32_t i = 0; i < trace_.size() && first_bad_ == Traversal::none; ++i)
      if (!values_[i].finite) first_bad_ = i;
  }

  std::vector<std::string> lines_of(std::uint32_t i) {
    const Node& node = trace_.node(i);
    const std::string op = node.is_leaf() ? (node.requires_grad() ? "parameter" : "data")
                                          : std::string(node.op()->name());
    std::vector<std::string> lines{node.name().empty() ? op : names_.tensor(i) + " · " + op,
                                   to_string(node.shape())};
    if (values_[i].finite)
      lines.push_back(fmt::format("{:.3g} … {:.3g}", values_[i].least, values_[i].most));
    else
      lines.push_back("not finite");
    if (trace_.gradient(i)) lines.push_back(fmt::format("‖d‖ {:.2g}", gradients_[i].norm));
    return lines;
  }

  void place() {
    for (std::uint32_t i = 0; i < trace_.size(); ++i) {
      std::size_t longest = 0;
      const std::vector<std::string> lines = lines_of(i);
      for (const std::string& line : lines)
        longest = std::max(longest, static_cast<std::size_t>(std::ranges::count_if(
                                        line, [](char c) { return (c & 0xC0) != 0x80; })));
      boxes_.push_back({7.0 * static_cast<double>(longest) + 16,
                        15.0 * static_cast<double>(lines.size()) + 10,
                        {}});
      for (const std::uint32_t edge : trace_.traversal().edges(i))
        if (edge != Traversal::none) arrows_.push_back({edge, i, {}});
    }
    size_ = picture::place(boxes_, arrows_);
  }

  static std::string path_of(const picture::Arrow& arrow) {
    std::string d = fmt::format("M{:.1f} {:.1f}", arrow.points[0].x, arrow.points[0].y);
    for (std::size_t k = 1; k < arrow.points.size(); ++k) {
      const picture::Point &a = arrow.points[k - 1], &b = arrow.points[k];
      const double middle = (a.y + b.y) / 2;
      d += fmt::format("C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", a.x, middle, b.x, middle, b.x,
                       b.y);
    }
    return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#555\" marker-end=\"url(#tip)\"/>\n",
                       d);
  }

  // What the tooltip and the panel say.
  std::string details_of(std::uint32_t i) {
    const Node& node = trace_.node(i);
    std::string text =
        fmt::format("{} {} {}", names_.tensor(i), to_string(node.shape()), name_of(node.dtype()));
    if (trace_.forward(i))
      text += fmt::format("\n{} = {}", names_.tensor(i), names_.text(trace_.forward(i)));
    if (trace_.gradient(i))
      text += fmt::format("\nd{} = {}", names_.tensor(i),
                          names_.text(derivation::simplified(trace_, i, {}).back().expression));
    return text + fmt::format("\n{}:{}", node.where().file_name(), node.where().line());
  }

  std::string box_of(std::uint32_t i, bool interactive) {
    const Node& node = trace_.node(i);
    const picture::Box& box = boxes_[i];
    const double x = box.centre.x - box.width / 2, y = box.centre.y - box.height / 2;
    const bool parameter = node.is_leaf() && node.requires_grad();
    const std::string fill =
        trace_.gradient(i) ? colour_of(gradients_[i].norm, median_) : "#eeeeee";
    const char* stroke = i == first_bad_ ? "#d00000\" stroke-width=\"4"
                         : parameter     ? "#2e8b57\" stroke-width=\"2"
                                         : "#777";
    std::string out = fmt::format(
        "<g{}><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\" "
        "fill=\"{}\" stroke=\"{}\"{}/>",
        interactive ? " class=\"node\"" : "", x, y, box.width, box.height, node.is_leaf() ? 0 : 9,
        fill, stroke, node.is_leaf() && !parameter ? " stroke-dasharray=\"4 2\"" : "");
    double line = y + 18;
    for (const std::string& text : lines_of(i)) {
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\"{}>{}</text>",
                         box.centre.x, line, line < y + 19 ? " font-weight=\"bold\"" : "",
                         derivation::in_markup(text));
      line += 15;
    }
    return out + fmt::format("<title>{}</title></g>\n", derivation::in_markup(details_of(i)));
  }

  Trace trace_;
  Naming names_;
  std::vector<Statistics> values_, gradients_;
  std::vector<picture::Box> boxes_;
  std::vector<picture::Arrow> arrows_;
  picture::Point size_;
  double median_ = 0;
  std::uint32_t first_bad_ = Traversal::none;
};

}  // namespace

std::string graph_svg(const Tensor& loss, Where where) {
  return Picture(loss, "graph_svg", where).svg(false);
}

std::string graph_html(const Tensor& loss, Where where) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Graph</title>\n"
         "<style>\n"
         "  body { margin: 0; font: 14px/1.4 system-ui, sans-serif; }\n"
         "  #panel { position: fixed; right: 0; top: 0; max-width: 40em; margin: 1em; padding: "
         "1em;\n"
         "    background: #fffd; border: 1px solid #999; white-space: pre-wrap; }\n"
         "  .node { cursor: pointer; }\n  .kept rect { stroke-width: 3; }\n"
         "</style>\n<div id=\"panel\">Point at a node for its rule, click to keep it.</div>\n" +
         Picture(loss, "graph_html", where).svg(true) +
         "<script>\n"
         "const panel = document.getElementById('panel');\n"
         "let kept = null;\n"
         "for (const node of document.querySelectorAll('.node')) {\n"
         "  const show = () => { panel.textContent = node.querySelector('title').textContent; };\n"
         "  node.addEventListener('mouseenter', () => { if (!kept) show(); });\n"
         "  node.addEventListener('click', () => {\n"
         "    if (kept) kept.classList.remove('kept');\n"
         "    kept = kept === node ? null : node;\n"
         "    if (kept) { kept.classList.add('kept'); show(); }\n"
         "  });\n"
         "}\n"
         "</script>\n</html>\n";
}

}  // namespace chainrule
