#include <chainrule/graph/picture/layout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

// Drawings are judged by geometry alone: where boxes and lines are.

using namespace chainrule::picture;

TEST_SUITE_BEGIN("graph");

namespace {

struct Drawing {
  std::vector<Box> boxes;
  std::vector<Arrow> arrows;
  Point size;
};

bool apart(double a_low, double a_high, double b_low, double b_high) {
  return a_high <= b_low || b_high <= a_low;
}

double left(const Box& b) { return b.centre.x - b.width / 2; }
double right(const Box& b) { return b.centre.x + b.width / 2; }
double top(const Box& b) { return b.centre.y - b.height / 2; }
double bottom(const Box& b) { return b.centre.y + b.height / 2; }

// The rectangle around a part of an arrow, in which it may be bent, and a box.
bool apart(Point a, Point b, const Box& box) {
  return apart(std::min(a.x, b.x), std::max(a.x, b.x), left(box), right(box)) ||
         apart(std::min(a.y, b.y), std::max(a.y, b.y), top(box), bottom(box));
}

// "" for a drawing in which boxes stand apart and inside of the picture, arrows come from the foot
// of a box to the head of another, and none runs behind a box.
std::string faults(const Drawing& d) {
  std::string text;
  for (std::size_t i = 0; i < d.boxes.size(); ++i) {
    const Box& a = d.boxes[i];
    if (left(a) < 0 || top(a) < 0 || right(a) > d.size.x || bottom(a) > d.size.y)
      text += "box " + std::to_string(i) + " is outside of the picture\n";
    for (std::size_t k = i + 1; k < d.boxes.size(); ++k) {
      const Box& b = d.boxes[k];
      if (!apart(left(a), right(a), left(b), right(b)) &&
          !apart(top(a), bottom(a), top(b), bottom(b)))
        text += "boxes " + std::to_string(i) + " and " + std::to_string(k) + " overlap\n";
    }
  }
  for (const Arrow& arrow : d.arrows) {
    const std::string name = std::to_string(arrow.from) + " → " + std::to_string(arrow.to);
    const Box &from = d.boxes[arrow.from], &to = d.boxes[arrow.to];
    if (arrow.points.size() < 2 || arrow.points.front().x != from.centre.x ||
        arrow.points.front().y != bottom(from) || arrow.points.back().x != to.centre.x ||
        arrow.points.back().y != top(to)) {
      text += name + " does not go from box to box\n";
      continue;
    }
    for (std::size_t p = 1; p < arrow.points.size(); ++p)
      for (std::size_t i = 0; i < d.boxes.size(); ++i)
        if (!apart(arrow.points[p - 1], arrow.points[p], d.boxes[i]))
          text += name + " runs behind box " + std::to_string(i) + "\n";
  }
  return text;
}

Drawing drawn(std::vector<Box> boxes, std::vector<Arrow> arrows) {
  Drawing d{std::move(boxes), std::move(arrows), {}};
  d.size = place(d.boxes, d.arrows);
  return d;
}

// How many pairs of straight lines between neighbours of a layered drawing cross.
int crossings(const Drawing& d) {
  int count = 0;
  for (const Arrow& a : d.arrows)
    for (const Arrow& b : d.arrows) {
      if (d.boxes[a.from].centre.y != d.boxes[b.from].centre.y) continue;
      count += d.boxes[a.from].centre.x < d.boxes[b.from].centre.x &&
               d.boxes[a.to].centre.x > d.boxes[b.to].centre.x;
    }
  return count;
}

}  // namespace

TEST_CASE("layout: no arrow runs behind a box, in graphs of any form") {
  std::mt19937 random(7);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int graph = 0; graph < 60; ++graph) {
    const std::uint32_t n = 2 + below(60);
    std::vector<Box> boxes;
    std::vector<Arrow> arrows;
    // Chains with branches, and arrows over any distance; the more of these, the wider.
    const std::uint32_t reach = 1 + below(graph % 3 == 0 ? 2 : n);
    for (std::uint32_t i = 0; i < n; ++i) {
      boxes.push_back({30.0 + below(150), 20.0 + below(70), {}});
      for (std::uint32_t k = 0; i > 0 && k < 1 + below(3); ++k) {
        const std::uint32_t from = i - 1 - below(std::min(i, reach));
        if (std::ranges::none_of(arrows,
                                 [&](const Arrow& a) { return a.from == from && a.to == i; }))
          arrows.push_back({from, i, {}});
      }
    }
    CAPTURE(graph);
    CHECK(faults(drawn(boxes, arrows)) == "");
  }
}

TEST_CASE("layout: what is tall goes on in another column, and what is not stays in one") {
  const auto chain = [](std::uint32_t n) {
    std::vector<Arrow> arrows;
    for (std::uint32_t i = 1; i < n; ++i) arrows.push_back({i - 1, i, {}});
    arrows.push_back({0, n - 1, {}});  // one that goes all the way
    return drawn(std::vector<Box>(n, {100, 50, {}}), arrows);
  };
  const Drawing small = chain(8), tall = chain(60);
  CHECK(faults(small) == "");
  CHECK(faults(tall) == "");
  for (const Arrow& arrow : small.arrows)
    CHECK(small.boxes[arrow.from].centre.y < small.boxes[arrow.to].centre.y);
  CHECK(scale_of(small.size) == 1);
  CHECK(scale_of(tall.size) > 0.7);  // in one column it would be 780 / (60 · 90) = 0.14
}

TEST_CASE("layout: crossings that need not be are undone") {
  // Six boxes above and six below, joined in an order that looks at random; alone it has none.
  const std::vector<std::uint32_t> partner{3, 5, 0, 4, 1, 2};
  std::vector<Arrow> arrows;
  for (std::uint32_t i = 0; i < 6; ++i) arrows.push_back({i, 6 + partner[i], {}});
  const Drawing pairs = drawn(std::vector<Box>(12, {40, 20, {}}), arrows);
  CHECK(crossings(pairs) == 0);
  // A ladder of two chains, each of whose steps is joined to the same of the other.
  std::vector<Arrow> ladder;
  for (std::uint32_t i = 2; i < 12; ++i) ladder.push_back({i - 2, i, {}});
  for (std::uint32_t i = 0; i < 10; i += 2) ladder.push_back({i, i + 3, {}});
  CHECK(crossings(drawn(std::vector<Box>(12, {40, 20, {}}), ladder)) == 0);
}

TEST_CASE("layout: a chain stands straight, whatever hangs on it") {
  // h1 … h4, each from the one before, a weight and a bias.
  std::vector<Box> boxes{{60, 40, {}}};
  std::vector<Arrow> arrows;
  std::vector<std::uint32_t> chain{0};
  for (int layer = 0; layer < 4; ++layer) {
    const auto at = static_cast<std::uint32_t>(boxes.size());
    boxes.push_back({120, 40, {}});
    boxes.push_back({90, 40, {}});
    boxes.push_back({70, 40, {}});
    for (const std::uint32_t from : {chain.back(), at, at + 1})
      arrows.push_back({from, at + 2, {}});
    chain.push_back(at + 2);
  }
  const Drawing d = drawn(boxes, arrows);
  // What it begins with is one of three beside each other.
  for (std::size_t k = 2; k < chain.size(); ++k)
    CHECK(std::abs(d.boxes[chain[k]].centre.x - d.boxes[chain[1]].centre.x) < 2);
  CHECK(place({}, {}).x > 0);  // nothing is drawn, too
}

TEST_SUITE_END();
