#include <chainrule/graph/derivation/gradient_rule.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/known_values.hpp>
#include <chainrule/graph/derivation/repeating.hpp>
#include <chainrule/graph/derivation/role_check.hpp>
#include <chainrule/graph/traversal.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule::derivation {

namespace {

// How far the operands are moved, relative to them: little enough that no mask changes, and enough
// to be told from rounding, also of data in f32, whose numbers formulas show in few digits.
constexpr double step = 1e-4;
constexpr double rounding = 5e-7;
// Of the numbers that stand for zeros.
constexpr double size_for_zeros = 0.1;
// What is drawn from few numbers may come out the same once.
constexpr int number_of_repetitions = 4;

// One run of the rule: what it gave for each operand that changes, or of forward mode once, and the
// same as formulas, of the operands and, behind them, the gradients or tangents that it was given.
struct Run {
  std::vector<Tensor> gives, environment;
  std::vector<Expr> formulas, symbols;
};

// Those that change a little larger, and most those that are large: masks and orders stay as they
// are.
std::vector<Tensor> moved(const std::vector<Tensor>& operands, const std::vector<bool>& change,
                          double by) {
  const NoGrad guard;
  if (by == 0) return operands;
  double most = 0;
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (change[k]) most = std::max(most, largest(numbers(operands[k])));
  std::vector<Tensor> result = operands;
  for (std::size_t k = 0; k < operands.size() && most > 0; ++k) {
    if (!change[k]) continue;
    std::vector<double> elements = numbers(operands[k]);
    for (double& x : elements) x *= 1 + by * (1 + std::abs(x) / most);
    result[k] = from_vector(elements, operands[k].shape());
  }
  return result;
}

class Rule {
 public:
  Rule(const Expression& e, const std::vector<bool>& change, bool forward)
      : e_(e), change_(change), forward_(forward) {}

  // Nothing where the operation or its rule does not take the operands. `by` is how far these, and
  // the gradients or tangents that the rule is given, are moved.
  std::optional<Run> run(const std::vector<Tensor>& operands, double by, bool watched) const {
    return attempt([&] { return run_once(moved(operands, change_, by), by, watched); });
  }

 private:
  Run run_once(const std::vector<Tensor>& values, double by, bool watched) const {
    const EnableGrad guard;
    KnownValues watcher;  // of the rule
    Run run;
    std::vector<Tensor> operands;
    std::vector<Expr> symbols;
    for (std::size_t k = 0; k < values.size(); ++k) {
      // Each its own value: they are told apart by these.
      const bool changes = change_[k];
      operands.push_back(changes ? (values[k].detach() + 0.0).detach() : values[k]);
      if (changes) operands[k].requires_grad_();
      symbols.push_back(!values[k].defined() ? nullptr
                        : changes
                            ? tensor_expression(static_cast<std::uint32_t>(k), values[k].shape())
                            : constant_expression(values[k]));
      if (symbols[k]) watcher.know(operands[k].value_ref(), symbols[k]);
    }
    run.environment = values;
    const Tensor result = apply_again(*e_.application, operands, e_.output);
    if (result.dtype() != f64 || !result.node()) return {};
    const bool several = result.node()->is_output();
    const Ref<Node> application =
        Ref<Node>::share(several ? result.node()->inputs()[0] : result.node());
    watcher.know(result.value_ref(),
                 operation_expression(application, symbols, result.shape(), e_.output));
    watcher.know_outputs(application, symbols);
    watcher.know_intermediates(application, symbols);
    const auto give = [&](const Tensor& x) {
      run.gives.push_back(x.detach());
      if (watched) run.formulas.push_back(watcher.of(x.value_ref()));
    };
    const auto seeded = [&](const Shape& shape) {
      const auto place = static_cast<std::uint32_t>(run.environment.size());
      const Tensor seed = moved({signed_numbers(shape, place + 1)}, {true}, by)[0];
      watcher.know(seed.value_ref(), tensor_expression(place, shape));
      run.environment.push_back(seed);
      return seed;
    };
    run.symbols = symbols;
    forward_ ? push(result, operands, seeded, watched ? &watcher : nullptr, give)
             : pull(result, operands, seeded, watched ? &watcher : nullptr, give);
    return run;
  }

  template <class Seeded, class Give>
  void pull(const Tensor& result, const std::vector<Tensor>& operands, const Seeded& seeded,
            KnownValues* watcher, const Give& give) const {
    const Tensor seed = seeded(result.shape());
    const Tensor loss = sum(result * seed);
    const Traversal traversal(std::span(&loss, 1), Traversal::Visit::differentiable);
    const auto at_node = [&](std::size_t at, const Tensor& g) {
      for (std::size_t k = 0; k < operands.size(); ++k)
        if (change_[k] && &traversal.node(at) == operands[k].node()) give(g);
    };
    const auto sweep = [&] {
      detail::sweep(traversal, loss, {}, "derive", at_node, e_.application->where());
    };
    if (!watcher) return sweep();
    const Observing observing(*watcher);
    sweep();
  }

