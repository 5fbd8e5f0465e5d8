#include <chainrule/examples/backprop_by_hand/page.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include <chainrule/core/error.hpp>

namespace by_hand {

namespace {

constexpr double width = 640, height = 260, margin = 46;

// The losses of all epochs as a line, on a logarithmic scale from `low` to `high`.
std::string line(const std::vector<examples::Progress::Epoch>& history,
                 examples::Score examples::Progress::Epoch::* which, double low, double high,
                 const char* colour) {
  std::string points;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const double loss = std::max((history[i].*which).loss, low);
    const double x = margin + (width - 2 * margin) * static_cast<double>(i) /
                                  std::max<double>(1, static_cast<double>(history.size() - 1));
    const double y = margin + (height - 2 * margin) * std::log(high / loss) / std::log(high / low);
    points += fmt::format("{:.1f},{:.1f} ", x, y);
  }
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                     points, colour);
}

std::string curve(const std::vector<examples::Progress::Epoch>& history) {
  if (history.empty()) return "<p>No training in this run.</p>\n";
  double low = history[0].train.loss, high = low;
  for (const auto& [train, test] : history)
    for (const double loss : {train.loss, test.loss}) {
      low = std::min(low, loss);
      high = std::max(high, loss);
    }
  low = std::max(low, high * 1e-6) * 0.9;
  high *= 1.1;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "font-family=\"system-ui, sans-serif\" font-size=\"12\">\n",
      width, height);
  for (double tick = std::pow(10, std::floor(std::log10(low))); tick <= high; tick *= 10)
    for (const double at : {tick, 2 * tick, 5 * tick}) {
      if (at < low || at > high) continue;
      const double y = margin + (height - 2 * margin) * std::log(high / at) / std::log(high / low);
      svg += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
          "<text x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:g}</text>\n",
          margin, width - margin, y, margin - 6, y + 4, at);
    }
  svg += line(history, &examples::Progress::Epoch::train, low, high, "#1f5fbf");
  svg += line(history, &examples::Progress::Epoch::test, low, high, "#c03020");
  svg += fmt::format(
      "<text x=\"{:.1f}\" y=\"20\">loss on a logarithmic scale: "
      "<tspan fill=\"#1f5fbf\">training</tspan>, <tspan fill=\"#c03020\">test</tspan></text>\n"
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{} epochs</text>\n</svg>\n",
      margin, width - margin, height - 14, history.size());
  return svg;
}

}  // namespace

void write_page(const std::string& file, const std::string& network,
                const chainrule::Derivation& derivation, const std::string& graph,
                const std::vector<examples::Progress::Epoch>& history) {
  std::ofstream out(file);
  out << "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>The network "
      << network
      << "</title>\n<style>\n"
         "  body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; }\n"
         "</style>\n<h1>The network "
      << network << "</h1>\n<h2>The chain rule, from the output to the input</h2>\n"
      << derivation.html_table() << "<h2>Training</h2>\n"
      << curve(history) << "<h2>The graph of one image</h2>\n"
      << graph << "</html>\n";
  out.flush();
  if (!out) throw chainrule::IoError(fmt::format("{}: the page cannot be written", file));
}

}  // namespace by_hand
