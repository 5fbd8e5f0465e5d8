#include <chainrule/graph/picture/layout.hpp>

#include <algorithm>
#include <numeric>

namespace chainrule::picture {

namespace {

constexpr double gap = 24, layer_gap = 46, margin = 16;
constexpr int sweeps = 12;

// A box, or the place where a long arrow passes a layer.
struct Item {
  double width;
  int layer;
  std::vector<std::size_t> above, below;
  double x = 0;
};

class Layers {
 public:
  Layers(std::span<Box> boxes, std::span<Arrow> arrows) : boxes_(boxes), arrows_(arrows) {
    std::vector<int> layer(boxes.size(), 0);
    // Boxes are in topological order, arrows need not be.
    std::vector<std::vector<std::uint32_t>> into(boxes.size()), out_of(boxes.size());
    for (const Arrow& arrow : arrows) {
      into[arrow.to].push_back(arrow.from);
      out_of[arrow.from].push_back(arrow.to);
    }
    for (std::size_t i = 0; i < boxes.size(); ++i)
      for (const std::uint32_t from : into[i]) layer[i] = std::max(layer[i], layer[from] + 1);
    // And then as near to what needs it as can be.
    for (std::size_t i = boxes.size(); i-- > 0;) {
      if (out_of[i].empty()) continue;
      int first = layer[out_of[i][0]];
      for (const std::uint32_t to : out_of[i]) first = std::min(first, layer[to]);
      layer[i] = std::max(first - 1, 0);
    }
    for (std::size_t i = 0; i < boxes.size(); ++i)
      items_.push_back({boxes[i].width, layer[i], {}, {}});
    for (const Arrow& arrow : arrows) {
      std::vector<std::size_t> path{arrow.from};
      for (int l = layer[arrow.from] + 1; l < layer[arrow.to]; ++l) {
        items_.push_back({8, l, {}, {}});
        path.push_back(items_.size() - 1);
      }
      path.push_back(arrow.to);
      for (std::size_t k = 0; k + 1 < path.size(); ++k) {
        items_[path[k]].below.push_back(path[k + 1]);
        items_[path[k + 1]].above.push_back(path[k]);
      }
      paths_.push_back(std::move(path));
    }
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto l = static_cast<std::size_t>(items_[i].layer);
      if (layers_.size() <= l) layers_.resize(l + 1);
      layers_[l].push_back(i);
    }
  }

  Point place() {
    for (auto& layer : layers_) spread(layer);
    for (int k = 0; k < sweeps; ++k) {
      for (auto& layer : layers_) reorder(layer, &Item::above);
      for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer)
        reorder(*layer, &Item::below);
    }
    double left = 0, right = 0;
    for (const Item& item : items_) {
      left = std::min(left, item.x - item.width / 2);
      right = std::max(right, item.x + item.width / 2);
    }
    double y = margin;
    std::vector<double> centres;
    for (const auto& layer : layers_) {
      double height = 0;
      for (const std::size_t i : layer)
        if (i < boxes_.size()) height = std::max(height, boxes_[i].height);
      centres.push_back(y + height / 2);
      y += height + layer_gap;
    }
    for (std::size_t i = 0; i < boxes_.size(); ++i)
      boxes_[i].centre = {items_[i].x - left + margin,
                          centres[static_cast<std::size_t>(items_[i].layer)]};
    for (std::size_t a = 0; a < arrows_.size(); ++a) {
      for (const std::size_t i : paths_[a])
        arrows_[a].points.push_back(
            {items_[i].x - left + margin, centres[static_cast<std::size_t>(items_[i].layer)]});
      arrows_[a].points.front().y += boxes_[arrows_[a].from].height / 2;
      arrows_[a].points.back().y -= boxes_[arrows_[a].to].height / 2;
    }
    return {right - left + 2 * margin, y - layer_gap + margin};
  }

 private:
  bool is_source(std::size_t i) const { return items_[i].above.empty(); }

  // One beside the other around 0, in their order.
  void spread(const std::vector<std::size_t>& layer) {
    double width = -gap;
    for (const std::size_t i : layer) width += items_[i].width + gap;
    double x = -width / 2;
    for (const std::size_t i : layer) {
      items_[i].x = x + items_[i].width / 2;
      x += items_[i].width + gap;
    }
  }

  // Orders a layer by where its neighbours on one side are, and moves it as near to them as the
  // widths allow.
  void reorder(std::vector<std::size_t>& layer, std::vector<std::size_t> Item::* neighbours) {
    std::vector<double>& wish = wish_;
    wish.resize(items_.size());
    for (const std::size_t i : layer) {
      const auto& others = items_[i].*neighbours;
      wish[i] = items_[i].x;
      if (others.empty()) continue;
      // Results stand below results, and parameters go beside them: otherwise chains would drift.
      double sum = 0, count = 0;
      const bool any = std::ranges::any_of(others, [&](std::size_t k) { return !is_source(k); });
      for (const std::size_t other : others) {
        if (any && is_source(other)) continue;
        sum += items_[other].x;
        ++count;
      }
      wish[i] = sum / count;
    }
    std::ranges::stable_sort(layer, {}, [&](std::size_t i) { return wish[i]; });
    spread(layer);
    // Shift the whole, then each to the right as far as it wishes, from the right end.
    double shift = 0, count = 0;
    const bool any = std::ranges::any_of(layer, [&](std::size_t i) { return !is_source(i); });
    for (const std::size_t i : layer) {
      if (any && is_source(i)) continue;
      shift += wish[i] - items_[i].x;
      ++count;
    }
    shift /= std::max(count, 1.0);
    for (const std::size_t i : layer) items_[i].x += shift;
    for (std::size_t k = layer.size(); k-- > 0;) {
      Item& item = items_[layer[k]];
      double most = wish[layer[k]];
      if (k + 1 < layer.size()) {
        const Item& next = items_[layer[k + 1]];
        most = std::min(most, next.x - next.width / 2 - gap - item.width / 2);
      }
      item.x = std::max(item.x, most);
    }
    for (std::size_t k = 0; k < layer.size(); ++k) {
      Item& item = items_[layer[k]];
      double least = wish[layer[k]];
      if (k > 0) {
        const Item& before = items_[layer[k - 1]];
        least = std::max(least, before.x + before.width / 2 + gap + item.width / 2);
      }
      item.x = std::min(item.x, least);
    }
  }

  std::span<Box> boxes_;
  std::span<Arrow> arrows_;
  std::vector<Item> items_;
  std::vector<double> wish_;  // where an item of the layer would stand best
  std::vector<std::vector<std::size_t>> paths_;
  std::vector<std::vector<std::size_t>> layers_;
};

}  // namespace

Point place(std::span<Box> boxes, std::span<Arrow> arrows) { return Layers(boxes, arrows).place(); }

}  // namespace chainrule::picture
