#include <chainrule/graph/derivation/trace.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/op_check.hpp>
#include <chainrule/graph/derivation/symbol_name.hpp>
#include <chainrule/graph/derivation/trace_watcher.hpp>

namespace chainrule::derivation {

namespace {

// A formula of more symbols and operations gets parts with names.
constexpr int largest_without_name = 40;
// The gradient of a result without a name that one formula needs passes up to this size.
constexpr int largest_passing = 30;

bool is_sum_to_a_reader(const Role& role) {
  using enum Role::Kind;
  return role.is(sum) || role.is(difference) || role.is(product);
}

// Whether a formula is a symbol, but for a factor 1 and for where it is broadcast: it needs no name
// of its own.
bool is_symbol_alone(const Expr& formula) {
  const Expression* at = formula.get();
  const auto is_one = [](const Expr& e) {
    const Expression* number = e.get();
    while (number->is(Role::Kind::copy)) number = number->operands[0].get();
    return number->kind == Expression::Kind::number && number->number == 1;
  };
  while (at->kind == Expression::Kind::operation) {
    if (at->is(Role::Kind::copy))
      at = at->operands[0].get();
    else if (at->is(Role::Kind::product) && is_one(at->operands[0]))
      at = at->operands[1].get();
    else if (at->is(Role::Kind::product) && is_one(at->operands[1]))
      at = at->operands[0].get();
    else
      return false;
  }
  return at->shape == formula->shape;
}

}  // namespace

Trace::Trace(const Tensor& output, const char* caller, const Where& where)
    : traversal_(std::span(&output, 1), Traversal::Visit::everything),
      replay_(traversal_, std::span(&output, 1), caller, where),
      forward_(size()),
      gradients_(size()),
      named_(size()) {
  for (std::uint32_t i = 0; i < size(); ++i) places_[&traversal_.node(i)] = i;
  for (std::uint32_t i = 0; i < size(); ++i) {
    // An application of several outputs is shown where each of them is.
    if (!replay_.computed(i) || traversal_.node(i).output_count() > 1) continue;
    const std::uint32_t at = traversal_.node(i).is_output() ? traversal_.edges(i)[0] : i;
    const Node& node = traversal_.node(at);
    std::vector<Expr> operands;
    const auto edges = traversal_.edges(at);
    for (std::size_t k = 0; k < edges.size(); ++k) {
      const Tensor& value = replay_.operand(at, k);
      if (edges[k] != Traversal::none)
        operands.push_back(tensor_expression(edges[k], value.shape()));
      else
        operands.push_back(value.defined() ? constant_expression(value) : nullptr);
    }
    Ref<Node> application = Ref<Node>::share(const_cast<Node*>(&node));
    forward_[i] =
        operation_expression(std::move(application), std::move(operands),
                             traversal_.node(i).shape(), traversal_.node(i).output_index());
  }
}

// What underflows where its logarithm was computed from something else, and what stands between
// the two: gradients by way of them have no numbers, those that the logarithm's own rule gives do.
std::vector<bool> Trace::underflown() const {
  std::vector<bool> lost(size());
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (!forward_[i] || !forward_[i]->is(Role::Kind::logarithm)) continue;
    const std::size_t argument = forward_[i]->role().argument;
    const Expr& x = forward_[i]->operands[argument];
    if (argument == 0 || x->kind != Expression::Kind::tensor) continue;
    const std::vector<double> values = numbers(replay_.value(x->node));
    if (std::ranges::none_of(values, [](double value) {
          return std::abs(value) < std::numeric_limits<double>::min();
        }))
      continue;
    lost[x->node] = true;
    if (const Expr& made = forward_[x->node]; made && made->operands[0]) {
      const Expr &between = made->operands[0], &from = forward_[i]->operands[0];
      const bool is_tensor = between->kind == Expression::Kind::tensor;
      if (is_tensor && !(from->kind == Expression::Kind::tensor && from->node == between->node))
        lost[between->node] = true;
    }
  }
  return lost;
}

