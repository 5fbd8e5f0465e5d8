#include <chainrule/graph/checking/handwritten.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <unordered_set>
#include <utility>

#include <chainrule/core/recording.hpp>
#include <chainrule/graph/checking/other_sides.hpp>
#include <chainrule/graph/checking/told_gradients.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;

// The value of operand k as the node keeps it; undefined where it does not, or not as it was.
Tensor kept(const Node& node, std::size_t k) {
  Value* value = node.saved_input(k);
  if (!value || !node.saved_as(Node::input(k)).unchanged()) return {};
  const Tensor tensor(Ref<Value>::share(value));
  return detail::in_f64(tensor);
}

constexpr double rounding_of_f32 = 2e-7, rounding_of_f64 = 1e-12;

// Whether x is a fraction of whole numbers: one that people write, or, where many others are near
// by, of a few units. Within the rounding of f32 many larger ones are near any number.
enum class Whole { any, few };
bool is_fraction(double x, double rounding, Whole which) {
  const double most = which == Whole::any ? 4096 : 4;
  const int most_below = which == Whole::any ? 64 : 4;
  const bool is_f32 = rounding >= rounding_of_f32;
  const double most_together = is_f32 ? 1024 : most * most_below;
  const double size = std::abs(x);
  for (int below = 1; below <= most_below; ++below) {
    const double above = size * below;
    if (above > most + 0.5 || (below > 1 && above * below > most_together)) break;
    if (above >= 0.5 && std::abs(above - std::round(above)) < rounding * above) return true;
  }
  const double inverse = 1 / size, most_inverse = is_f32 ? most : 1e5;
  return which == Whole::any && inverse <= most_inverse && inverse >= 0.5 &&
         std::abs(inverse - std::round(inverse)) < rounding * inverse;
}

// A fraction, or the root of one.
bool is_simple(double x, double rounding, Whole which) {
  return is_fraction(x, rounding, which) || is_fraction(x * x, rounding, which);
}
// The same of a known number, or of 1 over it.
bool is_made_of(double x, double known, double rounding, Whole which) {
  return is_simple(x / known, rounding, which) || is_simple(x * known, rounding, which);
}

// Numbers of a program of which two are asked for what they make; of more, some two make any.
constexpr std::size_t most_in_pairs = 24;

// How far a number may be from what it is made of: one of f32 was rounded.
double rounding_of(double number) {
  const bool is_f32 = static_cast<double>(static_cast<float>(number)) == number;
  return is_f32 && !is_fraction(number, rounding_of_f64, Whole::any) ? rounding_of_f32
                                                                     : rounding_of_f64;
}

// Booleans, and numbers that were made from them, with halves where two are the largest.
bool is_mask(const Tensor& constant) {
  if (!is_floating(constant.dtype())) return true;
  const std::vector<double> elements = numbers(constant);
  return std::ranges::all_of(elements, [](double e) {
    const double size = std::abs(e);
    return size == 0 || size == 0.5 || size == 1;
  });
}

// c of a = c b; 0 where there is none.
double ratio(const std::vector<double>& a, const std::vector<double>& b) {
  const auto some = std::ranges::find_if(b, [](double x) { return x != 0; });
  if (some == b.end()) return 0;
  const double c = a[static_cast<std::size_t>(some - b.begin())] / *some;
  for (std::size_t e = 0; e < a.size(); ++e)
    if (!(std::abs(a[e] - c * b[e]) <= rounding_of(a[e]) * std::abs(a[e]))) return 0;
  return c;
}

bool has_results_as_constants(const Trace& trace) {
  std::unordered_set<const Value*> results, constants;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.replay().computed(i)) continue;
    const Node& node = trace.node(i);
    if (const Value* output = node.saved_output()) results.insert(output);
    const auto edges = trace.traversal().edges(i);
    for (std::size_t k = 0; k < edges.size(); ++k)
      if (const Value* value = node.saved_input(k)) {
        const bool of_result = edges[k] != Traversal::none && trace.replay().computed(edges[k]);
        const bool of_parameter =
            edges[k] != Traversal::none && trace.node(edges[k]).requires_grad();
        (of_result || of_parameter ? results : constants).insert(value);
      }
  }
  return std::ranges::any_of(constants, [&](const Value* v) { return results.contains(v); });
}

