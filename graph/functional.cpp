#include <chainrule/graph/functional.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/graph/outputs.hpp>
#include <chainrule/graph/traversal.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule {

namespace {

// Places of their own in the graph for the arguments of a function: leaves, or behind the caller's
// tensors when those require gradients, so that derivatives of derivatives see through.
std::vector<Tensor> fresh(std::span<const Tensor> inputs, const char* caller, const Where& where) {
  detail::check_defined(caller, "argument", inputs, where);
  std::vector<Tensor> places;
  for (const Tensor& input : inputs) {
    if (!is_floating(input.dtype())) {
      places.push_back(input);
    } else {
      Tensor place = input.requires_grad() ? detail::alias(input, where)
                                           : input.detach().requires_grad_(true, where);
      places.push_back(input.name().empty() ? place : place.named(input.name()));
    }
  }
  return places;
}

Tensor call(const Function& f, std::span<const Tensor> places, const char* caller,
            const Where& where) {
  if (!f)
    throw ValueError(fmt::format("{}: there is no function", caller), where,
                     "the std::function is empty: was it moved from?");
  Tensor output = f(places);
  if (!output.defined())
    throw ValueError(fmt::format("{}: the function returned an undefined tensor", caller), where,
                     "return its result from all paths; a tensor without a value is undefined");
  if (!is_floating(output.dtype()))
    throw DTypeError(
        fmt::format("{}: the function's result {} holds {}, and only f32 and f64 have gradients",
                    caller, describe(output), name_of(output.dtype())),
        where, "compute it in floating numbers: to(x, f32)");
  return output;
}

// One run of a function that is differentiated: the places of its arguments, and those of functions
// within it that have ended. Nobody asks for a gradient at the latter any more, nor at its own once
// the function has run, although they are leaves that require gradients.
class Run {
 public:
  Run(std::span<const Tensor> inputs, const char* caller, const Where& where)
      : places_(fresh(inputs, caller, where)), outer_(std::exchange(innermost, this)) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() { innermost = outer_; }

  std::span<const Tensor> places() const noexcept { return places_; }

  // Which results of the function follow from something else that requires gradients. What lies
  // behind it is not looked at.
  std::vector<bool> depends_on_others(std::span<const Tensor> results) const {
    std::vector<bool> others(results.size());
    std::vector<Tensor> own = ended_;
    for (const Tensor& place : places_)
      if (place.requires_grad()) own.push_back(place);
    if (own.empty()) {  // and all that is visited is of others
      std::transform(results.begin(), results.end(), others.begin(),
                     [](const Tensor& result) { return result.requires_grad(); });
      return others;
    }
    const Traversal traversal(results, own, Traversal::Visit::differentiable);
    std::vector<bool> open(traversal.size());
    for (std::size_t i = 0; i < traversal.size(); ++i) {
      const auto inputs = traversal.node(i).inputs();
      open[i] = !traversal.relevant(i);
      for (std::size_t k = 0; k < inputs.size() && !open[i]; ++k) {
        const std::uint32_t edge = traversal.edges(i)[k];
        open[i] =
            inputs[k] && inputs[k]->requires_grad() && (edge == Traversal::none || open[edge]);
      }
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
      const std::uint32_t at = traversal.output(i);
      others[i] = results[i].requires_grad() && (at == Traversal::none || open[at]);
    }
    return others;
  }

  // For results that keep a graph, in which the run around this one finds its places.
  void tell_outer() {
    if (!outer_) return;
    std::vector<Tensor>& ended = outer_->ended_;
    ended.insert(ended.end(), ended_.begin(), ended_.end());
    for (const Tensor& place : places_)
      if (place.requires_grad()) ended.push_back(Tensor({}, place.node_ref()));
  }

