#include <chainrule/graph/picture/layers.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

namespace chainrule::picture {

// K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
// structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (1981) 109: layers, passages
// where an arrow goes over more than one, order by barycentres, and then positions.

namespace {

constexpr double gap = 24, gap_of_passages = 12;
constexpr int most_sweeps = 12, position_sweeps = 16;
// Straight passages matter most, and results stand below results: parameters go beside them.
constexpr double weight_of_passage = 8, weight_of_source = 1e-3;

using Layer = std::vector<std::size_t>;
using Neighbours = std::vector<std::size_t> Place::*;

// As near to what needs it as can be.
std::vector<std::size_t> assigned_layers(std::size_t count, std::span<const Arrow> arrows) {
  std::vector<std::size_t> layer(count, 0);
  std::vector<std::vector<std::uint32_t>> into(count), out_of(count);
  for (const Arrow& arrow : arrows) {
    into[arrow.to].push_back(arrow.from);
    out_of[arrow.from].push_back(arrow.to);
  }
  for (std::size_t i = 0; i < count; ++i)
    for (const std::uint32_t from : into[i]) layer[i] = std::max(layer[i], layer[from] + 1);
  for (std::size_t i = count; i-- > 0;) {
    if (out_of[i].empty()) continue;
    std::size_t first = layer[out_of[i][0]];
    for (const std::uint32_t to : out_of[i]) first = std::min(first, layer[to]);
    layer[i] = first - 1;
  }
  return layer;
}

class Builder {
 public:
  Builder(std::span<const Box> boxes, std::span<const Arrow> arrows) {
    const std::vector<std::size_t> layer = assigned_layers(boxes.size(), arrows);
    for (std::size_t i = 0; i < boxes.size(); ++i)
      places().push_back({.width = boxes[i].width, .layer = layer[i]});
    for (const Arrow& arrow : arrows) add_path(arrow);
    for (std::size_t i = 0; i < places().size(); ++i) {
      if (layers().size() <= places()[i].layer) layers().resize(places()[i].layer + 1);
      layers()[places()[i].layer].push_back(i);
    }
    rank_.resize(places().size());
  }

  Layers build() {
    order();
    position();
    return std::move(result_);
  }

 private:
  std::vector<Place>& places() { return result_.places; }
  std::vector<Layer>& layers() { return result_.layers; }

  void add_path(const Arrow& arrow) {
    Layer path{arrow.from};
    const std::size_t last = places()[arrow.to].layer;
    for (std::size_t l = places()[arrow.from].layer + 1; l < last; ++l) {
      path.push_back(places().size());
      places().push_back({.layer = l});
    }
    path.push_back(arrow.to);
    for (std::size_t k = 0; k + 1 < path.size(); ++k) {
      places()[path[k]].below.push_back(path[k + 1]);
      places()[path[k + 1]].above.push_back(path[k]);
    }
    result_.paths.push_back(std::move(path));
  }

  // --- order: sweeps by barycentres, of which the best result stays ---

  void order() {
    for (const Layer& layer : layers()) number(layer);
    std::vector<Layer> best = layers();
    std::size_t fewest = crossings();
    for (int sweep = 0; sweep < most_sweeps && fewest > 0; ++sweep) {
      for (Layer& layer : layers()) sort_by(layer, &Place::above);
      for (auto layer = layers().rbegin(); layer != layers().rend(); ++layer)
        sort_by(*layer, &Place::below);
      const std::size_t now = crossings();
      if (now >= fewest) continue;
      fewest = now;
      best = layers();
    }
    layers() = std::move(best);
    for (const Layer& layer : layers()) number(layer);
  }

  void number(const Layer& layer) {
    for (std::size_t k = 0; k < layer.size(); ++k) rank_[layer[k]] = static_cast<double>(k);
  }

  void sort_by(Layer& layer, Neighbours neighbours) {
    std::vector<std::pair<double, std::size_t>> keys;  // with the rank: equal ones stay as they are
    for (std::size_t k = 0; k < layer.size(); ++k) {
      const Layer& others = places()[layer[k]].*neighbours;
      double sum = 0;
      for (const std::size_t other : others) sum += rank_[other];
      keys.emplace_back(
          others.empty() ? static_cast<double>(k) : sum / static_cast<double>(others.size()), k);
    }
    std::ranges::sort(keys);
    const Layer before = layer;
    for (std::size_t k = 0; k < layer.size(); ++k) layer[k] = before[keys[k].second];
    number(layer);
  }