Trace::Trace(const Tensor& loss, std::span<const Tensor> asked, const char* caller,
             const Where& where)
    : Trace(loss, caller, where) {
  std::unordered_set<const Node*> wanted;
  for (const Tensor& tensor : asked) wanted.insert(tensor.node());
  std::vector<Tensor> stops;
  const std::vector<bool> lost = underflown();
  for (std::uint32_t i = 0; i < size(); ++i) {
    Node& node = traversal_.node(i);
    if (!node.requires_grad() || i == traversal_.output(0)) continue;
    named_[i] = node.is_leaf() || (!node.name().empty() && !lost[i]);
    named_[i] = named_[i] || wanted.contains(&node);
    if (named_[i]) stops.push_back(Tensor(Ref<Value>(), Ref<Node>::share(&node)));
  }

  Watcher watcher(*this);
  const Traversal differentiable(std::span(&loss, 1), Traversal::Visit::differentiable);
  {
    const Observing observing(watcher);
    detail::sweep(
        differentiable, loss, stops, caller,
        [&](std::size_t at, const Tensor& g) {
          const std::uint32_t i = places_.at(&differentiable.node(at));
          passed_.push_back(i);
          gradients_[i] = watcher.of(g.value_ref());
          const Expression::Kind kind = gradients_[i]->kind;
          if (named_[i] && kind != Expression::Kind::gradient && kind != Expression::Kind::number)
            watcher.name(g.value_ref(), gradient_expression(i, g.shape()));
        },
        where);
  }
  // The logarithm's rule passed over these, whose gradients would lack what it gives.
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (!lost[i] || named_[i]) continue;
    gradients_[i] = nullptr;
    std::erase(passed_, i);
  }
  // What no rule gave anything for has a gradient of zeros.
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (gradients_[i] || !node(i).is_leaf() || !node(i).requires_grad()) continue;
    gradients_[i] = number_expression(0, node(i).shape());
    passed_.push_back(i);
  }
  name_shared();
  complete(caller, where);
}

// What is known when all formulas are.
void Trace::complete(const char* caller, const Where& where) {
  gradient_uses_.resize(size());
  for (std::uint32_t i = 0; i < size(); ++i)
    if (named_[i] && gradients_[i])
      visit_parts(gradients_[i], [&](const Expr& part) {
        if (part->kind == Expression::Kind::gradient && part->node != i)
          ++gradient_uses_[part->node];
      });
  for (std::uint32_t i = 0; i < size(); ++i) {
    const Expr& formula = forward_[i];
    if (!formula || node(i).name().empty() || formula->shape != node(i).shape()) continue;
    if (formula->is(Role::Kind::product) || formula->is(Role::Kind::quotient))
      named_products_.push_back(i);
  }
  environment_ = at(recorded_values());
  OpCheck ops(*this);
  for (const std::vector<Expr>* formulas : {&forward_, &gradients_})
    for (const Expr& formula : *formulas)
      if (formula) ops.check(formula);
  for (std::uint32_t i = 0; i < size(); ++i)
    if (forward_[i] && gradients_[i]) ops.check_rule(forward_[i]);
  derivative_ = find_mark(caller, where);
  extents_ = extents_of(traversal_, caller, where);
  std::erase_if(extents_, [&](const Extent& axis) { return is_name(axis.name); });
  divided_by_.resize(size());
  if (!extents_.empty()) find_means();
}

bool Trace::is_name(const std::string& word) const {
  for (std::uint32_t i = 0; i < size(); ++i) {
    const std::string name = detail::printable(node(i).name());
    for (const Mark mark : {Mark::none, derivative_})
      if (!name.empty() && plain(symbol_text(name, Format::unicode, mark)) == plain(word))
        return true;
  }
  return false;
}