 private:
  static thread_local constinit Run* innermost;
  std::vector<Tensor> places_;
  std::vector<Tensor> ended_;  // nodes alone
  Run* outer_;
};

thread_local constinit Run* Run::innermost = nullptr;

// Whose elements the tensors have that a caller gave, in order of address.
using Owners = std::vector<const Value*>;
Owners owners_of(std::span<const Tensor> first, std::span<const Tensor> second) {
  Owners owners;
  owners.reserve(first.size() + second.size());
  for (const std::span<const Tensor> tensors : {first, second})
    for (const Tensor& tensor : tensors) owners.push_back(tensor.value_ref()->owner());
  std::ranges::sort(owners, std::less());
  return owners;
}

// A result with its graph, if that is to be kept. Its elements are its own: with a graph at least
// neither those of the tensors that were `given`, which the caller may write to, nor of parameters
// that the function captured, of which it may return one or a view.
Tensor result_of(Tensor&& tensor, bool keep, const Owners& given, const Where& where) {
  if (keep) {
    const Value* value = tensor.value_ref().get();
    const Value* owner = value->owner();
    const bool shared =
        tensor.is_leaf() || value != owner || std::ranges::binary_search(given, owner, std::less());
    return shared ? detail::copy(tensor, where) : std::move(tensor);
  }
  // Who watches operations knows the result by them alone.
  if (detail::mode.observer) return detail::copy(tensor.detach(), where);
  const Ref<Value> value = tensor.value_ref();
  tensor = {};  // and its graph, which may hold the value, too
  return Tensor(value->exclusive() ? value : kernels::copied(*value));
}

// All results of a run; undefined ones stay so.
std::vector<Tensor> results_of(std::vector<Tensor>&& tensors, bool keep, Run& run,
                               const Owners& given, const Where& where) {
  const std::vector<bool> kept =
      keep ? run.depends_on_others(tensors) : std::vector<bool>(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].defined()) tensors[i] = result_of(std::move(tensors[i]), kept[i], given, where);
  if (std::ranges::find(kept, true) != kept.end()) run.tell_outer();
  return std::move(tensors);
}

// Gradients of ⟨seed, output⟩ at the floating ones of `places`; undefined for the others.
std::vector<Tensor> gradients_at(const Tensor& output, const Tensor& seed,
                                 std::span<const Tensor> places, bool keep, const Where& where) {
  std::vector<Tensor> floating;
  for (const Tensor& place : places)
    if (is_floating(place.dtype())) floating.push_back(place);
  std::vector<Tensor> found =
      output.requires_grad()
          ? grad(std::span(&output, 1), std::span(&seed, 1), floating,
                 {.retain_graph = false, .create_graph = keep, .allow_unused = true}, where)
          : std::vector<Tensor>();
  std::vector<Tensor> grads(places.size());
  for (std::size_t i = 0, next = 0; i < places.size(); ++i) {
    if (!is_floating(places[i].dtype())) continue;
    grads[i] = found.empty() ? zeros(places[i].shape(), places[i].dtype()) : found[next++];
  }
  return grads;
}

ValueAndGrad pull_back(const Function& f, std::span<const Tensor> inputs, const Tensor* cotangent,
                       const char* caller, const Where& where) {
  const bool recorded = is_recording();
  const EnableGrad recording;
  Run run(inputs, caller, where);
  const std::span<const Tensor> places = run.places();
  Tensor output = call(f, places, caller, where);
  if (!cotangent && output.numel() != 1)
    throw GradError(
        fmt::format("{}: the function's result {} is not a scalar", caller, describe(output)),
        where, "reduce it with sum(x) or mean(x), or use vjp() with a cotangent");
  const Tensor seed = cotangent ? *cotangent : ones(output.shape(), output.dtype());
  detail::check_like({&seed, 1}, {&output, 1}, caller, "cotangent", "result", where);
  const bool keep =
      recorded && (seed.requires_grad() || run.depends_on_others(std::span(&output, 1))[0]);
  std::vector<Tensor> results = gradients_at(output, seed, places, keep, where);
  results.push_back(std::move(output));
  const Owners given = keep ? owners_of(inputs, {&seed, 1}) : Owners();
  results = results_of(std::move(results), keep, run, given, where);
  output = std::move(results.back());
  results.pop_back();
  return {std::move(output), std::move(results)};
}

