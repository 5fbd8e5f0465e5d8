#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include <chainrule/graph/checking/check_derivation.hpp>
#include <chainrule/graph/checking/rounding.hpp>
#include <chainrule/graph/derivation/op_check.hpp>
#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// What stands in formulas for tensors that they were computed from: by node, and by value for
/// those without one.
struct Symbols {
  std::unordered_map<const Node*, Expr> of_nodes{};
  std::unordered_map<const Value*, Expr> of_values{};
};

/// The formulas of a person in terms of the graph that they are about, as far as they were
/// recorded: a formula written in tensors that require gradients is itself a graph over them.
class Handwritten {
 public:
  /// `places`: the nodes of the trace that the formulas give gradients for.
  Handwritten(const Trace& trace, std::span<const Formula> formulas,
              std::span<const std::uint32_t> places);

  /// Formula k over tensors of the graph alone; null where it was not recorded.
  const Expr& whole(std::size_t k) const { return whole_[k]; }
  /// The same where what other formulas gave stands as the gradient that they are for.
  const Expr& in_steps(std::size_t k) const { return in_steps_[k]; }
  /// Whether formula k stands as that gradient in later ones. One that was not recorded does where
  /// it is an operand itself, but not in what was computed from it before; one that is a tensor of
  /// the program, or an earlier formula, does not: nobody can tell which is meant.
  bool is_symbol(std::size_t k) const { return symbols_[k]; }
  /// Formula k as it is computed at a point: that of whole(), or the function that it was given as;
  /// null where it is known here alone.
  const Computation& computation(std::size_t k) const { return computations_[k]; }
  /// Whether the arithmetic of formula k is known: what was recorded, and a function of which that
  /// can be. What is computed in loops over numbers rounds as nobody knows.
  bool is_seen(std::size_t k) const { return seen_[k]; }
  /// For which other values of the parameters formula k can be asked: with all that was not
  /// recorded as it is. Nearby: there are masks, in it or in the loss, or other constants, which
  /// stay what they are for small changes alone. Here: it was not recorded, or is_ambiguous().
  enum class Holds { here, nearby, anywhere };
  Holds holds(std::size_t k) const { return holds_[k]; }
  /// The numbers and constants in it that are neither numbers that people write, nor made of those
  /// of the program, nor data that the loss was computed from, or all that an earlier formula that
  /// was not recorded gave: they may have been read from
  /// tensors, and be others for other values of the parameters. Where the program has many numbers
  /// so is what is made of two: some two of them would make nearly any.
  const std::vector<Expr>& unexplained(std::size_t k) const { return unexplained_[k]; }
  /// Whether a constant of formula k may hold a mask, as one that was computed from data of the
  /// loss and is not it: −y m is −y today. `single`: in f32 data is known by its elements alone.
  bool may_hold_mask(std::size_t k, bool single) const;
  /// The nodes in the order in which the formulas are judged: that of the chain, but none before
  /// what it was written with.
  std::span<const std::uint32_t> order() const noexcept { return order_; }
  /// Whether a constant of the program is a result of it that was detached: it stays what it was
  /// for other parameters, and a formula may mean either.
  bool is_ambiguous() const noexcept { return ambiguous_; }

 private:
  Expr expression(const Tensor& formula, const Symbols& symbols);
  // What a function gets, over the graph, also where the loss was not computed from it; null where
  // it does not depend on the parameters.
  std::vector<Expr> given_to(const Formula& formula);
  Computation computation(const Formula& formula);
  Holds holds(const Expr& formula, std::vector<Expr>& unexplained) const;
  bool may_be_mask(const Expr& factor) const;
  bool is_of_the_loss(const Tensor& constant) const;
  bool is_explained(double number) const;
  bool is_made_of_two(double number) const;
  bool may_be_read(double number) const;

  // A number, its square or its root, and how far it may be off.
  struct Power {
    double value, rounding;
  };

  const Trace& trace_;
  OpCheck ops_;
  std::vector<Expr> whole_, in_steps_;
  std::vector<Computation> computations_;
  std::vector<Holds> holds_;
  std::vector<std::vector<Expr>> unexplained_;
  std::vector<bool> symbols_, seen_;
  bool ambiguous_;
  bool has_sides_of_scalars_;  // whether a rule goes by a side of a result of one element
  std::vector<std::uint32_t> order_;
  std::vector<Tensor> data_;     // what the loss was computed from: constants and leaves, in f64
  std::vector<double> read_;     // but ±1, what formulas that were not recorded have everywhere
  std::vector<double> numbers_;  // the same of one element, those of its rules, and natural ones
  std::vector<Power> powers_;    // of these, unless they are many
};

}  // namespace chainrule::derivation
