#include <chainrule/graph/checking/rounding.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/rewrite.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>

namespace chainrule::derivation {

namespace {

constexpr int number_of_samples = 4;
// Where roundings lead out of an operation's domain others are taken, so many at most.
constexpr int most_samples = 16;

void widen(std::vector<double>& most, const std::vector<double>& here,
           const std::vector<double>& there) {
  for (std::size_t e = 0; e < here.size(); ++e) {
    const double moved = difference(here[e], there[e]);
    if (std::isfinite(moved)) most[e] = std::max(most[e], moved);
  }
}

// Which leaves are summed up: where the summands cancel, what their products were rounded by is
// left, which is more than a unit of the sum.
std::vector<bool> summed_up(const Trace& trace) {
  std::vector<bool> summed(trace.size());
  const auto is_sum = [](const Expr& part) {
    return part->is(Role::Kind::matrix_product) || part->is(Role::Kind::inner_product) ||
           part->is(Role::Kind::total) || part->is(Role::Kind::mean);
  };
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    Expr operation = trace.forward(i);
    if (!operation) continue;
    if (operation->is(Role::Kind::other))
      operation =
          attempt([&] { return written_out(operation, trace.environment()); }).value_or(operation);
    visit_parts(operation, [&](const Expr& sum) {
      if (!is_sum(sum)) return;
      visit_parts(sum, [&](const Expr& part) {
        if (part->kind == Expression::Kind::tensor) summed[part->node] = true;
      });
    });
  }
  return summed;
}

// Whether all elements are in f32 what somebody wrote, as an exponent 2, which no root may become.
bool has_few_digits(const Tensor& x) {
  constexpr int digits = 12;  // of the 24 that f32 has
  if (!x.defined() || !is_floating(x.dtype())) return true;
  return std::ranges::all_of(numbers(x), [](double element) {
    int exponent = 0;
    const double whole = std::ldexp(std::frexp(element, &exponent), digits);
    return whole == std::trunc(whole);
  });
}

// Numbers as they are rounded where they are written down: those that have few digits are not.
Replay::Adjust rounding_numbers(Generator& generator, double half_unit) {
  return [move = rounding_at_random(generator, half_unit)](Tensor x) {
    return has_few_digits(x) ? x : move(std::move(x));
  };
}

// Each element to one side or the other by so many units of it, at most by itself.
Tensor lose_digits(const Tensor& x, const Tensor& units, double unit, Generator& generator) {
  std::vector<double> elements = numbers(x);
  const std::vector<double> lost = numbers(units),
                            sides = numbers(uniform(-1, 1, x.shape(), generator, f64));
  for (std::size_t e = 0; e < elements.size(); ++e)
    // Of several sizes, as those of the same would cancel in a product.
    elements[e] *= 1 + sides[e] * std::min(1.0, 6 * unit * lost[e]);
  return from_vector(elements, x.shape());
}

// A formula with what `less` gives in the place of symbols where they are factors: in 1 − h, and in
// h (1 − h), stands h itself.
Expr with_less_digits(const Expr& formula, const std::function<Expr(const Expr&)>& less) {
  const auto is_product = [](const Expr& part) {
    return part->is(Role::Kind::product) || part->is(Role::Kind::quotient) ||
           part->is(Role::Kind::matrix_product) || part->is(Role::Kind::inner_product) ||
           part->is(Role::Kind::outer_product);
  };
  const auto is_beside_itself = [](const Expr& part, std::size_t k) {
    bool found = false;
    for (std::size_t other = 0; other < part->operands.size(); ++other)
      if (other != k && part->operands[other])
        visit_parts(part->operands[other], [&](const Expr& inner) {
          found = found || (inner->kind == part->operands[k]->kind &&
                            inner->node == part->operands[k]->node &&
                            inner->elements == part->operands[k]->elements);
        });
    return found;
  };
  return rewritten(formula, [&](const Expr& part, Expr now) {
    if (!is_product(part)) return now;
    std::vector<Expr> operands = now->operands;
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (Expr other = part->operands[k] ? less(part->operands[k]) : nullptr;
          other && !is_beside_itself(part, k))
        operands[k] = std::move(other);
    return with_operands(now, std::move(operands));
  });
}

// A formula where φ(x) is written c − φ(−x), for functions of which that is so, as σ: it has the
// digits of c.
Expr by_complements(const Expr& formula, const Environment& point, const Replay::Adjust& move) {
  Replacements written;
  visit_parts(formula, [&](const Expr& part) {
    if (part->kind != Expression::Kind::operation || !part->is(Role::Kind::other) ||
        part->operands.size() != 1 || !part->operands[0] ||
        part->operands[0]->shape != part->shape || part->shape.numel() == 0)
      return;
    attempt([&] {
      const Tensor x = evaluate(part->operands[0], point);
      const auto at = [&](const Tensor& operand) {
        return evaluate(operation_expression(part->application, {constant_expression(operand)},
                                             part->shape, part->output),
                        point);
      };
      const Tensor opposite = at(-x);
      const double sum = numbers(at(x) + opposite)[0];
      if (!(std::abs(sum) > 0)) return 0;
      for (const double probe : {1.0, 0.37, -0.05})
        for (const double e : numbers(at(x * probe) + at(x * -probe)))
          if (!(std::abs(e - sum) <= 8 * half_unit_f64 * std::abs(sum))) return 0;
      written[part.get()] = constant_expression(move(full(part->shape, sum, f64)) - move(opposite));
      return 0;
    });
  });
  return written.empty() ? formula : replaced(formula, written);
}

}  // namespace