class ForwardRule final : public Jvp {
 public:
  ForwardRule(const Traversal& traversal, std::size_t i, std::size_t output,
              std::span<const Tensor> tangents, bool keep, const detail::LeftOut& left_out)
      : Jvp(traversal.node(i), keep || detail::mode.observer != nullptr),
        i_(i),
        output_(output),
        edges_(traversal.edges(i)),
        tangents_(tangents),
        left_out_(left_out) {}
  bool has(std::size_t i) const noexcept override {
    return i < edges_.size() && edges_[i] != Traversal::none && tangents_[edges_[i]].defined() &&
           !(left_out_ && left_out_(i_, i));
  }
  const Tensor& tangent(std::size_t i) const override {
    if (!has(i))
      throw GradError(fmt::format("{}: its jvp rule reads the tangent of input {}, which has none",
                                  node().op()->name(), i),
                      node().where(), "ask r.has(i) first: the tangent of a constant is zero");
    return tangents_[edges_[i]];
  }
  std::size_t output() const noexcept override { return output_; }
  bool any() const noexcept {
    for (std::size_t i = 0; i < edges_.size(); ++i)
      if (has(i)) return true;
    return false;
  }

 private:
  std::size_t i_, output_;
  std::span<const std::uint32_t> edges_;
  std::span<const Tensor> tangents_;
  const detail::LeftOut& left_out_;
};

Tensor tangent_by(const Op& op, Jvp& rule) {
  try {
    return op.jvp(rule);
  } catch (const std::bad_alloc&) {
    detail::throw_no_memory(op.name(), rule.where());
  } catch (const MemoryError&) {
    throw;
  } catch (Error& error) {
    detail::name_operation(error, "the jvp rule of ", op.name(), rule.where());
    throw;
  }
}

// A tangent as the result has it: what broadcasts to it is expanded.
Tensor checked(Tensor tangent, const Op& op, const Node& node) {
  if (tangent.dtype() != node.dtype())
    throw DTypeError(fmt::format("{}: its jvp rule gives {} for a result that is {}", op.name(),
                                 name_of(tangent.dtype()), name_of(node.dtype())),
                     node.where(),
                     fmt::format("a tangent has the dtype of the result: to(tangent, {})",
                                 name_of(node.dtype())));
  if (node.same_shape(*tangent.value_ref())) return tangent;
  const Shape shape = tangent.shape(), result = node.shape();
  const int added = result.rank() - shape.rank();
  bool fits = added >= 0;
  for (int axis = 0; axis < shape.rank() && fits; ++axis)
    fits = shape[axis] == 1 || shape[axis] == result[axis + added];
  if (!fits)
    throw ShapeError(fmt::format("{}: its jvp rule gives a tangent {} for a result {}", op.name(),
                                 to_string(shape), to_string(result)),
                     node.where(), "it has the shape of the result, or one that broadcasts to it");
  return expand(tangent, result);
}

// The tangent of `output` from those of `places`.
Tensor push_forward(const Tensor& output, std::span<const Tensor> places,
                    std::span<const Tensor> tangents, bool keep) {
  const Traversal traversal(std::span(&output, 1), places, Traversal::Visit::differentiable);
  std::vector<Tensor, memory::Pool<Tensor>> found(traversal.size());
  for (std::size_t i = 0; i < places.size(); ++i)
    if (traversal.target(i) != Traversal::none) found[traversal.target(i)] = tangents[i];
  detail::push_forward(traversal, found, keep, {}, {});
  const std::uint32_t at = traversal.output(0);
  return at != Traversal::none && found[at].defined() ? found[at]
                                                      : zeros(output.shape(), output.dtype());
}

// Adapts a function of one tensor.
Function of_one(const UnaryFunction& f) {
  if (!f) return {};
  return [&f](std::span<const Tensor> inputs) { return f(inputs[0]); };
}

}  // namespace