// Whether the loss was computed from it, or on the way to it.
bool is_value_of(const Trace& trace, const Value* value) {
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    if (node.saved_output() == value) return true;
    for (std::size_t k = 0; k < node.inputs().size(); ++k)
      if (node.saved_input(k) == value) return true;
  }
  return false;
}

// The graph of a formula over these symbols and, if a trace is given, its tensors; null where it
// was not recorded over any. A symbol may stand for values that have no node.
Expr recorded_expression(const Trace* trace, const Tensor& formula, const Symbols& symbols) {
  const Node* root = formula.node();
  if (!root) return nullptr;
  const Traversal traversal(std::span(&formula, 1), Traversal::Visit::everything);
  std::vector<Expr> known(traversal.size());
  for (std::uint32_t i = 0; i < traversal.size(); ++i) {
    const Node& node = traversal.node(i);
    if (const std::uint32_t at = trace ? trace->find(&node) : Traversal::none;
        at != Traversal::none && trace->is_tensor(at)) {
      known[i] = tensor_expression(at, node.shape());
      continue;
    }
    if (const auto symbol = symbols.of_nodes.find(&node); symbol != symbols.of_nodes.end()) {
      known[i] = symbol->second;
      continue;
    }
    if (node.is_leaf() || node.output_count() > 1) continue;
    const std::uint32_t at = node.is_output() ? traversal.edges(i)[0] : i;
    Node& application = traversal.node(at);
    const auto edges = traversal.edges(at);
    std::vector<Expr> operands(edges.size());
    bool complete = !application.released();
    for (std::size_t k = 0; k < edges.size() && complete; ++k) {
      // What was written to since is not what the formula was computed from.
      const Value* saved = application.saved_input(k);
      if (saved && !application.saved_as(Node::input(k)).unchanged()) {
        complete = false;
        break;
      }
      const auto symbol = symbols.of_values.find(saved);
      if (edges[k] != Traversal::none && known[edges[k]]) {
        operands[k] = known[edges[k]];
      } else if (saved && symbol != symbols.of_values.end()) {
        operands[k] = symbol->second;
      } else if (application.given(k)) {
        const Tensor value = kept(application, k);
        complete = value.defined();
        if (complete) operands[k] = constant_expression(value);
      }
    }
    if (complete)
      known[i] = operation_expression(Ref<Node>::share(&application), std::move(operands),
                                      node.shape(), node.output_index());
  }
  return known[traversal.output(0)];
}

// What a function gets at a point: what is given of it over the graph, else what was recorded.
std::vector<Tensor> arguments(const Formula& formula, std::span<const Expr> given,
                              const Environment& point) {
  std::vector<Tensor> at;
  for (std::size_t k = 0; k < given.size(); ++k) {
    const Expr& e = given[k];
    const bool moves = e && (e->kind != Kind::tensor || point.tensors[e->node].defined());
    at.push_back(moves ? evaluate(e, point) : detail::in_f64(formula.from[k].detach()));
  }
  return at;
}

// What a function does at a point, as it is recorded there over what it gets: what it captures
// stays as it is. Null where it computes otherwise, as in loops over numbers.
Expr recorded_function(const Formula& formula, std::span<const Expr> given,
                       const Environment& point) {
  const EnableGrad guard;
  const auto recorded = attempt([&] {
    std::vector<Tensor> at = arguments(formula, given, point);
    Symbols symbols;
    for (std::size_t k = 0; k < at.size(); ++k) {
      if (!given[k] || !is_floating(at[k].dtype())) continue;
      at[k] = at[k].detach().requires_grad_();
      symbols.of_nodes[at[k].node()] = given[k];
    }
    return recorded_expression(nullptr, formula.function(at), symbols);
  });
  return recorded.value_or(nullptr);
}

// Whether a formula has tensors.
bool varies(const Expr& formula) {
  bool found = false;
  visit_parts(formula, [&](const Expr& part) { found = found || part->is_symbol(); });
  return found;
}

