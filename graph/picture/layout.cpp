#include <chainrule/graph/picture/layout.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <chainrule/graph/picture/layers.hpp>

namespace chainrule::picture {

namespace {

constexpr double layer_gap = 40, margin = 16, lane = 7, gutter = 28;
constexpr std::size_t most_columns = 24;

// Layers that stand below one another.
struct Column {
  std::size_t first, end;               // of its layers
  double left = 0, right = 0;           // of its places, where they were found
  double height = 0;                    // of its layers
  std::vector<std::size_t> entering{};  // arrows that come from the column before
};

class Drawing {
 public:
  Drawing(std::span<Box> boxes, std::span<Arrow> arrows)
      : boxes_(boxes), arrows_(arrows), layers_(layers_of(boxes, arrows)) {
    for (const auto& layer : layers_.layers) {
      double height = 0;
      for (const std::size_t i : layer)
        if (i < boxes_.size()) height = std::max(height, boxes_[i].height);
      heights_.push_back(height);
    }
    passing_.resize(heights_.size());
    for (const auto& path : layers_.paths)
      for (std::size_t k = 1; k < path.size(); ++k) ++passing_[layers_.places[path[k]].layer];
  }

  Point draw() {
    std::vector<Column> best;
    double best_scale = 0;
    for (std::size_t count = 1; count <= std::min(most_columns, heights_.size()); ++count) {
      std::vector<Column> columns = columns_of(count);
      const double scale = scale_of(size_of(columns));
      if (best_scale == 1 || scale < 1.1 * best_scale) continue;  // each has to be worth it
      best_scale = scale;
      best = std::move(columns);
    }
    put(best);
    return size_of(best);
  }

 private:
  std::vector<Column> columns_of(std::size_t count) const {
    double total = 0;
    for (const double height : heights_) total += height + layer_gap;
    std::vector<Column> columns;
    std::size_t first = 0;
    double above = 0;  // height of the columns that are done
    while (columns.size() + 1 < count && first < heights_.size()) {
      const double wish =
          total * static_cast<double>(columns.size() + 1) / static_cast<double>(count);
      const double slack = total / static_cast<double>(count) / 5;
      // Near there, where fewest arrows pass.
      std::size_t end = first + 1;
      double here = above + heights_[first] + layer_gap, cost = std::numeric_limits<double>::max();
      double reached = here;
      for (std::size_t l = first + 1; l < heights_.size() && here <= wish + slack; ++l) {
        const double far = std::abs(here - wish) / slack;
        const double mine = static_cast<double>(passing_[l]) + 3 * far;
        if (mine < cost) {
          cost = mine;
          end = l;
          reached = here;
        }
        here += heights_[l] + layer_gap;
      }
      columns.push_back(measured(first, end));
      first = end;
      above = reached;
    }
    if (first < heights_.size()) columns.push_back(measured(first, heights_.size()));
    return columns;
  }

  Column measured(std::size_t first, std::size_t end) const {
    Column column{.first = first, .end = end};
    column.left = std::numeric_limits<double>::max();
    column.right = -column.left;
    for (std::size_t l = first; l < end; ++l) {
      column.height += heights_[l] + (l + 1 < end ? layer_gap : 0);
      for (const std::size_t i : layers_.layers[l]) {
        const Place& place = layers_.places[i];
        column.left = std::min(column.left, place.x - place.width / 2);
        column.right = std::max(column.right, place.x + place.width / 2);
      }
    }
    for (std::size_t a = 0; first > 0 && a < layers_.paths.size(); ++a) {
      const auto& path = layers_.paths[a];
      const std::size_t top = layers_.places[path.front()].layer;
      if (top < first && layers_.places[path.back()].layer >= first) column.entering.push_back(a);
    }
    // Who leaves farthest to the right turns first, so that lanes do not cross.
    std::ranges::sort(column.entering, {},
                      [&](std::size_t a) { return std::pair(-leaving(a, first).x, a); });
    return column;
  }

  // The place of a path that is the last before a layer.
  const Place& leaving(std::size_t arrow, std::size_t layer) const {
    const auto& path = layers_.paths[arrow];
    return layers_.places[path[layer - 1 - layers_.places[path.front()].layer]];
  }

