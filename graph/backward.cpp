#include <chainrule/graph/backward.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <new>
#include <unordered_set>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/graph/accumulate.hpp>
#include <chainrule/graph/outputs.hpp>
#include <chainrule/graph/recorded_rows.hpp>
#include <chainrule/graph/targets.hpp>
#include <chainrule/graph/traversal.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule {

namespace {

using Gradients = std::vector<Tensor, memory::Pool<Tensor>>;
using Leaves = std::vector<std::uint32_t, memory::Pool<std::uint32_t>>;
using RowGradients = std::map<std::uint32_t, RowGradientParts>;  // by place

// Whether a gradient of so many rows in so many parts is kept as rows: as long as that is less than
// the whole, and merging the parts does not cost more.
bool stays_rows(const RowGradientParts& parts, const RowGradientParts& more, const Shape& table) {
  constexpr std::int64_t part_cost = 1024;  // of one more part, in elements of a table
  return parts.row_count() + more.row_count() <= table[0] / 2 &&
         parts.part_count() + more.part_count() <= table.numel() / part_cost;
}

// Gradients that are zero but for some rows, by place.
struct Rows {
  RowGradients of_leaves;
  // Where the sweep is recorded, of all tensors. Each as a tensor of its own would cost the whole.
  std::map<std::uint32_t, RecordedRows> recorded;
};

Tensor copied(const Tensor& tensor) { return Tensor(kernels::copied(*tensor.value_ref())); }

// The sum of a node's gradients as a part of it may be added to: zeros where nothing has come
// together yet, and not seen by others.
const Ref<Value>& made_writable(Tensor& sum, const Node& of, const Where& where) {
  if (!sum.defined())
    sum = zeros(of.shape(), of.dtype(), where);
  else if (!sum.value_ref()->exclusive())
    sum = copied(sum);
  return sum.value_ref();
}

// One reverse sweep over a traversal: what has come together for each of its places so far.
struct Sweep {
  const Traversal& traversal;
  Gradients& gradients;
  detail::Targets targets;
  bool recorded;
  bool release;          // saved values, once a node was passed
  Rows* rows = nullptr;  // where gradients may come by rows
  // Whether sums are operations: of what is recorded, and where an observer is to see them.
  bool operations = recorded || detail::mode.observer != nullptr;
};

class Rule final : public Vjp {
 public:
  // `g`: the gradients of all outputs.
  Rule(const Sweep& sweep, std::size_t i, std::span<Tensor> g)
      // An observer tells operands that share their elements apart by their nodes.
      : Vjp(sweep.traversal.node(i), sweep.operations, g, sweep.traversal.edges(i),
            sweep.gradients.data()),
        sweep_(sweep),
        i_(i) {}

  void drop_out() noexcept override {
    forget_out();
    if (sweep_.release) sweep_.traversal.node(i_).release_saved_output();
  }
  void give(std::size_t i, Tensor gradient) override {
    if (!needs(i)) [[unlikely]]
      return check_place(i);
    const Node& input = *node().inputs()[i];
    const Value* given = gradient.value_ref().get();
    if (!given || given->dtype() != input.dtype()) [[unlikely]]
      throw_unusable(i, gradient);
    if (!input.same_shape(*given)) gradient = sum_to_shape(gradient, input.shape(), node());
    accumulate(sum_at(i), std::move(gradient), sweep_.operations);
  }
  const Ref<Value>* sum_from_zeros(std::size_t i) override {
    if (sweep_.operations || !needs(i)) return nullptr;
    return &made_writable(sum_at(i), *node().inputs()[i], where());
  }
  bool takes_rows(std::size_t i, std::int64_t count) const override {
    if (!sweep_.rows || detail::mode.observer || !needs(i)) return false;
    const Node& input = *node().inputs()[i];
    if (!sweep_.recorded && (!input.is_leaf() || sum_at(i).defined())) return false;
    // Small tables, and those of which much is read, are as fast without.
    const Shape shape = input.shape();
    return shape.numel() >= rows_from && count <= shape[0] / 8;
  }
  void give_rows(std::size_t i, const Tensor& index, const Tensor& rows) override {
    if (!needs(i)) [[unlikely]]
      return check_place(i);
    check_rows(node(), i, sweep_.rows != nullptr, index, rows);
    const Node& input = *node().inputs()[i];
    const Shape shape = input.shape();
    if (sweep_.recorded)
      return sweep_.rows->recorded[sum_place(i)].add(index, rows, shape, where());
    RowGradientParts& parts = sweep_.rows->of_leaves[sum_place(i)];
    parts.add(kernels::copied(*index.value_ref()), kernels::contiguous(rows.value_ref()));
    if (stays_rows(parts, {}, shape)) return;
    parts.add_to(*made_writable(sum_at(i), input, where()));
    sweep_.rows->of_leaves.erase(sum_place(i));
  }
  bool asked_for(const Node* node) const override { return sweep_.targets.contain(node); }

