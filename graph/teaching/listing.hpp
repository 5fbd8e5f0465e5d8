#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/teaching/exercise.hpp>

namespace chainrule::teaching {

/// A recorded program as a person reads it: an equation for every result with a name, for those
/// that its derivation needs, and for the loss.
class Listing {
 public:
  explicit Listing(const derivation::Chain& chain);

  const derivation::Trace& trace() const noexcept { return trace_; }
  derivation::Naming& names() noexcept { return names_; }

  /// A formula with what has no equation written out where that is short.
  derivation::Expr written_out(const derivation::Expr& formula) const;
  Exercise::Written written(const derivation::Expr& formula);
  std::string text(const derivation::Expr& formula);
  /// The formula with the name of another symbol in the place of one of its own, which need not
  /// fit.
  Exercise::Written written(const derivation::Expr& formula, const derivation::Expression& symbol,
                            const derivation::Expression& other);
  /// All names: those of parameters and data first.
  std::vector<Exercise::Named> program();
  /// "z2 = W2·h1 + b2"
  std::string equation(std::uint32_t result);
  /// The results in whose equations a tensor can be read, in the order of the program.
  const std::vector<std::uint32_t>& users(std::uint32_t tensor) const { return users_[tensor]; }
  /// Whether one stands in the equation of the other.
  bool adjacent(std::uint32_t a, std::uint32_t b) const;
  /// What the formulas so far abbreviate.
  std::vector<Derivation::Definition> definitions();

 private:
  bool has_equation(std::uint32_t i) const;
  std::set<std::uint32_t> tensors_in_equation(std::uint32_t result) const;
  Exercise::Written in_all_formats(const derivation::Expr& formula);
  Exercise::Written name(std::uint32_t i);

  const derivation::Trace& trace_;
  derivation::Naming names_;
  std::set<std::uint32_t> needed_;  // results without a name that the derivation needs
  std::vector<std::vector<std::uint32_t>> users_;
  std::set<std::uint32_t> abbreviated_;  // results that formulas show and that have none
};

}  // namespace chainrule::teaching
