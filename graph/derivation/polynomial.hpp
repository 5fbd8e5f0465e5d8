#pragma once

#include <optional>
#include <string>
#include <vector>

#include <chainrule/graph/derivation/expression.hpp>

/// Sums of elementwise products, as algebra on formulas has them.
namespace chainrule::derivation {

/// A power of something that elementwise algebra does not look into.
struct Factor {
  Expr base;
  std::string key;  // equal for equal expressions
  int exponent;
};

struct Term {
  double coefficient = 1;
  std::vector<Factor> factors;  // in the order in which they came, no base twice
};

/// A sum of elementwise products, which broadcast.
struct Polynomial {
  std::vector<Term> terms;
};

/// A product of sums with more terms than this is not multiplied out.
inline constexpr std::size_t most_terms = 24;

/// The sum of one number; without terms for 0.
Polynomial number(double x);
void multiply_into(Term& term, const Factor& factor);
/// Drops factors to the power 0.
void drop_ones(Term& term);
/// term / by
void divide(Term& term, const Term& by);
/// The power of the factor with this key; 0 where there is none.
int exponent_in(const Term& term, const std::string& key);
/// Takes out of a sum what all its terms share: numbers of one size, and powers.
Term take_common(Polynomial& sum);
/// Takes out of a sum the scalars with names, and the number, that all its terms share; the number
/// with the sign of one alone.
Term take_scalars(Polynomial& sum);
bool same_factors(const Term& a, const Term& b);
/// The factors below the fraction line.
Term denominator_of(const Term& term);
/// sum += factor · more, with equal terms collected.
void add_into(Polynomial& sum, const Polynomial& more, double factor = 1);
Polynomial product(const Polynomial& a, const Polynomial& b);
/// a / b where a is a multiple of b.
std::optional<Polynomial> divided(Polynomial a, const Polynomial& b);

}  // namespace chainrule::derivation