 private:
  static_assert(not_wanted == Traversal::none);
  static constexpr std::int64_t rows_from = 1 << 14;  // elements of a table
  void check_place(std::size_t i) const {
    if (i >= input_count())
      throw GradError(fmt::format("{}: its vjp rule gives a gradient for input {}, but it was "
                                  "applied to {}",
                                  node().op()->name(), i, input_count()),
                      node().where(), "operands are counted from 0");
  }
  [[noreturn]] void throw_unusable(std::size_t i, const Tensor& gradient) const {
    const char* op = node().op()->name();
    if (!gradient.defined())
      throw GradError(
          fmt::format("{}: its vjp rule gives an undefined gradient for input {}", op, i),
          node().where(), "what is never given counts as zero");
    throw DTypeError(
        fmt::format("{}: its vjp rule gives {} for input {}, which is {}", op,
                    name_of(gradient.dtype()), i, name_of(node().inputs()[i]->dtype())),
        node().where(),
        fmt::format("a gradient has the dtype of its input: to(gradient, {})",
                    name_of(node().inputs()[i]->dtype())));
  }

  const Sweep& sweep_;
  std::size_t i_;
};

void check_not_released(const Traversal& traversal, const char* caller, const Where& where) {
  if (!traversal.any_released()) return;
  for (std::size_t i = 0; i < traversal.size(); ++i)
    if (traversal.applies(i) && traversal.released(i)) {
      const Node& node = traversal.node(i);
      throw GradError(
          fmt::format(
              "{}: the graph was released by an earlier backward: {} {} of {}:{} has no saved "
              "values any more",
              caller, node.op()->name(), to_string(node.shape()), node.where().file_name(),
              node.where().line()),
          where,
          "pass {.retain_graph = true} to the first backward() or grad(); if the graph grew on "
          "from a state of the last piece of a sequence, cut it there: s = s.detach()");
    }
}

void apply_rule(const Sweep& sweep, std::size_t i, std::span<Tensor> g) {
  const Node& node = sweep.traversal.node(i);
  detail::mode.rule_of = &node;
  Rule rule(sweep, i, g);
  try {
    node.op()->vjp(rule);
  } catch (const std::bad_alloc&) {
    detail::throw_no_memory(node.op()->name(), node.where());
  } catch (const MemoryError&) {
    throw;
  } catch (Error& error) {
    detail::name_operation(error, "the vjp rule of ", node.op()->name(), node.where());
    throw;
  }
}

// An application of several outputs, whose gradients came from their nodes.
void pass_several(const Sweep& sweep, std::size_t i) {
  const std::span gradients =
      std::span(sweep.gradients)
          .subspan(sweep.traversal.first_place(i), sweep.traversal.node(i).output_count());
  if (std::ranges::none_of(gradients, &Tensor::defined)) return;
  apply_rule(sweep, i, gradients);
  for (Tensor& g : gradients) g = {};
}

// The rows that were given to node i while the sweep is recorded.
void add_recorded_rows(const Sweep& sweep, std::size_t i) {
  const auto found = sweep.rows->recorded.find(static_cast<std::uint32_t>(i));
  if (found == sweep.rows->recorded.end()) return;
  const Node& node = sweep.traversal.node(i);
  detail::mode.rule_of = &node;
  accumulate(sweep.gradients[i], found->second.sum(node.shape(), node.where()), true);
  sweep.rows->recorded.erase(found);
}

// Passes every node once, outputs first. at_node(i, gradient) receives the gradients.
template <class AtNode>
void run(const Sweep& sweep, AtNode&& at_node) {
  const Traversal& traversal = sweep.traversal;
  for (std::size_t i = traversal.size(); i-- > 0;) {
    if (i >= 2) traversal.node(i - 2).prefetch();
    if (!traversal.relevant(i)) continue;
    Node& node = traversal.node(i);
    if (node.output_count() > 1 && traversal.applies(i)) [[unlikely]]
      pass_several(sweep, i);
    if (sweep.rows && !sweep.rows->recorded.empty()) [[unlikely]]
      add_recorded_rows(sweep, i);
    Tensor g = std::move(sweep.gradients[i]);
    if (g.defined()) {
      at_node(i, g);
      if (node.is_output()) [[unlikely]] {
        if (const std::uint32_t application = traversal.edges(i)[0]; application != Traversal::none)
          sweep.gradients[traversal.first_place(application) + node.output_index()] = std::move(g);
      } else if (traversal.applies(i)) {
        apply_rule(sweep, i, {&g, 1});
      }
    }
    if (sweep.release && traversal.applies(i)) node.release_saved();
  }
  detail::mode.rule_of = nullptr;
}

// A parameter's grad() is its own: nobody else sees its elements, and they are row-major. What has
// a graph cannot be written to anyway.
Tensor owned(Tensor&& gradient) {
  if (gradient.requires_grad() || gradient.value_ref()->exclusive()) return std::move(gradient);
  return copied(gradient);
}

// While a backward runs, the gradients that leaves already have and that nobody else sees are the
// sums to which the rules add; put back in any case.
class LentGradients {
 public:
  LentGradients(const Traversal& traversal, Gradients& gradients, bool recorded)
      : traversal_(traversal), gradients_(gradients) {
    if (recorded) return;
    for (std::uint32_t i : traversal.leaves()) {
      const Node& leaf = traversal.node(i);
      if (!leaf.grad_value() || leaf.grad_node()) continue;
      if (leaf.grad_value()->exclusive()) lent_.push_back(i);
    }
    for (std::uint32_t i : lent_) {  // nothing here can fail
      gradients[i] = Tensor(traversal.node(i).grad_value());
      traversal.node(i).set_grad({}, {});
    }
  }
  LentGradients(const LentGradients&) = delete;
  LentGradients& operator=(const LentGradients&) = delete;
  ~LentGradients() {
    for (std::uint32_t i : lent_) traversal_.node(i).set_grad(gradients_[i].value_ref(), {});
  }

