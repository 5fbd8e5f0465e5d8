#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <chainrule/core/observer.hpp>
#include <chainrule/graph/derivation/expression.hpp>
#include <chainrule/graph/derivation/extents.hpp>
#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/replay.hpp>
#include <chainrule/graph/traversal.hpp>

namespace chainrule::derivation {

/// What a recorded graph computed and what its gradient rules did with it, as formulas. The rules
/// run once, and are watched.
class Trace {
 public:
  /// Throws GradError, beginning with `caller`, where backward() would, and where the graph cannot
  /// be computed again. Gradients of nodes with a name, of leaves and of `asked` get a name: but
  /// for one that underflows, and of which a logarithm was computed in another way.
  Trace(const Tensor& loss, std::span<const Tensor> asked, const char* caller, const Where& where);
  /// The other direction, from `inputs` on; see below.
  struct Tangents {
    std::span<const Tensor> inputs;  ///< none: all parameters
  };
  /// `gradient(i)` is the tangent of node i then, as the jvp rules give it: in terms of tensors,
  /// and of tangents of what it was computed from. Null for the inputs, which are given (here
  /// numbers at random, so that formulas can be compared), and where no input is behind a node.
  /// Throws GradError for an output without a graph, for an input that it does not depend on, and
  /// where the graph cannot be computed again or a rule does not serve.
  Trace(const Tensor& output, const Tangents& of, const char* caller, const Where& where);

  const Traversal& traversal() const noexcept { return traversal_; }
  const Replay& replay() const noexcept { return replay_; }
  std::uint32_t loss() const noexcept { return traversal_.output(0); }
  std::size_t size() const noexcept { return traversal_.size(); }
  const Node& node(std::uint32_t i) const noexcept { return traversal_.node(i); }

  /// False for an application of several outputs, which have nodes of their own.
  bool is_tensor(std::uint32_t i) const noexcept { return node(i).output_count() == 1; }
  /// What node i was computed from: an operation on tensors; null for leaves.
  const Expr& forward(std::uint32_t i) const { return forward_[i]; }
  /// The gradient of node i in terms of tensors and other gradients, as the rules gave it; null
  /// when the loss does not depend on it. Where it has a name, others refer to it.
  const Expr& gradient(std::uint32_t i) const { return gradients_[i]; }
  /// Whether gradients of others refer to that of node i by name.
  bool is_named(std::uint32_t i) const { return named_[i]; }
  /// Nodes with a gradient, in the order in which a person derives them: each parameter directly
  /// behind what it was used for.
  std::vector<std::uint32_t> order() const;
  /// Where a tensor is; Traversal::none when the loss was not computed from it.
  std::uint32_t find(const Tensor& tensor) const { return find(tensor.node()); }
  std::uint32_t find(const Node* node) const;

  /// A constant that a program made without recording it, in terms of what it was made from: of
  /// named data y, −y or 1 − y; a mask as the comparison of tensors close to where it is used, with
  /// each other or with a number there, that it is at the recorded point. Null for others.
  Expr in_named_data(const Expr& constant) const;
  /// The operand that a selection takes everywhere, by a mask that a gradient rule made for where
  /// its formula has no number; null for others.
  const Expr& chosen_everywhere(const Expr& selection) const;
  /// The first result or parameter with a name that has the elements of a constant; else none.
  std::uint32_t named_like(const Expression& constant) const;
  /// An expression with the comparisons in the places of its masks.
  Expr with_comparisons(const Expr& expression) const;
  /// An expression with n x in the place of Σ over n elements that are all x.
  Expr with_sums_counted(const Expr& expression) const;
  /// The first of the results without names that the same operation gave for the same operands; i
  /// itself where there is no other.
  std::uint32_t first_of(std::uint32_t i) const;
  /// The same for gradients with a name of results without one: the first that the same formula
  /// gave.
  std::uint32_t first_gradient_of(std::uint32_t i) const;
  /// The results with names that are products or quotients, element by element.
  const std::vector<std::uint32_t>& named_products() const noexcept { return named_products_; }
  /// Whether a result without a name was computed, in a few such operations, from what formulas
  /// show in its place: results with names, leaves and numbers.
  bool is_made_of_names(std::uint32_t i, bool (*by)(const Role&), int levels = 4) const;
  /// Whether others refer to the gradient of node i by name, though the node has none, and its
  /// formula would serve a reader as well: it is one symbol with numbers, or only one other needs
  /// it.
  bool is_passing(std::uint32_t i) const;
  /// Whether it is one symbol with numbers, of what is not shown by a sum itself.
  bool is_scaled_symbol(std::uint32_t i) const;
  /// How many formulas of gradients with a name show that of node i.
  int uses_of_gradient(std::uint32_t i) const { return gradient_uses_[i]; }