void detail::push_forward(const Traversal& traversal, std::span<Tensor> tangents, bool keep,
                          const std::function<void(std::size_t i)>& at_node,
                          const LeftOut& left_out) {
  const ModeScope scope(mode_with(keep, keep));
  for (std::size_t i = 0; i < traversal.size(); ++i) {
    const Node& node = traversal.node(i);
    if (!traversal.relevant(i) || traversal.is_target(i) || node.is_leaf()) continue;
    if (node.output_count() > 1) continue;  // each output asks for its own tangent
    const std::size_t of = node.is_output() ? traversal.edges(i)[0] : i;
    ForwardRule rule(traversal, of, node.output_index(), tangents, keep, left_out);
    if (!rule.any()) continue;
    const Op& op = *traversal.node(of).op();
    mode.rule_of = &traversal.node(of);
    Tensor tangent = tangent_by(op, rule);
    if (!tangent.defined())
      throw GradError(fmt::format("{}: its jvp rule gives an undefined tangent", op.name()),
                      node.where(), "a tangent of zero is zeros of the result's shape and dtype");
    tangents[i] = checked(std::move(tangent), op, node);
    if (at_node) at_node(i);
  }
}

ValueAndGrad value_and_grad(const Function& f, std::span<const Tensor> inputs, Where where) {
  return detail::naming_memory("value_and_grad", where, [&] {
    return pull_back(f, inputs, nullptr, "value_and_grad", where);
  });
}

ValueAndGrad value_and_grad(const Function& f, std::initializer_list<Tensor> inputs, Where where) {
  return value_and_grad(f, std::span(inputs.begin(), inputs.size()), where);
}

std::pair<Tensor, Tensor> value_and_grad(const UnaryFunction& f, const Tensor& input, Where where) {
  ValueAndGrad both = value_and_grad(of_one(f), std::span(&input, 1), where);
  return {both.value, both.grads[0]};
}

ValueAndGrad vjp(const Function& f, std::span<const Tensor> inputs, const Tensor& cotangent,
                 Where where) {
  return detail::naming_memory("vjp", where,
                               [&] { return pull_back(f, inputs, &cotangent, "vjp", where); });
}

ValueAndGrad vjp(const Function& f, std::initializer_list<Tensor> inputs, const Tensor& cotangent,
                 Where where) {
  return vjp(f, std::span(inputs.begin(), inputs.size()), cotangent, where);
}

std::pair<Tensor, Tensor> vjp(const UnaryFunction& f, const Tensor& input, const Tensor& cotangent,
                              Where where) {
  ValueAndGrad both = vjp(of_one(f), std::span(&input, 1), cotangent, where);
  return {both.value, both.grads[0]};
}

namespace {

std::pair<Tensor, Tensor> pushed(const Function& f, std::span<const Tensor> inputs,
                                 std::span<const Tensor> tangents, const Where& where) {
  if (inputs.size() != tangents.size())
    throw ValueError(fmt::format("jvp: {} tangents for {} inputs", tangents.size(), inputs.size()),
                     where, "give one for each input, of its shape: zeros_like(x) for what stays");
  detail::check_like(tangents, inputs, "jvp", "tangent", "input", where);
  const bool recorded = is_recording();
  const EnableGrad recording;
  Run run(inputs, "jvp", where);
  const std::span<const Tensor> places = run.places();
  Tensor output = call(f, places, "jvp", where);
  const bool keep = recorded && (std::ranges::any_of(
                                     tangents, [](const Tensor& t) { return t.requires_grad(); }) ||
                                 run.depends_on_others(std::span(&output, 1))[0]);
  std::vector<Tensor> results = {output, push_forward(output, places, tangents, keep)};
  output = {};
  const Owners given = keep ? owners_of(inputs, tangents) : Owners();
  results = results_of(std::move(results), keep, run, given, where);
  return {std::move(results[0]), std::move(results[1])};
}

}  // namespace

std::pair<Tensor, Tensor> jvp(const Function& f, std::span<const Tensor> inputs,
                              std::span<const Tensor> tangents, Where where) {
  return detail::naming_memory("jvp", where, [&] { return pushed(f, inputs, tangents, where); });
}

std::pair<Tensor, Tensor> jvp(const Function& f, std::initializer_list<Tensor> inputs,
                              std::initializer_list<Tensor> tangents, Where where) {
  return jvp(f, std::span(inputs.begin(), inputs.size()),
             std::span(tangents.begin(), tangents.size()), where);
}

std::pair<Tensor, Tensor> jvp(const UnaryFunction& f, const Tensor& input, const Tensor& tangent,
                              Where where) {
  return jvp(of_one(f), std::span(&input, 1), std::span(&tangent, 1), where);
}

}  // namespace chainrule