Replay::Adjust rounding_at_random(Generator& generator, double half_unit) {
  return [&generator, half_unit](Tensor x) {
    if (!x.defined() || !is_floating(x.dtype())) return x;
    const double unit = x.dtype() == f32 ? std::max(half_unit, half_unit_f32) : half_unit;
    // What is smaller than the smallest normal number has no digits, and may become 0.
    const double smallest = smallest_normal(unit);
    std::vector<double> elements = numbers(x);
    const std::vector<double> sides = numbers(uniform(-1, 1, x.shape(), generator, f64));
    // By one to six units: two that are moved by the same would cancel in a difference.
    for (std::size_t e = 0; e < elements.size(); ++e) {
      const double part = unit * (1 + 5 * std::abs(sides[e]));
      elements[e] *= 1 + std::copysign(std::abs(elements[e]) < smallest ? 1 : part, sides[e]);
    }
    return from_vector(elements, x.shape());
  };
}

Rounding::Rounding(const Trace& trace, const Environment& point, double unit,
                   double unit_of_constants)
    : point_(point), unit_(unit), unit_of_constants_(unit_of_constants) {
  const NoGrad guard;
  const std::vector<bool> summed = summed_up(trace);
  for (int k = 0; k < most_samples && moved_.size() < number_of_samples; ++k) {
    Generator generator(static_cast<std::uint64_t>(k) + 1);
    const Replay::Adjust move = rounding_at_random(generator, unit);
    std::vector<Tensor> leaves = point.tensors;
    for (std::uint32_t i = 0; i < trace.size(); ++i)
      if (!trace.replay().computed(i) && summed[i]) leaves[i] = move(std::move(leaves[i]));
    Replay::Adjust move_numbers;
    if (unit_of_constants > 0) {
      // Data that was rounded to f32, as the sum of it that should be 1; and numbers of the
      // program.
      const Replay::Adjust move_data = rounding_at_random(generator, unit_of_constants);
      move_numbers = rounding_numbers(generator, unit_of_constants);
      for (std::uint32_t i = 0; i < trace.size(); ++i)
        if (!trace.replay().computed(i) && !trace.node(i).requires_grad())
          leaves[i] = move_data(std::move(leaves[i]));
    }
    if (std::optional<Environment> moved = attempt([&] {
          return trace.at(trace.replay().from(std::move(leaves), move, move_numbers), move,
                          move_numbers);
        }))
      moved_.push_back(std::move(*moved));
  }
}

bool Rounding::Lost::is_empty() const {
  return constants.empty() &&
         std::ranges::none_of(tensors, [](const Tensor& units) { return units.defined(); });
}