 private:
  const Traversal& traversal_;
  Gradients& gradients_;
  Leaves lent_;
};

// Leaves in `rows` what is to be added to a leaf's rows, where rows are all of its gradient and
// stay it; adds them to its gradient elsewhere.
void settle_rows(const Traversal& traversal, Gradients& gradients, RowGradients& rows,
                 Leaves& leaves) {
  for (auto each = rows.begin(); each != rows.end();) {
    const auto& [i, parts] = *each;
    Node& leaf = traversal.node(i);
    Tensor& sum = gradients[i];
    if (!sum.defined() && !leaf.grad_value() && stays_rows(leaf.grad_rows(), parts, leaf.shape())) {
      leaf.reserve_grad_rows(parts);
      ++each;
    } else {
      if (!sum.defined()) leaves.push_back(i);
      parts.add_to(*made_writable(sum, leaf, leaf.where()));
      each = rows.erase(each);
    }
  }
}

void backward_from(const Tensor& output, const Tensor& seed, BackwardOptions options,
                   const Where& where) {
  const bool recorded = options.create_graph;
  const detail::ModeScope scope(detail::mode_with(recorded, recorded));
  const Traversal traversal(std::span(&output, 1), Traversal::Visit::differentiable);
  check_not_released(traversal, "backward", where);
  Gradients gradients(traversal.places());
  const LentGradients lent(traversal, gradients, recorded);
  accumulate(gradients[traversal.output(0)], seed, recorded);
  // Leaves get their gradients together at the end. They are parked where they were found, since
  // nobody adds to a node's gradient once it was passed.
  const bool release = !options.retain_graph && !recorded;
  Rows rows;
  const Sweep sweep{traversal, gradients, detail::Targets({}), recorded, release, &rows};
  Leaves leaves;
  run(sweep, [&](std::size_t i, const Tensor& g) {
    if (!traversal.node(i).is_leaf()) return;
    gradients[i] = g;
    leaves.push_back(static_cast<std::uint32_t>(i));
  });
  // What no rule gave anything for has a gradient of zeros.
  if (leaves.size() + rows.of_leaves.size() < traversal.leaves().size()) [[unlikely]]
    for (const std::uint32_t i : traversal.leaves()) {
      const Node& leaf = traversal.node(i);
      if (gradients[i].defined() || rows.of_leaves.contains(i) || leaf.grad_value() ||
          leaf.grad_rows().row_count() != 0)
        continue;
      gradients[i] = zeros(leaf.shape(), leaf.dtype(), where);
      leaves.push_back(i);
    }
  // First what may fail for want of memory, then what cannot.
  settle_rows(traversal, gradients, rows.of_leaves, leaves);
  for (std::uint32_t i : leaves) {
    Node& leaf = traversal.node(i);
    leaf.make_grad_dense();
    if (leaf.grad_value())
      accumulate(gradients[i], Tensor(leaf.grad_value(), leaf.grad_node()), sweep.operations);
    leaf.reserve_grad();
    gradients[i] = owned(std::move(gradients[i]));
  }
  for (std::uint32_t i : leaves)
    traversal.node(i).set_grad(gradients[i].value_ref(), gradients[i].node_ref());
  for (auto& [i, parts] : rows.of_leaves) traversal.node(i).add_grad_rows(std::move(parts));
}

}  // namespace

