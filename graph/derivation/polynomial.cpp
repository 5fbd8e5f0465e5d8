#include <chainrule/graph/derivation/polynomial.hpp>

#include <algorithm>
#include <cmath>

namespace chainrule::derivation {

void multiply_into(Term& term, const Factor& factor) {
  for (Factor& mine : term.factors)
    if (mine.key == factor.key) {
      mine.exponent += factor.exponent;
      return;
    }
  term.factors.push_back(factor);
}

void drop_ones(Term& term) {
  std::erase_if(term.factors, [](const Factor& f) { return f.exponent == 0; });
}

void divide(Term& term, const Term& by) {
  term.coefficient /= by.coefficient;
  for (Factor factor : by.factors) {
    factor.exponent = -factor.exponent;
    multiply_into(term, factor);
  }
  drop_ones(term);
}

int exponent_in(const Term& term, const std::string& key) {
  const auto mine = std::ranges::find(term.factors, key, &Factor::key);
  return mine == term.factors.end() ? 0 : mine->exponent;
}

Term take_common(Polynomial& sum) {
  Term common;
  if (sum.terms.size() < 2) return common;
  const double size = std::abs(sum.terms[0].coefficient);
  if (std::ranges::all_of(sum.terms,
                          [&](const Term& t) { return std::abs(t.coefficient) == size; }))
    common.coefficient = size;
  for (const Factor& factor : sum.terms[0].factors) {
    int exponent = factor.exponent;
    for (const Term& term : sum.terms) {
      const int e = exponent_in(term, factor.key);
      exponent = e > 0 && exponent > 0   ? std::min(exponent, e)
                 : e < 0 && exponent < 0 ? std::max(exponent, e)
                                         : 0;
    }
    if (exponent != 0) common.factors.push_back({factor.base, factor.key, exponent});
  }
  for (Term& term : sum.terms) divide(term, common);
  std::ranges::stable_partition(sum.terms, [](const Term& t) { return t.coefficient > 0; });
  return common;
}

Term take_scalars(Polynomial& sum) {
  const double size = std::abs(sum.terms[0].coefficient);
  const bool common = std::ranges::all_of(
      sum.terms, [&](const Term& t) { return std::abs(t.coefficient) == size; });
  Term scalars;
  if (common) scalars.coefficient = sum.terms.size() == 1 ? sum.terms[0].coefficient : size;
  for (const Factor& factor : sum.terms[0].factors) {
    const bool is_scalar =
        factor.base->shape.rank() == 0 &&
        (factor.base->is_symbol() || factor.base->kind == Expression::Kind::number);
    const auto has = [&](const Term& t) { return exponent_in(t, factor.key) == factor.exponent; };
    if (is_scalar && std::ranges::all_of(sum.terms, has)) scalars.factors.push_back(factor);
  }
  for (Term& term : sum.terms) divide(term, scalars);
  return scalars;
}

Term denominator_of(const Term& term) {
  Term below;
  for (const Factor& factor : term.factors)
    if (factor.exponent < 0) below.factors.push_back(factor);
  return below;
}

bool same_factors(const Term& a, const Term& b) {
  if (a.factors.size() != b.factors.size()) return false;
  return std::ranges::all_of(a.factors, [&](const Factor& f) {
    return std::ranges::any_of(
        b.factors, [&](const Factor& g) { return f.key == g.key && f.exponent == g.exponent; });
  });
}

void add_into(Polynomial& sum, const Polynomial& more, double factor) {
  for (Term term : more.terms) {
    term.coefficient *= factor;
    const auto like =
        std::ranges::find_if(sum.terms, [&](const Term& t) { return same_factors(t, term); });
    if (like == sum.terms.end())
      sum.terms.push_back(std::move(term));
    else
      like->coefficient += term.coefficient;
  }
  std::erase_if(sum.terms, [](const Term& t) { return t.coefficient == 0; });
}

Polynomial product(const Polynomial& a, const Polynomial& b) {
  Polynomial result;
  for (const Term& x : a.terms)
    for (const Term& y : b.terms) {
      Term term = x;
      term.coefficient *= y.coefficient;
      for (const Factor& factor : y.factors) multiply_into(term, factor);
      drop_ones(term);
      add_into(result, {{term}});
    }
  return result;
}

// a / b where a is a multiple of b: long division by the term of b with the most factors.
std::optional<Polynomial> divided(Polynomial a, const Polynomial& b) {
  const Term& lead =
      *std::ranges::max_element(b.terms, {}, [](const Term& t) { return t.factors.size(); });
  const auto divides = [&](const Term& term) {
    return std::ranges::all_of(lead.factors, [&](const Factor& f) {
      const auto mine = std::ranges::find(term.factors, f.key, &Factor::key);
      return mine != term.factors.end() && mine->exponent >= f.exponent;
    });
  };
  const auto power_of_lead = [&](const Term& term) {
    int power = 0;
    for (const Factor& f : term.factors)
      if (std::ranges::find(lead.factors, f.key, &Factor::key) != lead.factors.end())
        power += f.exponent;
    return power;
  };
  Polynomial quotient;
  for (std::size_t step = 0; !a.terms.empty(); ++step) {
    // Of the terms that it divides, the one of the highest power.
    const Term* next = nullptr;
    for (const Term& term : a.terms)
      if (divides(term) && (!next || power_of_lead(term) > power_of_lead(*next))) next = &term;
    if (!next || step > most_terms) return std::nullopt;
    Term part = *next;
    divide(part, lead);
    add_into(quotient, {{part}});
    add_into(a, product({{part}}, b), -1);
  }
  return quotient;
}

Polynomial number(double x) { return x == 0 ? Polynomial{} : Polynomial{{{x, {}}}}; }

}  // namespace chainrule::derivation