Expr Rounding::Lost::less_digits(const Expr& symbol, const Environment& at, double unit,
                                 std::size_t sample) const {
  // The same in all formulas of a sample.
  if (symbol->kind == Expression::Kind::tensor) {
    if (!tensors[symbol->node].defined()) return nullptr;
    Generator generator(sample, 2 * std::uint64_t{symbol->node});
    return constant_expression(
        lose_digits(at.tensors[symbol->node], tensors[symbol->node], unit, generator));
  }
  if (symbol->kind != Expression::Kind::constant) return nullptr;
  const auto units = constants.find(symbol->elements);
  if (units == constants.end()) return nullptr;
  Generator generator(sample, 2 * symbol->elements + 1);
  return constant_expression(lose_digits(symbol->value, units->second, unit, generator));
}

const Rounding::Lost& Rounding::lost_in_sums(const Trace& trace) const {
  if (lost_) return *lost_;
  Lost& lost = lost_.emplace();
  lost.tensors.resize(trace.size());
  const auto lose = [&](const Expr& e, const std::vector<double>& units) {
    const bool is_constant = e->kind == Expression::Kind::constant;
    if (!is_constant && e->kind != Expression::Kind::tensor) return;
    Tensor& of = is_constant ? lost.constants[e->elements] : lost.tensors[e->node];
    std::vector<double> most = of.defined() ? numbers(of) : std::vector(units.size(), 0.0);
    for (std::size_t k = 0; k < units.size(); ++k) most[k] = std::max(most[k], units[k]);
    of = from_vector(most, e->shape);
  };
  // What the program uses elsewhere, too, has all its digits.
  std::vector<int> uses(trace.size());
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (trace.forward(i))
      for (const Expr& operand : trace.forward(i)->operands)
        if (operand && operand->kind == Expression::Kind::tensor) ++uses[operand->node];
  const auto is_used_elsewhere = [&](const Expr& e) {
    return e->kind == Expression::Kind::tensor && uses[e->node] > 1;
  };
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Expr& sum = trace.forward(i);
    if (!sum || !(sum->is(Role::Kind::sum) || sum->is(Role::Kind::difference))) continue;
    const std::vector<double> whole = numbers(point_.tensors[i]);
    for (const Expr& summand : sum->operands) {
      if (!summand || summand->kind != Expression::Kind::tensor || summand->shape != sum->shape)
        continue;
      std::vector<double> units = numbers(point_.tensors[summand->node]);
      for (std::size_t e = 0; e < units.size(); ++e) {
        // As large as the other summand may be.
        const double most = std::abs(whole[e]) + std::abs(units[e]);
        units[e] = units[e] == 0 ? 0 : most / std::abs(units[e]);
      }
      if (!std::ranges::any_of(units, [](double unit) { return unit > 2; })) continue;
      if (!is_used_elsewhere(summand)) lose(summand, units);
      if (const Expr& product = trace.forward(summand->node);
          product && product->is(Role::Kind::product))
        for (const Expr& factor : product->operands)
          if (factor && factor->shape == sum->shape && !is_used_elsewhere(factor))
            lose(factor, units);
    }
  }
  return lost;
}

std::vector<double> Rounding::of_chain(const Trace& trace, std::span<const Expr> formulas,
                                       const Expr& last) const {
  const NoGrad guard;
  const Lost& lost = lost_in_sums(trace);
  const auto value = [&](const Expr& formula, const Environment& at, const Replay::Adjust& move,
                         std::size_t sample) {
    if (!move) return evaluate(formula, at);
    const Expr less =
        lost.is_empty() ? formula : with_less_digits(formula, [&, sample](const Expr& symbol) {
          return lost.less_digits(symbol, at, unit_, sample);
        });
    return evaluate(by_complements(less, at, move), at, move);
  };
  std::vector<double> here, most;
  for (std::size_t k = 0; k <= moved_.size(); ++k) {
    Generator generator(k + 401);
    const Replay::Adjust move = k > 0 ? rounding_at_random(generator, unit_) : nullptr;
    if (chains_.size() == k) {
      Environment at = k > 0 ? moved_[k - 1] : point_;
      for (const std::uint32_t j : trace.order())
        if (formulas[j])
          at.gradients[j] = attempt([&] {
                              return value(formulas[j], at, move, k);
                            }).value_or(point_.gradients[j]);
      chains_.push_back(std::move(at));
    }
    const auto there = attempt([&] { return numbers(value(last, chains_[k], move, k)); });
    if (k == 0) most.resize((here = there ? *there : std::vector<double>()).size());
    if (there && k > 0) widen(most, here, *there);
  }
  return most;
}