  /// The axes that have names, which are no tensor's and no gradient's.
  const std::vector<Extent>& extents() const noexcept { return extents_; }
  /// The extents that the gradient of node i is divided by because the loss is a mean over them,
  /// on every way from it to the loss.
  const std::vector<Extent>& divided_by(std::uint32_t i) const { return divided_by_[i]; }

  /// The recorded point: the tensors' values, and the gradients by the formulas.
  const Environment& environment() const noexcept { return environment_; }
  /// The gradients by the formulas, for other values of the tensors; every result on the way goes
  /// through `adjust`, and every constant through `adjust_constants`, where these are given.
  Environment at(std::vector<Tensor> tensors, const Replay::Adjust& adjust = {},
                 const Replay::Adjust& adjust_constants = {}) const;

  /// Whether it is one of tangents, and what derivatives are then.
  bool is_forward() const noexcept { return !seeds_.empty(); }
  /// That which makes no tensor's name of another's.
  Mark derivative() const noexcept { return derivative_; }
  /// The environment with these tangents of the inputs.
  Environment pushed(std::span<const Tensor> inputs, std::span<const Tensor> tangents) const;

 private:
  Trace(const Tensor& output, const char* caller, const Where& where);
  std::vector<Tensor> recorded_values() const;
  std::vector<bool> summed_up() const;
  std::vector<bool> underflown() const;
  std::vector<Tensor> input_nodes(const Tangents& of, const Tensor& output, const char* caller,
                                  const Where& where) const;
  class Watcher;
  void check_tangents(const Traversal& traversal, std::span<const Tensor> inputs,
                      const detail::LeftOut& left_out, const char* caller) const;
  void name_shared();
  Expr find_named_data(const Expr& constant) const;
  Expr find_comparison(const Expr& mask) const;
  const std::vector<Expr>& users_of_mask(const Expr& mask) const;
  int size_when_shown(std::uint32_t i) const;
  std::unordered_set<std::uint32_t> relatives_of(std::uint32_t i) const;
  void complete(const char* caller, const Where& where);
  bool is_name(const std::string& word) const;
  Mark find_mark(const char* caller, const Where& where) const;
  void find_means();
  double averaged(std::uint32_t i) const;
  Traversal traversal_;
  Replay replay_;
  std::unordered_map<const Node*, std::uint32_t> places_;
  std::vector<Expr> forward_;
  std::vector<Expr> gradients_;
  std::vector<bool> named_;
  std::vector<std::uint32_t> named_products_;
  Mark derivative_ = Mark::none;
  std::vector<Extent> extents_;
  std::vector<std::vector<Extent>> divided_by_;
  std::vector<int> gradient_uses_;     // formulas that show the gradient
  std::vector<std::uint32_t> passed_;  // nodes in the order of the sweep
  std::vector<Tensor> seeds_;          // the tangents of inputs, by node
  Environment environment_;
  // Empty before first_of() and first_gradient_of() were asked.
  mutable std::vector<std::uint32_t> first_, first_gradients_;
  mutable std::unordered_map<const Value*, std::vector<Expr>>
      mask_users_;  // empty before the first
  // By value, with the constant, so that no other gets its place in memory.
  mutable std::unordered_map<const Value*, std::pair<Expr, Expr>> in_named_data_;
};

}  // namespace chainrule::derivation