  static double lanes(const Column& column) {
    return lane * static_cast<double>(column.entering.size());
  }
  // Above the layers of all columns there is room for the lanes of each.
  static double top_of(const std::vector<Column>& columns) {
    double most = 0;
    for (const Column& column : columns) most = std::max(most, lanes(column));
    return margin + (most > 0 ? most + layer_gap / 2 : 0);
  }

  static Point size_of(const std::vector<Column>& columns) {
    Point size{2 * margin, 0};
    for (std::size_t c = 0; c < columns.size(); ++c) {
      size.x += columns[c].right - columns[c].left;
      if (c > 0) size.x += 2 * gutter + lanes(columns[c]);
      const double below = c + 1 < columns.size() ? lanes(columns[c + 1]) + layer_gap / 2 : 0;
      size.y = std::max(size.y, columns[c].height + below);
    }
    size.y += top_of(columns) + margin;
    return size;
  }

  void put(const std::vector<Column>& columns) {
    const double top = top_of(columns);
    tops_.resize(heights_.size());
    double left = margin;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const Column& column = columns[c];
      if (c > 0) left += 2 * gutter + lanes(column);
      double y = top;
      for (std::size_t l = column.first; l < column.end; ++l) {
        tops_[l] = y;
        y += heights_[l] + layer_gap;
        for (const std::size_t i : layers_.layers[l]) layers_.places[i].x += left - column.left;
      }
      left += column.right - column.left;
    }
    for (std::size_t i = 0; i < boxes_.size(); ++i) {
      const Place& place = layers_.places[i];
      boxes_[i].centre = {place.x, tops_[place.layer] + heights_[place.layer] / 2};
    }
    for (std::size_t a = 0; a < arrows_.size(); ++a) route(a, columns);
  }

  // Straight down beside the boxes of a layer, and bent only between two layers.
  void route(std::size_t a, const std::vector<Column>& columns) {
    std::vector<Point>& points = arrows_[a].points;
    const auto& path = layers_.paths[a];
    const Box &from = boxes_[arrows_[a].from], &to = boxes_[arrows_[a].to];
    points = {{from.centre.x, from.centre.y + from.height / 2}};
    for (std::size_t k = 1; k < path.size(); ++k) {
      const Place &above = layers_.places[path[k - 1]], &below = layers_.places[path[k]];
      add(points, {above.x, tops_[above.layer] + heights_[above.layer]});
      const auto next = std::ranges::find(columns, below.layer, &Column::first);
      if (next != columns.end() && next != columns.begin()) around(a, *next, above, below, points);
      add(points, {below.x, tops_[below.layer]});
    }
    add(points, {to.centre.x, to.centre.y - to.height / 2});
  }

  // From the foot of a column through the gutter to the head of the next.
  void around(std::size_t a, const Column& next, const Place& above, const Place& below,
              std::vector<Point>& points) const {
    const auto at = std::ranges::find(next.entering, a) - next.entering.begin();
    const double nth = lane * static_cast<double>(at), all = lanes(next);
    const double foot = tops_[above.layer] + heights_[above.layer] + layer_gap / 4 + nth;
    const double head = tops_[below.layer] - layer_gap / 4 - (all - lane - nth);
    const double right = left_of(next) - gutter - all + nth;
    for (const Point& point :
         {Point{above.x, foot}, Point{right, foot}, Point{right, head}, Point{below.x, head}})
      add(points, point);
  }

  double left_of(const Column& column) const {
    double left = std::numeric_limits<double>::max();
    for (std::size_t l = column.first; l < column.end; ++l)
      for (const std::size_t i : layers_.layers[l])
        left = std::min(left, layers_.places[i].x - layers_.places[i].width / 2);
    return left;
  }

  // Straight on is one line.
  static void add(std::vector<Point>& points, Point point) {
    const std::size_t n = points.size();
    if (n > 1 && points[n - 1].x == point.x && points[n - 2].x == point.x) points.pop_back();
    points.push_back(point);
  }

  std::span<Box> boxes_;
  std::span<Arrow> arrows_;
  Layers layers_;
  std::vector<double> heights_, tops_;  // of the layers
  std::vector<std::size_t> passing_;    // how many arrows go from above into each layer
};

}  // namespace

double scale_of(Point size) noexcept { return std::min({room.x / size.x, room.y / size.y, 1.0}); }

Point place(std::span<Box> boxes, std::span<Arrow> arrows) {
  if (boxes.empty()) return {2 * margin, 2 * margin};
  return Drawing(boxes, arrows).draw();
}

}  // namespace chainrule::picture