std::set<std::uint32_t> gradients_in(const Expr& rule) {
  std::set<std::uint32_t> gradients;
  visit_parts(rule, [&](const Expr& part) {
    if (part->kind == Kind::gradient) gradients.insert(part->node);
  });
  return gradients;
}

// The order of the chain, where the gradient of a leaf, from which no rule goes on, comes behind
// those that its formula was written with, or may have been.
std::vector<std::uint32_t> order_of(const Trace& trace, std::span<const Formula> formulas,
                                    std::span<const std::uint32_t> places) {
  std::vector<std::uint32_t> order = trace.order();
  const auto place = [&](std::size_t k) { return std::ranges::find(order, places[k]); };
  // That of a tensor of the program was not written with the gradient that it is given as.
  const auto is_own = [&](std::size_t k) {
    return formulas[k].by_hand.node() && trace.find(formulas[k].by_hand) == Traversal::none;
  };
  std::vector<std::pair<std::size_t, std::size_t>> written_with;
  for (std::size_t k = 0; k < formulas.size(); ++k) {
    if (!trace.node(places[k]).is_leaf() || !is_own(k)) continue;
    std::unordered_set<const Node*> parts;
    const Traversal traversal(std::span(&formulas[k].by_hand, 1), Traversal::Visit::everything);
    for (std::uint32_t i = 0; i < traversal.size(); ++i) parts.insert(&traversal.node(i));
    parts.erase(formulas[k].by_hand.node());
    for (std::size_t j = 0; j < formulas.size(); ++j)
      if (is_own(j) && parts.contains(formulas[j].by_hand.node())) written_with.emplace_back(k, j);
  }
  const auto move_before = [&](std::uint32_t i, std::uint32_t other) {
    const auto first = std::ranges::find(order, other), last = std::ranges::find(order, i);
    if (first < last) std::rotate(first, last, last + 1);
  };
  // Of leaves whose gradients go on from the same others, as of h and r in h + r, each may have
  // been written with the one before.
  for (std::size_t k = 0; k < places.size(); ++k)
    for (std::size_t j = 0; j < k; ++j)
      if (trace.node(places[j]).is_leaf() && trace.node(places[k]).is_leaf() &&
          trace.node(places[j]).shape() == trace.node(places[k]).shape() &&
          gradients_in(trace.gradient(places[j])) == gradients_in(trace.gradient(places[k])))
        move_before(places[j], places[k]);
  for (const std::uint32_t place : places)
    for (const Told& one : told(trace, place, places)) move_before(one.by, place);
  for (bool changes = true; std::exchange(changes, false);)
    for (const auto& [k, j] : written_with)
      if (const auto mine = place(k), other = place(j); mine < other) {
        std::rotate(mine, mine + 1, other + 1);
        changes = true;
      }
  return order;
}

}  // namespace

