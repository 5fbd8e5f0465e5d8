#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/graph/derivation/trace_watcher.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::derivation {

namespace {

// Handles of nodes alone, as a traversal takes them.
Tensor handle_of(Node& node) { return Tensor(Ref<Value>(), Ref<Node>::share(&node)); }

void check_output(const Tensor& output, const char* caller, const Where& where) {
  output.value(where, caller, "output");
  if (output.requires_grad()) return;
  throw GradError(
      fmt::format("{}: {} has no graph: nothing that it was computed from requires gradients, or "
                  "recording was off",
                  caller, describe(output)),
      where, "call requires_grad_() on the inputs before computing, outside of no_grad");
}

const Tensor& checked(const Tensor& output, const char* caller, const Where& where) {
  check_output(output, caller, where);
  return output;
}

// Whether a result is as much a sum as what it is made from, to a reader.
bool passes_sums_on(const Role& role) {
  using enum Role::Kind;
  static constexpr Role::Kind kinds[] = {sum,     difference,  negation, conversion,
                                         copy,    permutation, reshape,  slice,
                                         scatter, join,        total,    mean};
  return std::ranges::find(kinds, role.kind) != std::end(kinds);
}

int derivatives_in(const Expr& formula) {
  int count = 0;
  visit_parts(formula,
              [&](const Expr& part) { count += part->kind == Expression::Kind::gradient; });
  return count;
}

}  // namespace

// Whether a result without a name has a tangent of its own: a sum, as Ẇ·x + ḃ, that something else
// than a sum is computed from, which would have to be multiplied out.
std::vector<bool> Trace::summed_up() const {
  std::vector<bool> found(size());
  for (std::uint32_t i = 0; i < size(); ++i)
    for (const std::uint32_t edge : traversal_.edges(i))
      if (edge != Traversal::none && !(forward_[i] && passes_sums_on(forward_[i]->role())))
        found[edge] = true;
  return found;
}

// The inputs, as a traversal takes them.
std::vector<Tensor> Trace::input_nodes(const Tangents& of, const Tensor& output, const char* caller,
                                       const Where& where) const {
  std::vector<Tensor> inputs;
  for (std::size_t k = 0; k < of.inputs.size(); ++k) {
    const Tensor& input = of.inputs[k];
    if (!input.defined())
      throw ValueError(
          fmt::format("{}: input {} is undefined", caller, k), where,
          "it was default-constructed, moved from, or is the grad() of a tensor that has none");
    const std::uint32_t i = find(input);
    if (i == Traversal::none || !node(i).requires_grad())
      throw GradError(
          fmt::format("{}: {} does not depend on {}", caller, describe(output), describe(input)),
          where, "a tangent belongs to what requires_grad_(), or was computed from it");
    if (i == loss())
      throw GradError(fmt::format("{}: {} is the output itself, and its tangent is given", caller,
                                  describe(input)),
                      where, "give tangents to tensors that it was computed from");
    inputs.push_back(handle_of(traversal_.node(i)));
  }
  if (!inputs.empty()) return inputs;
  if (!forward_[loss()])
    throw GradError(fmt::format("{}: {} was not computed from anything: its tangent is given",
                                caller, describe(output)),
                    where, "compute it from parameters and data");
  for (std::uint32_t i = 0; i < size(); ++i)
    if (node(i).is_leaf() && node(i).requires_grad())
      inputs.push_back(handle_of(traversal_.node(i)));
  return inputs;
}

