#include <chainrule/graph/checking/refit.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/checking/least_squares.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

constexpr std::size_t most_unknowns = 32;

class Refit {
 public:
  Refit(Expr formula, std::span<const Expr> numbers, std::uint32_t i)
      : formula_(std::move(formula)), node_(i) {
    for (const Expr& one : numbers) {
      Unknown unknown{{}, recorded_.size(), one->shape.numel() > 1};
      visit_parts(formula_, [&](const Expr& part) {
        if (part->kind == one->kind && (!unknown.is_tensor || part->shape == one->shape) &&
            (one->kind == Kind::number ? part->number == one->number
                                       : part->elements == one->elements))
          unknown.places.push_back(part);
      });
      if (unknown.places.empty()) continue;
      const auto size = static_cast<std::size_t>(unknown.is_tensor ? one->shape.numel() : 1);
      const std::vector<double> values = one->kind == Kind::number
                                             ? std::vector<double>(size, one->number)
                                             : derivation::numbers(one->value);
      recorded_.insert(recorded_.end(), values.begin(), values.end());
      unknowns_.push_back(std::move(unknown));
    }
  }
  bool is_determined() const {
    return recorded_.size() <= most_unknowns &&
           recorded_.size() < static_cast<std::size_t>(formula_->shape.numel());
  }

  Tensor operator()(const Environment& point, const Replay::Adjust& results,
                    const Replay::Adjust& constants) {
    if (!fitted_ || (!results && !constants)) fitted_ = with(fit(point));
    return evaluate(fitted_, point, results, constants);
  }

 private:
  // A number, or the elements of a constant, from `first` on, and where it stands.
  struct Unknown {
    std::vector<Expr> places;
    std::size_t first;
    bool is_tensor;
  };

  Expr with(const std::vector<double>& values) const {
    Replacements parts;
    for (const Unknown& unknown : unknowns_)
      for (const Expr& part : unknown.places) {
        const auto first = values.begin() + static_cast<std::ptrdiff_t>(unknown.first);
        parts[part.get()] =
            !unknown.is_tensor ? number_expression(*first, part->shape)
                               : constant_expression(from_vector(
                                     std::vector(first, first + part->shape.numel()), part->shape));
      }
    return replaced(formula_, parts);
  }

  // By Gauss's and Newton's method; near to the recorded point the recorded numbers are near.
  std::vector<double> fit(const Environment& point) const {
    constexpr int most_rounds = 8;
    constexpr double step = 1e-4;
    const std::vector<double> wanted = numbers(point.gradients[node_]);
    const auto at = [&](const std::vector<double>& values) {
      return attempt([&] { return numbers(evaluate(with(values), point)); });
    };
    const auto apart = [&](const std::vector<double>& given) {
      std::vector<double> rest(wanted.size());
      for (std::size_t e = 0; e < rest.size(); ++e)
        if (const double by = wanted[e] - given[e]; std::isfinite(by)) rest[e] = by;
      return rest;
    };
    std::vector<double> best = recorded_;
    std::optional<std::vector<double>> here = at(best);
    for (int round = 0; round < most_rounds && here; ++round) {
      std::vector<std::vector<double>> columns;
      for (std::size_t k = 0; k < best.size(); ++k) {
        std::vector<double> moved = best;
        const double by = step * (best[k] != 0 ? std::abs(best[k]) : 1);
        moved[k] += by;
        std::vector<double> column = at(moved).value_or(*here);
        for (std::size_t e = 0; e < column.size(); ++e) column[e] = (column[e] - (*here)[e]) / by;
        columns.push_back(std::move(column));
      }
      const std::vector<double> by = least_squares(columns, apart(*here)).factors;
      std::vector<double> next = best;
      for (std::size_t k = 0; k < next.size(); ++k) next[k] += by[k];
      std::optional<std::vector<double>> there = at(next);
      if (!there || largest(apart(*there)) > 2 * largest(apart(*here))) break;
      best = std::move(next);
      here = std::move(there);
    }
    return best;
  }

  Expr formula_, fitted_;
  std::uint32_t node_;
  std::vector<Unknown> unknowns_;
  std::vector<double> recorded_;
};

}  // namespace

Computation refitted(const Expr& formula, std::span<const Expr> numbers, std::uint32_t i) {
  const auto refit = std::make_shared<Refit>(formula, numbers, i);
  if (!refit->is_determined()) return nullptr;
  return [refit](const Environment& point, const Replay::Adjust& results,
                 const Replay::Adjust& constants) {
    const NoGrad guard;
    return (*refit)(point, results, constants);
  };
}

}  // namespace chainrule::derivation
