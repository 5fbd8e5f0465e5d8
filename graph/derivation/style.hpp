#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <chainrule/graph/derivation/text.hpp>

namespace chainrule::derivation {

/// How one format writes the parts of a formula.
class Style {
 public:
  virtual ~Style() = default;
  /// The name of a tensor with a mark, and with `indices` below it behind those that its name has,
  /// as indices() gives them.
  virtual std::string symbol(std::string_view name, Mark mark = Mark::none,
                             const std::string& indices = {}) const = 0;
  virtual std::string number(std::string_view digits) const = 0;
  /// A position on an axis: "i", "2n+1"; or an element that was written in this format.
  struct Position {
    std::string plain;
    std::string element{};
  };
  /// Positions as indices: what symbol() and below() take.
  virtual std::string indices(const std::vector<Position>& positions) const = 0;
  virtual std::string below(const std::string& base, const std::string& indices) const = 0;
  /// A position that is not below something: [i = 2n+1].
  virtual std::string position(std::string_view plain) const = 0;
  /// What stands between the operands of a notation: signs, brackets, names of functions.
  virtual std::string literal(std::string_view text) const = 0;
  virtual std::string parenthesized(const std::string& inside) const = 0;
  /// The tensor of this shape whose elements are 1, beside a product of matrices.
  virtual std::string ones(const Shape& shape) const = 0;
  /// Σ over a letter from a number to another one, in front of the term.
  virtual std::string sum_over(char letter, int first, int last) const = 0;
  /// A base with what stands above it: "ᵀ", "²", or an exponent that was written in this format.
  virtual std::string raised(const std::string& base, const std::string& above) const = 0;
  /// The square root of what was written in this format; in `parentheses` where it is more than one
  /// sign.
  virtual std::string root(const std::string& inside, bool parentheses) const {
    return literal("√") + (parentheses ? parenthesized(inside) : inside);
  }
  /// A quotient whose line shows what stands above it, and below; empty in formats without one.
  virtual std::string fraction(const std::string&, const std::string&) const { return {}; }
  /// Whether an exponent is seen to be one by its height, so that it needs no parentheses.
  virtual bool sets_higher() const { return true; }
};

const Style& style_of(Format format);

/// The digits of a number for Style::number(): "−1.5", "1e-05", "∞", "NaN".
std::string digits_of(double number, int precision);

}  // namespace chainrule::derivation