std::vector<double> rounding_of_step(const Expr& expression, const Environment& point,
                                     double unit) {
  const NoGrad guard;
  const std::vector<double> here = numbers(evaluate(expression, point));
  std::vector<double> most(here.size());
  for (int k = 0; k < number_of_samples; ++k) {
    Generator generator(static_cast<std::uint64_t>(k) + 201);
    const Replay::Adjust move = rounding_at_random(generator, unit);
    Environment moved = point;
    std::set<std::pair<Expression::Kind, std::uint32_t>> done;
    visit_parts(expression, [&](const Expr& part) {
      if (!part->is_symbol() || !done.emplace(part->kind, part->node).second) return;
      std::vector<Tensor>& all =
          part->kind == Expression::Kind::gradient ? moved.gradients : moved.tensors;
      all[part->node] = move(std::move(all[part->node]));
    });
    if (const auto there = attempt([&] { return numbers(evaluate(expression, moved, move)); }))
      widen(most, here, *there);
  }
  return most;
}

std::vector<double> rounding_of_chain(const Trace& trace, std::uint32_t i, const Environment& point,
                                      double unit) {
  const NoGrad guard;
  const std::vector<double> here = numbers(point.gradients[i]);
  std::vector<double> most(here.size());
  for (int k = 0; k < number_of_samples; ++k) {
    Generator generator(static_cast<std::uint64_t>(k) + 301);
    const Replay::Adjust move = rounding_at_random(generator, unit);
    std::vector<Tensor> tensors = point.tensors;
    for (Tensor& tensor : tensors) tensor = move(std::move(tensor));
    if (const auto there = attempt([&] { return trace.at(std::move(tensors), move); }))
      widen(most, here, numbers(there->gradients[i]));
  }
  return most;
}

Computation computation_of(const Expr& expression) {
  return [expression](const Environment& point, const Replay::Adjust& results,
                      const Replay::Adjust& constants) {
    return evaluate(expression, point, results, constants);
  };
}

Computation apart_from(Computation rule, Computation formula) {
  return [rule = std::move(rule), formula = std::move(formula)](const Environment& point,
                                                                const Replay::Adjust& results,
                                                                const Replay::Adjust& constants) {
    return formula(point, results, constants) - rule(point, results, constants);
  };
}

std::vector<std::vector<double>> Rounding::samples(const Computation& formula) const {
  const NoGrad guard;
  std::vector<std::vector<double>> samples;
  samples.push_back(numbers(formula(point_, {}, {})));
  for (std::size_t k = 0; k < moved_.size(); ++k) {
    Generator generator(k + 101);
    samples.push_back(attempt([&] {
                        return numbers(formula(moved_[k], rounding_at_random(generator, unit_),
                                               unit_of_constants_ > 0
                                                   ? rounding_numbers(generator, unit_of_constants_)
                                                   : nullptr));
                      }).value_or(samples[0]));
  }
  return samples;
}

std::vector<double> Rounding::of(const Computation& formula) const {
  const std::vector<std::vector<double>> samples = this->samples(formula);
  std::vector<double> most(samples[0].size());
  for (const std::vector<double>& there : samples) widen(most, samples[0], there);
  return most;
}

std::vector<double> Rounding::of_change(const Rounding& from, const Computation& formula) const {
  const auto here = from.samples(formula), there = samples(formula);
  std::vector<double> most(there[0].size());
  for (std::size_t k = 1; k < std::min(here.size(), there.size()); ++k)
    for (std::size_t e = 0; e < most.size(); ++e)
      if (const double by = std::abs((there[k][e] - there[0][e]) - (here[k][e] - here[0][e]));
          std::isfinite(by))
        most[e] = std::max(most[e], by);
  return most;
}

}  // namespace chainrule::derivation