Handwritten::Handwritten(const Trace& trace, std::span<const Formula> formulas,
                         std::span<const std::uint32_t> places)
    : trace_(trace),
      ops_(trace),
      whole_(formulas.size()),
      in_steps_(formulas.size()),
      computations_(formulas.size()),
      holds_(formulas.size()),
      unexplained_(formulas.size()),
      symbols_(formulas.size()),
      seen_(formulas.size()),
      ambiguous_(has_results_as_constants(trace)),
      has_sides_of_scalars_(has_sides_of_scalars(trace)),
      order_(order_of(trace, formulas, places)) {
  const NoGrad guard;
  bool masked = false;  // whether the loss goes by masks, which stay as they were recorded
  const auto know = [&](const Tensor& value) {
    if (value.defined() && value.dtype() == boolean) masked = true;
    if (!value.defined() || !is_floating(value.dtype())) return;
    if (value.numel() == 1)
      numbers_.push_back(value.item<double>());
    else
      data_.push_back(value);
  };
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.replay().computed(i)) {
      if (!trace.node(i).requires_grad()) know(trace.replay().value(i));
      continue;
    }
    const auto edges = trace.traversal().edges(i);
    for (std::size_t k = 0; k < edges.size(); ++k)
      if (edges[k] == Traversal::none) know(trace.replay().operand(i, k));
  }
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (trace.gradient(i))
      visit_parts(trace.gradient(i), [&](const Expr& part) {
        if (part->kind == Kind::number) numbers_.push_back(part->number);
      });
  for (const double natural :
       {std::numbers::pi, std::numbers::e, std::numbers::ln2, std::numbers::ln10})
    numbers_.push_back(natural);
  std::erase_if(numbers_, [](double x) { return x == 0 || !std::isfinite(x); });
  for (double& x : numbers_) x = std::abs(x);
  std::ranges::sort(numbers_);
  numbers_.erase(std::ranges::unique(numbers_).begin(), numbers_.end());
  if (numbers_.size() <= most_in_pairs)
    for (const double x : numbers_)
      for (const double power : {x, x * x, std::sqrt(x)})
        powers_.push_back({power, rounding_of(x)});
  // From the loss on: an earlier formula is a gradient in those behind it.
  std::vector<std::size_t> order;
  for (const std::uint32_t i : order_)
    for (std::size_t k = 0; k < places.size(); ++k)
      if (places[k] == i) order.push_back(k);
  Symbols earlier;
  for (const std::size_t k : order) {
    const Formula& formula = formulas[k];
    if (formula.function) {
      computations_[k] = computation(formula);
      seen_[k] = recorded_function(formula, given_to(formula), trace.environment()) != nullptr;
      holds_[k] = ambiguous_ ? Holds::here : masked ? Holds::nearby : Holds::anywhere;
      continue;
    }
    whole_[k] = expression(formula.by_hand, {});
    if (!whole_[k]) {
      // A softmax that is uniform here, say; but the 1 of 1 − p was not read from anywhere.
      const Expr constant = constant_expression(detail::in_f64(formula.by_hand.detach()));
      if (constant->kind == Kind::number && std::abs(constant->number) != 1 &&
          varies(trace.gradient(places[k])))
        read_.push_back(constant->number);
      if (formula.by_hand.shape() == trace.node(places[k]).shape() &&
          !is_value_of(trace, formula.by_hand.value_ref().get()))
        earlier.of_values.try_emplace(formula.by_hand.value_ref().get(),
                                      gradient_expression(places[k], formula.by_hand.shape()));
      continue;
    }
    seen_[k] = true;
    computations_[k] = computation_of(whole_[k]);
    in_steps_[k] = expression(formula.by_hand, earlier);
    holds_[k] = ambiguous_ ? Holds::here : holds(whole_[k], unexplained_[k]);
    if (holds_[k] == Holds::anywhere && masked) holds_[k] = Holds::nearby;
    const Shape& shape = trace.node(places[k]).shape();
    if (formula.by_hand.shape() == shape && trace.find(formula.by_hand) == Traversal::none)
      symbols_[k] = earlier.of_nodes
                        .try_emplace(formula.by_hand.node(), gradient_expression(places[k], shape))
                        .second;
  }
}

Expr Handwritten::expression(const Tensor& formula, const Symbols& symbols) {
  Expr whole = recorded_expression(&trace_, formula, symbols);
  if (whole) ops_.check(whole);
  return whole;
}

std::vector<Expr> Handwritten::given_to(const Formula& formula) {
  std::vector<Expr> given;
  for (const Tensor& tensor : formula.from) {
    const std::uint32_t at = trace_.find(tensor);
    given.push_back(at != Traversal::none ? tensor_expression(at, tensor.shape())
                                          : expression(tensor, {}));
  }
  return given;
}

Computation Handwritten::computation(const Formula& formula) {
  return
      [given = given_to(formula), formula](const Environment& point, const Replay::Adjust& results,
                                           const Replay::Adjust& constants) {
        const NoGrad guard;
        if (results)
          if (const Expr recorded = recorded_function(formula, given, point))
            return evaluate(recorded, point, results, constants);
        const Tensor value = to(formula.function(arguments(formula, given, point)).detach(), f64);
        return results ? results(value) : value;
      };
}

// A mask may be all zeros or all ones, and is then a number; that of a scalar where there is one.
bool Handwritten::may_be_mask(const Expr& factor) const {
  return factor && factor->kind == Kind::number &&
         (factor->number == 0 || std::abs(factor->number) == 1) &&
         (factor->shape.numel() > 1 || has_sides_of_scalars_);
}