  template <class Seeded, class Give>
  void push(const Tensor& result, const std::vector<Tensor>& operands, const Seeded& seeded,
            KnownValues* watcher, const Give& give) const {
    std::vector<Tensor> changing;
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (change_[k]) changing.push_back(operands[k]);
    const Traversal traversal(std::span(&result, 1), changing, Traversal::Visit::differentiable);
    std::vector<Tensor> tangents(traversal.size());
    for (std::size_t k = 0; k < changing.size(); ++k)
      tangents[traversal.target(k)] = seeded(changing[k].shape());
    const auto at_node = [&](std::size_t at) {
      if (&traversal.node(at) == result.node()) give(tangents[at]);
    };
    const auto push = [&] { detail::push_forward(traversal, tangents, false, at_node, {}); };
    if (!watcher) return push();
    const Observing observing(*watcher);
    push();
  }

  const Expression& e_;
  const std::vector<bool>& change_;
  bool forward_;
};

// Whether there is something in the formulas that may be such a number, also 0 and 1.
bool has_numbers(const Run& seen) {
  bool found = false;
  const auto is_symbol = [&](const Expr& part) {
    return std::ranges::find(seen.symbols, part) != seen.symbols.end();
  };
  const auto look = [&](const Expr& part) {
    found |= !is_symbol(part) &&
             (part->kind == Expression::Kind::constant || part->kind == Expression::Kind::number);
  };
  for (const Expr& formula : seen.formulas) visit_parts(formula, look);
  return found;
}

struct Compared {
  bool any = false;                       // elements that are finite
  std::optional<Different> difference{};  // first by the formula, then by the rule
};

Compared compared(const Run& rule, const Run& seen) {
  Compared result;
  for (std::size_t k = 0; k < rule.gives.size() && k < seen.formulas.size(); ++k) {
    const auto evaluated =
        attempt([&] { return evaluate(seen.formulas[k], {rule.environment, {}}); });
    if (!evaluated) continue;
    const std::vector<double> x = numbers(rule.gives[k]), y = numbers(*evaluated);
    const double allowed = rounding * largest(x);
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!std::isfinite(x[i]) || !std::isfinite(y[i])) continue;
      result.any = true;
      if (std::abs(x[i] - y[i]) <= allowed) continue;
      result.difference = {y[i], x[i],
                           position_of(static_cast<std::int64_t>(i), rule.gives[k].shape())};
      return result;
    }
  }
  return result;
}

bool is_zero(const Tensor& x) {
  return x.defined() && std::ranges::all_of(numbers(x), [](double e) { return e == 0; });
}

// Other numbers in the place of operands that are 0 and change: these cannot be moved a little
// without passing a kink. They are small, as many functions take no others.
std::vector<Tensor> without_zeros(std::vector<Tensor> operands, const std::vector<bool>& change,
                                  double size) {
  const NoGrad guard;
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (change[k] && is_zero(operands[k]))
      operands[k] = size * abs(signed_numbers(operands[k].shape(), k));
  return operands;
}

// Throws as check_gradient_rule() does; whether there was something to be told at these operands.
bool check_at(const std::vector<Tensor>& operands, const Rule& rule, const Expression& e,
              bool forward) {
  const auto seen = rule.run(operands, 0, true);
  if (!seen || seen->gives.empty()) return false;
  if (!has_numbers(*seen)) return true;
  const auto compared_at = [&](double by) {
    const auto there = rule.run(operands, by, false);
    return there ? compared(*there, *seen) : Compared{};
  };
  const auto [any, found] = compared_at(step);
  if (!found) return any;
  const char* name = forward ? "jvp" : "vjp";
  for (int k = 0; k < number_of_repetitions; ++k)
    if (const auto again = compared_at(0).difference)
      throw GradError(fmt::format("{}: {}", e.op()->name(),
                                  again->not_repeating(fmt::format("its {} rule", name))),
                      e.application->where(), how_to_repeat);
  if (!compared_at(2 * step).difference) return true;
  throw GradError(
      fmt::format("{}: its {} rule computes with numbers that it takes out of what it reads, and "
                  "formulas would keep: for other operands it gives {} at {}, and the operations "
                  "that it was seen to apply give {}",
                  e.op()->name(), name, found->written(found->second), to_string(found->at),
                  found->written(found->first)),
      e.application->where(),
      "write the rule in tensor operations: what item(), to_vector() or a loop takes out of a "
      "tensor is a number to a formula");
}

}  // namespace

bool check_gradient_rule(const Expression& e, const std::vector<Tensor>& operands,
                         const std::vector<bool>& change, bool forward) {
  const Rule rule(e, change, forward);
  const bool told = check_at(operands, rule, e, forward);
  bool zeros = false;
  for (std::size_t k = 0; k < operands.size(); ++k) zeros |= change[k] && is_zero(operands[k]);
  if (!zeros) return told;
  return check_at(without_zeros(operands, change, size_for_zeros), rule, e, forward) ||
         check_at(without_zeros(operands, change, -size_for_zeros), rule, e, forward);
}

}  // namespace chainrule::derivation