void detail::sweep(const Traversal& traversal, const Tensor& output, std::span<const Tensor> stops,
                   const char* caller,
                   const std::function<void(std::size_t, const Tensor&)>& at_node,
                   const Where& where) {
  detail::check_outputs({&output, 1}, caller, where);
  detail::check_scalars({&output, 1}, caller, "", where);
  check_not_released(traversal, caller, where);
  const ModeScope scope(mode_with(true, true));
  Gradients gradients(traversal.places());
  gradients[traversal.output(0)] = ones(output.shape(), output.dtype());
  run({traversal, gradients, detail::Targets(stops), true, false}, at_node);
}

void backward(const Tensor& output, BackwardOptions options, Where where) {
  detail::naming_memory("backward", where, [&] {
    detail::check_outputs({&output, 1}, "backward", where);
    detail::check_scalars({&output, 1}, "backward", ", or pass a seed of its shape", where);
    backward_from(output, ones(output.shape(), output.dtype()), options, where);
  });
}

void backward(const Tensor& output, const Tensor& seed, BackwardOptions options, Where where) {
  detail::naming_memory("backward", where, [&] {
    detail::check_outputs({&output, 1}, "backward", where);
    detail::check_seeds({&output, 1}, {&seed, 1}, "backward", where);
    backward_from(output, seed, options, where);
  });
}

void Tensor::backward(BackwardOptions options, Where where) const {
  chainrule::backward(*this, options, where);
}