Handwritten::Holds Handwritten::holds(const Expr& formula, std::vector<Expr>& unexplained) const {
  Holds holds = Holds::anywhere;
  visit_parts(formula, [&](const Expr& part) {
    bool is_fixed = true, may_change = false;
    Expr unknown = part;
    if (part->is(Role::Kind::product) &&
        std::ranges::any_of(part->operands, [&](const Expr& e) { return may_be_mask(e); }))
      may_change = true;
    else if (part->kind == Kind::number) {
      const bool is_read = may_be_read(part->number);
      is_fixed = !is_read && is_explained(part->number);
      if (!is_read) unknown = number_expression(part->number, {});
      may_change = part->shape.numel() > 1;
    } else if (part->kind == Kind::constant && !is_of_the_loss(part->value)) {
      is_fixed = is_mask(part->value);
      may_change = true;
    }
    if (may_change) holds = Holds::nearby;
    const auto is_this = [&](const Expr& other) {
      return other->kind == part->kind &&
             (part->kind == Kind::number
                  ? other->number == part->number && other->shape == unknown->shape
                  : other->elements == part->elements);
    };
    if (!is_fixed && std::ranges::none_of(unexplained, is_this)) unexplained.push_back(unknown);
  });
  return holds;
}

bool Handwritten::may_hold_mask(std::size_t k, bool single) const {
  bool found = false;
  if (whole_[k])
    visit_parts(whole_[k], [&](const Expr& part) {
      // 2 m of the mask of a scalar is a number.
      if (has_sides_of_scalars_ && part->is(Role::Kind::product))
        for (const Expr& factor : part->operands)
          found = found || (factor && factor->kind == Kind::number && factor->shape.numel() == 1);
      if (part->kind != Kind::constant) return;
      const auto is_it = [&](const Tensor& data) {
        return data.value_ref() == part->value.value_ref() ||
               (single && data.shape() == part->value.shape() &&
                numbers(data) == numbers(part->value));  // brought to f64, each for itself
      };
      found = found || std::ranges::none_of(data_, is_it);
    });
  return found;
}

bool Handwritten::is_of_the_loss(const Tensor& constant) const {
  if (!is_floating(constant.dtype())) return false;
  const NoGrad guard;
  const std::vector<double> mine = numbers(constant);
  return std::ranges::any_of(data_, [&](const Tensor& data) {
    if (data.numel() != constant.numel()) return false;
    if (data.value_ref() == constant.value_ref()) return true;
    const auto is_multiple_of = [&](const Tensor& x) {
      const double factor = ratio(mine, numbers(x));
      return factor != 0 && is_explained(factor);
    };
    return is_multiple_of(data) || is_multiple_of(1 - data);
  });
}

// A number that stands for itself, or that one or two numbers of the program give: 1/N, 2λ², a/√d.
bool Handwritten::is_explained(double number) const {
  if (number == 0 || !std::isfinite(number)) return true;
  const double rounding = rounding_of(number);
  return is_simple(number, rounding, Whole::any) ||
         std::ranges::any_of(
             numbers_,
             [&](double known) {
               return is_made_of(number, known, std::max(rounding, rounding_of(known)), Whole::any);
             }) ||
         is_made_of_two(number);
}

bool Handwritten::may_be_read(double number) const {
  return std::ranges::any_of(read_, [&](double x) {
    return x != 0 && std::abs(number - x) <= rounding_of(x) * std::abs(x);
  });
}

bool Handwritten::is_made_of_two(double number) const {
  const double rounding = rounding_of(number);
  for (std::size_t a = 0; a < powers_.size(); ++a)
    for (std::size_t b = a; b < powers_.size(); ++b) {
      const double most = std::max({rounding, powers_[a].rounding, powers_[b].rounding});
      for (const double rest : {number / powers_[a].value, number * powers_[a].value})
        if (is_made_of(rest, powers_[b].value, most, Whole::few)) return true;
    }
  return false;
}

}  // namespace chainrule::derivation