  // Pairs of arrows in the wrong order, counted by merging (Barth, Jünger, Mutzel 2002 count them
  // by an accumulator tree; the number is the same).
  std::size_t crossings() {
    std::size_t count = 0;
    std::vector<double> ends, scratch;
    for (const Layer& layer : layers()) {
      ends.clear();
      for (const std::size_t i : layer) {
        const auto first = static_cast<std::ptrdiff_t>(ends.size());
        for (const std::size_t other : places()[i].below) ends.push_back(rank_[other]);
        std::sort(ends.begin() + first, ends.end());
      }
      count += inversions(ends, scratch);
    }
    return count;
  }

  static std::size_t inversions(std::vector<double>& x, std::vector<double>& scratch) {
    std::size_t count = 0;
    for (std::size_t width = 1; width < x.size(); width *= 2) {
      scratch.clear();
      for (std::size_t begin = 0; begin < x.size(); begin += 2 * width) {
        const std::size_t middle = std::min(begin + width, x.size());
        const std::size_t end = std::min(begin + 2 * width, x.size());
        std::size_t a = begin, b = middle;
        while (a < middle || b < end) {
          const bool right = a == middle || (b < end && x[b] < x[a]);
          if (right) count += middle - a;
          scratch.push_back(right ? x[b++] : x[a++]);
        }
      }
      x.swap(scratch);
    }
    return count;
  }

  // --- positions: each layer as near to its neighbours as the order allows ---

  void position() {
    for (const Layer& layer : layers()) settle(layer, {});
    for (int sweep = 0; sweep < position_sweeps; ++sweep) {
      for (const Layer& layer : layers()) settle(layer, {&Place::above});
      for (auto layer = layers().rbegin(); layer != layers().rend(); ++layer)
        settle(*layer, {&Place::below});
    }
    for (const Layer& layer : layers()) settle(layer, {&Place::above, &Place::below});
  }

  static bool is_source(const Place& place) { return place.above.empty(); }
  static double weight(const Place& one, const Place& other) {
    if (one.is_passage() && other.is_passage()) return weight_of_passage;
    return is_source(one) || is_source(other) ? weight_of_source : 1;
  }

  // The least squares of all distances to where the neighbours want a place, in the given order and
  // with room between: a monotone regression, by pooling neighbours that are in each other's way
  // (R. Barlow et al., "Statistical Inference under Order Restrictions", 1972).
  void settle(const Layer& layer, std::initializer_list<Neighbours> sides) {
    struct Block {
      double sum, weight;
      std::size_t count;
      double mean() const { return sum / weight; }
    };
    std::vector<Block> blocks;
    std::vector<double> offsets;
    double offset = 0;
    for (std::size_t k = 0; k < layer.size(); ++k) {
      const Place& place = places()[layer[k]];
      if (k > 0) offset += distance(places()[layer[k - 1]], place);
      offsets.push_back(offset);
      double sum = 0, all = 0;
      for (const Neighbours side : sides)
        for (const std::size_t other : place.*side) {
          const double w = weight(place, places()[other]);
          sum += w * places()[other].x;
          all += w;
        }
      // What has no neighbours there stays near what has.
      const double wish = all > 0 ? sum / all : sides.size() == 0 ? offset : place.x;
      const double w = all > 0 ? all : 1e-3;
      blocks.push_back({w * (wish - offset), w, 1});
      while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() > blocks.back().mean()) {
        const Block last = blocks.back();
        blocks.pop_back();
        blocks.back().sum += last.sum;
        blocks.back().weight += last.weight;
        blocks.back().count += last.count;
      }
    }
    std::size_t k = 0;
    for (const Block& block : blocks)
      for (std::size_t n = 0; n < block.count; ++n, ++k)
        places()[layer[k]].x = block.mean() + offsets[k];
  }

  Layers result_;
  std::vector<double> rank_;  // of a place in its layer
};

}  // namespace

double distance(const Place& left, const Place& right) noexcept {
  const bool passages = left.is_passage() && right.is_passage();
  return (left.width + right.width) / 2 + (passages ? gap_of_passages : gap);
}

Layers layers_of(std::span<const Box> boxes, std::span<const Arrow> arrows) {
  return Builder(boxes, arrows).build();
}

}  // namespace chainrule::picture
