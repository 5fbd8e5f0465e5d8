#include <chainrule/graph/replay.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/core/other_result.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/graph/exact.hpp>
#include <chainrule/graph/in_f64.hpp>
#include <chainrule/graph/said_by_op.hpp>
#include <chainrule/ops/elementwise/convert.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/reduce/reduction.hpp>

namespace chainrule {

namespace {

// Whether the numbers are the same, NaN included.
bool same_elements(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  if (!is_floating(a.dtype())) return all(a == b).item<bool>();
  return all(logical_or(a == b, logical_and(isnan(a), isnan(b)))).item<bool>();
}

// The value of operand k as the node keeps it; undefined when there is none.
Tensor kept(const Node& node, std::size_t k, const char* caller, const Where& where) {
  Value* value = node.saved_input(k);
  if (!value) return {};
  const Node::SavedMask which = Node::input(k);
  if (const Node::SavedValue saved = node.saved_as(which); !saved.unchanged()) {
    const std::string how = saved.by_content()
                                ? "through what mutable_data() or an Eigen map of it gave before"
                                : fmt::format("recorded at version {}, now {}",
                                              node.saved_version(which), value->version());
    const Node* input = node.inputs()[k];
    const std::string_view name = input ? input->name() : std::string_view();
    throw GradError(
        fmt::format("{}: operand {} of {} at {}:{}, {}{}{}, was written to since: {}", caller, k,
                    node.op()->name(), node.where().file_name(), node.where().line(), name,
                    name.empty() ? "" : " ", to_string(value->shape()), how),
        where, "ask before the optimizer's step or any other write");
  }
  return Tensor(Ref<Value>::share(value));
}

// Throws where a result that is computed again is another one than was recorded, of an application
// of several the one that it shows.
void check_inferred(const Node& node, const Tensor& again) {
  const bool same_dtype =
      is_floating(node.dtype()) ? is_floating(again.dtype()) : again.dtype() == node.dtype();
  if (same_dtype && node.same_shape(*again.value_ref())) return;
  const Op& op = *(node.is_output() ? node.inputs()[0] : &node)->op();
  detail::throw_other_result(
      op.name(),
      fmt::format("{} of {} when it was recorded", to_string(node.shape()), name_of(node.dtype())),
      fmt::format("{} of {}", to_string(again.shape()), name_of(again.dtype())), node.where());
}

}  // namespace

bool Replay::computed(std::uint32_t i) const noexcept {
  const Node& node = traversal_.node(i);
  // Without an edge it only remembers what log() may want to know.
  return !node.is_leaf() &&
         (node.requires_grad() ||
          std::ranges::any_of(node.inputs(), [](const Node* input) { return input != nullptr; }));
}

Replay::Replay(const Traversal& traversal, std::span<const Tensor> outputs, const char* caller,
               const Where& where)
    : traversal_(traversal), values_(traversal.places()), constants_(traversal.size()) {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  for (std::size_t k = 0; k < outputs.size(); ++k)
    if (const std::uint32_t at = traversal.output(k); at != Traversal::none && !computed(at))
      values_[at] = detail::in_f64(outputs[k].detach());
  for (std::uint32_t i = 0; i < traversal.size(); ++i) {
    if (!computed(i)) continue;
    const Node& node = traversal.node(i);
    if (node.released())
      throw GradError(fmt::format("{}: the graph was released by an earlier backward: {} {} of "
                                  "{}:{} has no saved values any more",
                                  caller, node.op()->name(), to_string(node.shape()),
                                  node.where().file_name(), node.where().line()),
                      where, "ask before backward(), or pass it {.retain_graph = true}");
    const auto edges = traversal.edges(i);
    constants_[i].resize(edges.size());
    for (std::size_t k = 0; k < edges.size(); ++k) {
      const bool has_node = edges[k] != Traversal::none;
      if ((has_node && computed(edges[k])) || node.is_output()) continue;
      const Tensor value = kept(node, k, caller, where);  // and as it was
      if (has_node && values_[edges[k]].defined()) continue;
      if (!value.defined()) {
        if (!node.given(k)) continue;
        throw GradError(
            fmt::format("{}: {} at {}:{} does not keep its operand {}", caller, node.op()->name(),
                        node.where().file_name(), node.where().line(), k),
            where,
            fmt::format("a node keeps what its first {} operands were before the graph: apply the "
                        "op to fewer at once, and join the results",
                        Node::most_saved_inputs));
      }
      (has_node ? values_[edges[k]] : constants_[i][k]) = detail::in_f64(value);
    }
  }
  find_conversions();
  // The values of all nodes from those that were kept.
  for (std::uint32_t i = 0; i < traversal.size(); ++i) {
    if (!computed(i)) continue;
    try {
      compute(i, values_);
    } catch (const MemoryError&) {
      throw;
    } catch (const GradError&) {  // of what computes in another way
      throw;
    } catch (Error& error) {  // which was none when it was recorded
      error.set_hint(
          fmt::format("{} computes what was recorded again, in f64: an op has to take "
                      "that, and to compute in evaluate(), where nothing is recorded",
                      caller));
      throw;
    }
    if (traversal.node(i).output_count() == 1) check_inferred(traversal.node(i), values_[i]);
  }
  while (drop_false_conversions()) values_ = from(values_);
}

const Tensor& Replay::operand(std::uint32_t i, std::size_t k) const {
  const std::uint32_t edge = traversal_.edges(i)[k];
  return edge != Traversal::none ? values_[edge] : constants_[i][k];
}

// The nodes that are their operand in another dtype, which is f64 here: by their role and shape.
void Replay::find_conversions() {
  conversions_.resize(traversal_.size());
  for (std::uint32_t i = 0; i < traversal_.size(); ++i) {
    if (!computed(i)) continue;
    const Node& node = traversal_.node(i);
    if (node.is_output() || !detail::role_said(node).is(Role::Kind::conversion)) continue;
    const auto edges = traversal_.edges(i);
    if (edges.size() != 1 || node.output_count() != 1 || !node.given(0)) continue;
    conversions_[i] = (edges[0] != Traversal::none ? traversal_.node(edges[0]).shape()
                                                   : constants_[i][0].shape()) == node.shape();
  }
}

// Whether there are some whose ops make other numbers. An op that has the role without being a
// conversion is computed as what it is, and named where its role is asked for.
bool Replay::drop_false_conversions() {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  bool dropped = false;
  for (std::uint32_t i = 0; i < traversal_.size(); ++i) {
    if (!conversions_[i]) continue;
    const Node& node = traversal_.node(i);
    const std::uint32_t edge = traversal_.edges(i)[0];
    Tensor from = operand(i, 0);
    if (edge != Traversal::none) from = to(from, traversal_.node(edge).dtype());  // as it is taken
    const Tensor made = apply_again(node, std::span(&from, 1)), meant = to(from, made.dtype());
    if (same_elements(made, meant)) continue;
    conversions_[i] = false;
    dropped = true;
  }
  return dropped;
}

// Into values: what node i is computed to, in the memory that its places have.
void Replay::compute(std::uint32_t i, std::vector<Tensor>& values, const Adjust& adjust,
                     const Adjust& adjust_constants) const {
  const auto adjusted = [&](Tensor x) { return adjust && x.defined() ? adjust(std::move(x)) : x; };
  const Node& node = traversal_.node(i);
  const auto edges = traversal_.edges(i);
  if (node.is_output()) {
    values[i] = adjusted(values[traversal_.first_place(edges[0]) + node.output_index()]);
    return;
  }
  std::vector<Tensor> inputs;
  for (std::size_t k = 0; k < edges.size(); ++k) {
    const bool is_constant = edges[k] == Traversal::none;
    inputs.push_back(is_constant ? constants_[i][k] : values[edges[k]]);
    if (is_constant && adjust_constants) inputs[k] = adjust_constants(inputs[k]);
  }
  if (conversions_[i]) {
    values[i] = adjusted(to(inputs[0], is_floating(node.dtype()) ? f64 : node.dtype()));
    return;
  }
  const std::span places =
      std::span(values).subspan(traversal_.first_place(i), node.output_count());
  std::vector<Ref<Value>> results;
  for (Tensor& place : places) results.push_back(std::exchange(place, {}).value_ref());
  apply_again_into(results, node, inputs);
  // An op may make f32 of f64, which what follows was not recorded with.
  for (std::size_t k = 0; k < places.size(); ++k) {
    const Tensor made(std::move(results[k]));  // one of several is adjusted where it is shown
    const bool is_adjusted = adjust && places.size() == 1;
    places[k] = detail::in_f64(is_adjusted ? detail::adjusted_where_rounded(detail::role_said(node),
                                                                            inputs, made, adjusted)
                                           : made);
  }
}

void Replay::from(std::span<const Tensor> leaves, std::vector<Tensor>& values, const Adjust& adjust,
                  const Adjust& adjust_constants) const {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  values.resize(traversal_.places());
  // What shares its memory, as views do, would keep the result that it shows from being written
  // over; it goes first.
  // The results of an application of several stay with that.
  for (std::uint32_t i = 0; i < traversal_.size(); ++i)
    if (traversal_.node(i).is_output()) values[i] = {};
  for (std::size_t i = values.size(); i-- > 0;)
    if (values[i].defined() && !values[i].value_ref()->exclusive()) values[i] = {};
  for (std::uint32_t i = 0; i < traversal_.size(); ++i) {
    if (computed(i))
      compute(i, values, adjust, adjust_constants);
    else
      values[i] = i < leaves.size() && leaves[i].defined() ? leaves[i] : values_[i];
  }
}

std::vector<Tensor> Replay::from(std::vector<Tensor> leaves, const Adjust& adjust,
                                 const Adjust& adjust_constants) const {
  std::vector<Tensor> values;
  from(leaves, values, adjust, adjust_constants);
  return values;
}

std::vector<Tensor> Replay::from(std::vector<Tensor> leaves, const AdjustAt& adjust) const {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  std::vector<Tensor> values(traversal_.places());
  for (std::uint32_t i = 0; i < traversal_.size(); ++i) {
    if (computed(i))
      compute(i, values, [&](Tensor x) { return adjust(i, std::move(x)); });
    else
      values[i] = i < leaves.size() && leaves[i].defined() ? leaves[i] : values_[i];
  }
  return values;
}

std::vector<Tensor> Replay::changed(std::uint32_t at, const Tensor& value,
                                    std::vector<Tensor> values) const {
  const detail::ModeScope scope({.recording = false, .provenance = false});
  values.resize(traversal_.places());
  std::vector<bool> moved(traversal_.size());
  values[at] = value;
  moved[at] = true;
  for (std::uint32_t i = at + 1; i < traversal_.size(); ++i) {
    if (!computed(i)) continue;
    for (const std::uint32_t edge : traversal_.edges(i))
      if (edge != Traversal::none && moved[edge]) moved[i] = true;
    if (moved[i]) compute(i, values);
  }
  return values;
}

}  // namespace chainrule