Mark Trace::find_mark(const char* caller, const Where& where) const {
  std::set<std::string> names;
  std::vector<std::string> derived;
  for (std::uint32_t i = 0; i < size(); ++i) {
    const std::string name = detail::printable(node(i).name());
    if (name.empty()) continue;
    names.insert(plain(name));
    if (gradients_[i] || (is_forward() && seeds_[i].defined())) derived.push_back(name);
  }
  const auto marked = [](const std::string& name, Mark mark) {
    return symbol_text(name, Format::unicode, mark);
  };
  using Marks = std::vector<Mark>;
  const Marks marks = is_forward() ? Marks{Mark::tangent, Mark::partial, Mark::gradient}
                                   : Marks{Mark::gradient, Mark::nabla, Mark::partial};
  std::vector<std::string> clashes;
  for (const Mark mark : marks) {
    const auto clash = std::ranges::find_if(derived, [&](const std::string& name) {
      return names.contains(plain(marked(name, mark)));
    });
    if (clash == derived.end()) return mark;
    clashes.push_back(marked(*clash, mark));
  }
  throw ValueError(fmt::format("{}: tensors are called {}, as derivatives of others would be",
                               caller, detail::joined(clashes, ", ")),
                   where, "call one of them otherwise");
}

std::vector<Tensor> Trace::recorded_values() const {
  std::vector<Tensor> tensors;
  for (std::uint32_t i = 0; i < size(); ++i) tensors.push_back(replay_.value(i));
  return tensors;
}

// Gradients of results without a name that several formulas are made from get one of their own.
void Trace::name_shared() {
  std::unordered_map<const Expression*, int> uses;
  std::unordered_set<const Expression*> seen, named_already;
  for (const std::uint32_t i : passed_) {
    if (!named_[i]) continue;
    ++uses[gradients_[i].get()];
    named_already.insert(gradients_[i].get());
    visit_parts(
        gradients_[i],
        [&](const Expr& part) {
          if (!seen.insert(part.get()).second) return;
          for (const Expr& operand : part->operands)
            if (operand) ++uses[operand.get()];
        },
        [&](const Expr& part) { return !seen.contains(part.get()); });
  }
  Replacements symbols;
  for (const std::uint32_t i : passed_) {
    const Expr formula = gradients_[i];
    // As it stands in terms of those that were named before.
    gradients_[i] = replaced(formula, symbols);
    if (formula->kind != Expression::Kind::operation || symbols.contains(formula.get()) ||
        named_already.contains(formula.get()) || is_symbol_alone(formula))
      continue;
    bool has_symbols = false;
    visit_parts(gradients_[i], [&](const Expr& part) {
      has_symbols |= part->kind == Expression::Kind::tensor ||
                     part->kind == Expression::Kind::gradient ||
                     part->kind == Expression::Kind::constant;
    });
    const bool shared = uses[formula.get()] > 1 && has_symbols;
    if (!shared && size_of(gradients_[i]) <= largest_without_name) continue;
    symbols[formula.get()] = gradient_expression(i, formula->shape);
    named_[i] = true;
  }
}

std::uint32_t Trace::first_of(std::uint32_t i) const {
  if (first_.empty()) {
    std::unordered_map<std::string, std::uint32_t> seen;
    for (std::uint32_t at = 0; at < size(); ++at) {
      first_.push_back(at);
      if (!forward_[at] || !node(at).name().empty()) continue;
      // In terms of those that were found so far.
      std::vector<Expr> operands = forward_[at]->operands;
      for (Expr& operand : operands)
        if (operand && operand->kind == Expression::Kind::tensor &&
            first_[operand->node] != operand->node)
          operand = tensor_expression(first_[operand->node], operand->shape);
      const Expr formula = operation_expression(forward_[at]->application, std::move(operands),
                                                forward_[at]->shape, forward_[at]->output);
      first_[at] = seen.try_emplace(key_of(formula), at).first->second;
    }
  }
  return first_[i];
}

std::uint32_t Trace::first_gradient_of(std::uint32_t i) const {
  if (first_gradients_.empty()) {
    first_gradients_.resize(size());
    std::iota(first_gradients_.begin(), first_gradients_.end(), 0U);
    std::unordered_map<std::string, std::uint32_t> seen;
    for (const std::uint32_t at : passed_) {
      if (!named_[at] || node(at).is_leaf() || !node(at).name().empty()) continue;
      // In terms of those that were found so far.
      Replacements firsts;
      visit_parts(gradients_[at], [&](const Expr& part) {
        if (part->kind == Expression::Kind::tensor)
          firsts[part.get()] = tensor_expression(first_of(part->node), part->shape);
        if (part->kind == Expression::Kind::gradient)
          firsts[part.get()] = gradient_expression(first_gradients_[part->node], part->shape);
      });
      const std::string key =
          key_of(replaced(gradients_[at], firsts)) + to_string(gradients_[at]->shape);
      first_gradients_[at] = seen.try_emplace(key, at).first->second;
    }
  }
  return first_gradients_[i];
}

