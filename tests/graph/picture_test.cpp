#include <chainrule/graph/picture.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/picture/layout.hpp>
#include <chainrule/tests/core/error_of.hpp>
#include <chainrule/tests/graph/textbook_network.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("picture: a box for every node, an arrow for every edge, rules as tooltips") {
  const TextbookNetwork net({4, 3, 2}, 1);
  const std::string svg = graph_svg(net.loss);
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  // x W1 b1 W2 b2 y, matmul z1 h1 matmul z2 p log mul sum neg
  CHECK(count(svg, "<rect ") == 16);
  CHECK(count(svg, "<path d=\"M") == 16 + 1);  // and the arrow's tip
  CHECK(count(svg, "W1 · parameter") == 1);
  CHECK(count(svg, "x · data") == 1);
  CHECK(svg.find("dz1 = dh1 ⊗ σ'(z1)") != std::string::npos);
  CHECK(svg.find("textbook_network.hpp:") != std::string::npos);
  const std::string page = graph_html(net.loss);
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(count(page, "class=\"node\"") == 16);
}

TEST_CASE("picture: where the first NaN comes from") {
  const Tensor w = tensor({1.0, -1.0}, f64).named("w").requires_grad_();
  const Tensor bad = log(w).named("bad");
  const std::string svg = graph_svg(sum(bad * 2.0));
  CHECK(count(svg, "stroke-width=\"4\"") == 1);
  const std::size_t at = svg.find("stroke-width=\"4\"");
  CHECK(svg.substr(at, 200).find("bad · log") != std::string::npos);
  CHECK(error_of<GradError>([&] { graph_svg(bad); }).find("is not a scalar") != std::string::npos);
}

TEST_CASE("picture: boxes of one layer do not overlap, and arrows go down") {
  // A wide graph: 40 boxes, each drawn from the two before and from the first.
  std::vector<picture::Box> boxes(40, {60, 30, {}});
  std::vector<picture::Arrow> arrows;
  for (std::uint32_t i = 1; i < boxes.size(); ++i) {
    arrows.push_back({i / 2, i, {}});
    if (i > 4) arrows.push_back({i / 4, i, {}});
  }
  const picture::Point size = picture::place(boxes, arrows);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const picture::Box& a = boxes[i];
    CHECK(a.centre.x - a.width / 2 >= 0);
    CHECK(a.centre.x + a.width / 2 <= size.x);
    CHECK(a.centre.y + a.height / 2 <= size.y);
    for (std::size_t j = i + 1; j < boxes.size(); ++j)
      if (boxes[j].centre.y == a.centre.y)
        CHECK(std::abs(boxes[j].centre.x - a.centre.x) >= a.width);
  }
  for (const picture::Arrow& arrow : arrows) {
    CHECK(boxes[arrow.from].centre.y < boxes[arrow.to].centre.y);
    CHECK(arrow.points.size() >= 2);
  }
}

TEST_SUITE_END();