Trace::Trace(const Tensor& output, const Tangents& of, const char* caller, const Where& where)
    : Trace(checked(output, caller, where), caller, where) {
  const std::vector<Tensor> inputs = input_nodes(of, output, caller, where);
  const Traversal traversal(std::span(&output, 1), inputs, Traversal::Visit::differentiable);
  Watcher watcher(*this);
  Generator generator(0x7a4e);
  std::vector<Tensor> tangents(traversal.size());
  seeds_.resize(size());
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const std::uint32_t i = find(inputs[k].node()), at = traversal.target(k);
    if (seeds_[i].defined()) continue;  // named twice
    seeds_[i] = uniform(-1, 1, node(i).shape(), generator, f64);
    named_[i] = true;
    if (at == Traversal::none) continue;
    tangents[at] = to(seeds_[i], node(i).dtype());
    watcher.name(tangents[at].value_ref(), gradient_expression(i, node(i).shape()));
  }
  for (std::uint32_t i = 0; i < size(); ++i)
    named_[i] = named_[i] || i == loss() || !node(i).name().empty();
  const std::vector<bool> summed_up = this->summed_up();
  const auto at_node = [&](std::size_t at) {
    const Ref<Value>& tangent = tangents[at].value_ref();
    const std::uint32_t i = find(&traversal.node(at));
    passed_.push_back(i);
    gradients_[i] = watcher.of(tangent);
    const Expression::Kind kind = gradients_[i]->kind;
    const bool is_sum =
        gradients_[i]->is(Role::Kind::sum) || gradients_[i]->is(Role::Kind::difference);
    if (is_sum && summed_up[i] && derivatives_in(gradients_[i]) > 1) named_[i] = true;
    if (named_[i] && kind != Expression::Kind::gradient && kind != Expression::Kind::number)
      watcher.name(tangent, gradient_expression(i, node(i).shape()));
  };
  // A logarithm that was computed from something else is one of its operand to a reader, who knows
  // the tangent of that by its name.
  const auto left_out = [&](std::size_t at, std::size_t k) {
    const std::uint32_t i = find(&traversal.node(at));
    if (!forward_[i] || !forward_[i]->is(Role::Kind::logarithm)) return false;
    const std::size_t argument = forward_[i]->role().argument;
    const std::uint32_t edge = traversal_.edges(i)[argument];
    return k != argument && edge != Traversal::none && !node(edge).name().empty();
  };
  {
    const Observing observing(watcher);
    detail::push_forward(traversal, tangents, false, at_node, left_out);
  }
  if (!gradients_[loss()])
    throw GradError(fmt::format("{}: {} does not depend on the inputs", caller, describe(output)),
                    where, "name tensors that it was computed from, or none for all parameters");
  name_shared();
  complete(caller, where);
  check_tangents(traversal, inputs, left_out, caller);
}

// Throws where a rule computed a tangent in another way than by operations, which a formula takes
// for data: for other tangents of the inputs the two have other values.
void Trace::check_tangents(const Traversal& traversal, std::span<const Tensor> inputs,
                           const detail::LeftOut& left_out, const char* caller) const {
  const NoGrad guard;
  Generator generator(0x51de);
  std::vector<Tensor> tangents(traversal.size()), given;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Node& input = *inputs[k].node();
    given.push_back(to(uniform(-1, 1, input.shape(), generator, f64), input.dtype()));
    if (traversal.target(k) != Traversal::none) tangents[traversal.target(k)] = given[k];
  }
  const Environment environment = pushed(inputs, given);
  double scale = 1;  // of the largest tangent so far
  detail::push_forward(
      traversal, tangents, false,
      [&](std::size_t at) {
        const Node& node = traversal.node(at);
        const std::uint32_t i = find(&node);
        const std::vector<double> mine = numbers(evaluate(gradients_[i], environment)),
                                  rules = numbers(tangents[at]);
        scale = std::max({scale, largest(mine), largest(rules)});
        const double allowed = (node.dtype() == f64 ? 1e-6 : 1e-2) * scale;
        for (std::size_t e = 0; e < mine.size() && e < rules.size(); ++e) {
          if (!(std::abs(mine[e] - rules[e]) > allowed)) continue;
          throw GradError(
              fmt::format("{}: the jvp rule of {} gives {:.6g} at {} for other tangents, and the "
                          "operations that it was seen to apply give {:.6g}",
                          caller, forward_[i]->op()->name(), rules[e],
                          to_string(position_of(static_cast<std::int64_t>(e), node.shape())),
                          mine[e]),
              node.where(),
              "write the rule in tensor operations that compute the same each time: what it "
              "computes in loops from a tangent is a number to a formula");
        }
      },
      left_out);
}

Environment Trace::pushed(std::span<const Tensor> inputs, std::span<const Tensor> tangents) const {
  Environment environment{environment_.tensors, std::vector<Tensor>(size())};
  for (std::size_t k = 0; k < inputs.size(); ++k)
    environment.gradients[find(inputs[k])] = to(tangents[k].detach(), f64);
  for (const std::uint32_t i : passed_)
    if (named_[i]) environment.gradients[i] = evaluate(gradients_[i], environment);
  return environment;
}

}  // namespace chainrule::derivation
