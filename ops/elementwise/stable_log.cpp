#include <chainrule/ops/elementwise/stable_log.hpp>

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/vector_math.hpp>

namespace chainrule {

namespace {

constexpr std::size_t z = 0, x = 1;  // the operands

// Whether e is exp(l), but for the rounding of both.
template <class T>
bool is_exp(T e, T l) {
  const T exact = kernels::exp(l);
  const T slack = (16 + 2 * std::abs(l)) * std::numeric_limits<T>::epsilon();
  return e == exact || std::abs(e - exact) < slack * exact;
}

// Whether the gradient of x, or of what stands between x and z, is itself wanted.
bool steps_over_target(const Vjp& r) {
  const Node* made = r.node().inputs()[x];
  if (!made) return false;
  if (r.asked_for(made)) return true;
  const Node* between = made->inputs().empty() ? nullptr : made->inputs()[0];
  return between && between != r.node().inputs()[z] && r.asked_for(between);
}

}  // namespace

void StableLog::infer(Inference& call) const {
  const Value& result = call.in(x);
  check_dtypes(name(), call.tensor(x), call.tensor(z), false, call.where());
  direct_.infer(call);
  const Shape shape = call.result(0).shape(call);
  if (result.shape() != shape)
    throw ShapeError(
        fmt::format("{}: {} cannot come from {}, of which it would be {}", name(),
                    describe(call.tensor(x)), describe(call.tensor(z)), to_string(shape)),
        call.where(),
        "a graph is evaluated again with operands of the shapes that belong together");
}

// Computed again, x may have been changed apart from z: then it is x that counts.
void StableLog::evaluate(Evaluation& call) const {
  direct_.evaluate(call);
  if (comes_from_z(call)) return;
  const Ref<Value> result = kernels::contiguous(call.in_ref(x));
  visit_floating(result->dtype(), [&](auto zero) {
    using T = decltype(zero);
    kernels::map_in_place<T>(call.out(), *result,
                             [](T l, T e) { return is_exp(e, l) ? l : kernels::log(e); });
  });
}

bool StableLog::comes_from_z(const Evaluation& call) const {
  const Tensor& result = call.tensor(x);
  const Node* node = result.node();
  if (!node || node->is_leaf() || node->parameters() != call.parameters()) return false;
  const Logarithm log = node->op()->logarithm(result);
  return log.op == this && log.z.value_ref().get() == call.in_ref(z).get();
}

Node::SavedMask StableLog::reads(const Call& call) const {
  return direct_.reads(call) | Node::input(x);
}

void StableLog::vjp(Vjp& r) const {
  if (!steps_over_target(r)) return direct_.vjp(r);
  if (r.needs(x)) r.give(x, r.g() / r.in(x));
}

Tensor StableLog::jvp(Jvp& r) const { return r.has(z) ? direct_.jvp(r) : r.tangent(x) / r.in(x); }

Role StableLog::role(const Parameters&) const {
  Role role = Role::Kind::logarithm;
  role.argument = x;
  return role;
}

Tensor StableLog::written_out(const Node& node, std::span<const Tensor> inputs) const {
  return apply(direct_, {&inputs[z]}, node.parameters(), node.where());
}

}  // namespace chainrule