bool Trace::is_scaled_symbol(std::uint32_t i) const {
  int symbols = 0;
  bool scales = true;
  visit_parts(gradients_[i], [&](const Expr& part) {
    if (part->kind == Expression::Kind::number) return;
    const Role role = part->role();
    symbols += part->is_symbol() ? 1 : 0;
    scales = scales &&
             (part->is_symbol() || role.is(Role::Kind::product) || role.is(Role::Kind::quotient) ||
              role.is(Role::Kind::negation) || role.is(Role::Kind::copy));
    if (part->kind == Expression::Kind::tensor)
      scales = scales && !is_made_of_names(part->node, is_sum_to_a_reader);
  });
  return scales && symbols <= 1;
}

bool Trace::is_made_of_names(std::uint32_t i, bool (*by)(const Role&), int levels) const {
  const Expr& formula = forward_[i];
  if (!formula || !node(i).name().empty() || levels == 0 || !by(formula->role())) return false;
  return std::ranges::all_of(formula->operands, [&](const Expr& operand) {
    return !operand || operand->kind != Expression::Kind::tensor || !forward_[operand->node] ||
           !node(operand->node).name().empty() || is_made_of_names(operand->node, by, levels - 1);
  });
}

bool Trace::is_passing(std::uint32_t i) const {
  if (is_forward() || !named_[i] || !gradients_[i] || node(i).is_leaf() || !node(i).name().empty())
    return false;
  return is_scaled_symbol(i) ||
         (gradient_uses_[i] == 1 && size_of(gradients_[i]) <= largest_passing);
}

Environment Trace::at(std::vector<Tensor> tensors, const Replay::Adjust& adjust,
                      const Replay::Adjust& adjust_constants) const {
  Environment environment{std::move(tensors),
                          seeds_.empty() ? std::vector<Tensor>(size()) : seeds_};
  for (const std::uint32_t i : passed_)
    if (named_[i])
      environment.gradients[i] = evaluate(gradients_[i], environment, adjust, adjust_constants);
  return environment;
}

std::vector<std::uint32_t> Trace::order() const {
  // A leaf is done when the first operation that used it has been passed.
  std::vector<std::uint32_t> used_at(size(), Traversal::none);
  for (std::uint32_t i = 0; i < size(); ++i)
    for (const std::uint32_t edge : traversal_.edges(i))
      if (edge != Traversal::none && used_at[edge] == Traversal::none) used_at[edge] = i;
  std::vector<std::uint32_t> order = passed_;
  // Weights before biases: of those that belong together, the larger first.
  const auto key = [&](std::uint32_t i) { return node(i).is_leaf() ? used_at[i] : i; };
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return key(a) != key(b) ? key(a) > key(b) : node(b).is_leaf() && !node(a).is_leaf();
  });
  // W·x + b: the parameters of one layer form a group.
  for (auto begin = order.begin(); begin != order.end();) {
    const auto is_break = [&](std::uint32_t i) {
      if (node(i).is_leaf()) return false;
      const bool of_one_layer =
          forward_[i]->is(Role::Kind::sum) || forward_[i]->is(Role::Kind::matrix_product);
      return named_[i] || !of_one_layer;
    };
    const auto end = std::find_if(begin, order.end(), is_break);
    const auto leaves =
        std::stable_partition(begin, end, [&](std::uint32_t i) { return !node(i).is_leaf(); });
    std::stable_sort(leaves, end, [&](std::uint32_t a, std::uint32_t b) {
      return node(a).shape().numel() > node(b).shape().numel();
    });
    begin = end == order.end() ? end : end + 1;
  }
  return order;
}

std::uint32_t Trace::find(const Node* node) const {
  const auto found = places_.find(node);
  return found == places_.end() ? Traversal::none : found->second;
}

}  // namespace chainrule::derivation