namespace {

// A result may be written to; a seed that the caller keeps, and the other results, must not change
// with it.
enum class Seeds { callers, ours };

std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> seeds,
                         Seeds whose, std::span<const Tensor> inputs, GradOptions options,
                         const Where& where) {
  if (outputs.empty())
    throw ValueError("grad: no outputs", where, "name what is to be differentiated, then inputs");
  if (seeds.size() != outputs.size())
    throw ValueError(fmt::format("grad: {} seeds for {} outputs", seeds.size(), outputs.size()),
                     where, "give one for each output, of its shape");
  detail::check_outputs(outputs, "grad", where);
  detail::check_seeds(outputs, seeds, "grad", where);
  detail::check_defined("grad", "input", inputs, where);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad() && !options.allow_unused)
      throw GradError(
          fmt::format("grad: input {}, {}, does not require gradients", i, describe(inputs[i])),
          where, "call requires_grad_() on it before the computation");
  }
  if (inputs.empty()) return {};
  const detail::ModeScope scope(detail::mode_with(options.create_graph, options.create_graph));
  const Traversal traversal(outputs, inputs, Traversal::Visit::differentiable);
  check_not_released(traversal, "grad", where);
  Gradients gradients(traversal.places());
  for (std::size_t i = 0; i < outputs.size(); ++i)  // not those that are older than all inputs
    if (const std::uint32_t at = traversal.output(i); at != Traversal::none)
      accumulate(gradients[at], seeds[i], options.create_graph);
  const bool release = !options.retain_graph && !options.create_graph;
  Rows rows;
  const Sweep sweep{traversal,
                    gradients,
                    detail::Targets(inputs),
                    options.create_graph,
                    release,
                    options.create_graph ? &rows : nullptr};
  // Parked where they were found, since nobody adds to a node's gradient once it was passed.
  run(sweep, [&](std::size_t node, const Tensor& g) {
    if (traversal.is_target(node)) gradients[node] = g;
  });
  std::unordered_set<const Value*> taken;  // whose elements somebody else sees
  if (whose == Seeds::callers)
    for (const Tensor& seed : seeds) taken.insert(seed.value_ref()->owner());
  std::vector<Tensor> results(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (traversal.target(i) != Traversal::none) results[i] = gradients[traversal.target(i)];
    if (results[i].defined()) {
      if (!taken.insert(results[i].value_ref()->owner()).second && !results[i].requires_grad())
        results[i] = copied(results[i]);
      continue;
    }
    // What no rule gave anything for has a gradient of zeros.
    if (!options.allow_unused && traversal.target(i) == Traversal::none)
      throw GradError(
          fmt::format("grad: the outputs do not depend on input {}, {}", i, describe(inputs[i])),
          where, "pass {.allow_unused = true} to get zeros for it");
    results[i] = zeros(inputs[i].shape(), inputs[i].dtype());
  }
  return results;
}

}  // namespace

std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> seeds,
                         std::span<const Tensor> inputs, GradOptions options, Where where) {
  return detail::naming_memory(
      "grad", where, [&] { return grad(outputs, seeds, Seeds::callers, inputs, options, where); });
}

std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                         GradOptions options, Where where) {
  return detail::naming_memory("grad", where, [&] {
    detail::check_outputs(outputs, "grad", where);
    detail::check_scalars(outputs, "grad", ", or pass a seed of its shape", where);
    std::vector<Tensor> seeds;
    for (const Tensor& output : outputs) seeds.push_back(ones(output.shape(), output.dtype()));
    return grad(outputs, seeds, Seeds::ours, inputs, options, where);
  });
}

std::vector<Tensor> grad(std::initializer_list<Tensor> outputs,
                         std::initializer_list<Tensor> inputs, GradOptions options, Where where) {
  return grad(std::span(outputs.begin(), outputs.size()), std::span(inputs.begin(), inputs.size()),
              options, where);
}

std::vector<Tensor> grad(const Tensor& output, std::initializer_list<Tensor> inputs,
                         GradOptions options, Where where) {
  return grad(std::span(&output, 1), std::span(inputs.begin(), inputs.size()), options, where);
}

std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs, GradOptions options,
                         Where where) {
  return grad(std::span(&output, 1), inputs, options, where);
}

Tensor grad(const Tensor& output, const Tensor& input, GradOptions options, Where where) {
  return grad(std::span(&output, 1), std::span(&input, 1), options, where)[0];
}

}  // namespace chainrule
