#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/random.hpp>
#include <chainrule/graph/teaching/listing.hpp>

namespace chainrule::teaching {

/// Chooses what is offered beside the right formula for a gradient.
class Choices {
 public:
  /// `points`: where formulas are compared, the recorded values first.
  Choices(Listing& listing, std::span<const derivation::Environment* const> points,
          Generator& random, const Where& where)
      : listing_(listing), points_(points), random_(random), where_(where) {}

  /// Up to `count` formulas for the gradient of node i, in random order, the right one and as many
  /// of `mistakes` as fit among them. Throws ValueError where one of those is right, or stands
  /// there twice; DTypeError where the value of one is no floating number.
  std::vector<Exercise::Choice> of(std::uint32_t i, const derivation::Expr& right,
                                   std::span<const UsualMistake> mistakes, std::size_t count);

 private:
  /// A formula that is offered, with what it gives at each point; nothing there where it cannot be
  /// computed, or is text alone.
  struct Offered {
    Exercise::Choice choice;
    std::vector<Tensor> values;
  };
  /// Whether a formula is, or gives, what another one does.
  static bool same(const Offered& a, const Offered& b);
  Offered usual(std::uint32_t i, const UsualMistake& mistake, const Offered& right);
  std::vector<Offered> usual_ones(std::uint32_t i, std::span<const UsualMistake> mistakes,
                                  const Offered& right);
  /// Fills up `chosen`, which begins with the right formula.
  void add_wrong(std::uint32_t i, const derivation::Expr& right, std::size_t count,
                 std::vector<Offered>& chosen);
  std::vector<Tensor> values_of(const derivation::Expr& formula) const;
  std::string other_shape(std::uint32_t i, const Tensor& value) const;
  std::string explained(std::uint32_t i, const std::string& mistake,
                        const std::vector<Tensor>& values);
  template <class T>
  void shuffle(std::vector<T>& list);

  Listing& listing_;
  std::span<const derivation::Environment* const> points_;
  Generator& random_;
  const Where& where_;
};

}  // namespace chainrule::teaching
