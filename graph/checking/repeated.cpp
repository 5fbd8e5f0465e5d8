#include <chainrule/graph/checking/repeated.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

constexpr std::size_t most_terms = 6, most_elements = 64;

// A term with a mistake in it, and how it changes some elements of the value at the recorded point.
struct Changed {
  Expr now;
  std::vector<double> by;
};

// As many as tell most mistakes apart, evenly spaced.
std::vector<double> some_of(const std::vector<double>& elements) {
  const std::size_t step = (elements.size() + most_elements - 1) / most_elements;
  std::vector<double> some;
  for (std::size_t e = 0; e < elements.size(); e += step) some.push_back(elements[e]);
  return some;
}

class Repeated {
 public:
  Repeated(const Trace& trace, const Comparison& comparison, const Text& text)
      : trace_(trace), comparison_(comparison), text_(text) {
    const std::vector<double> is = numbers(comparison.value(0)),
                              should = numbers(comparison.expected(0));
    wanted_ = some_of(numbers(comparison.value(0) - comparison.expected(0)));
    allowed_ = 10 * comparison.suspect().tolerance * std::max(largest(is), largest(should));
  }

  std::string in(const Expr& form) const {
    const std::vector<Expr> terms = terms_of(form, comparison_.point(0));
    if (terms.size() < 2 || terms.size() > most_terms) return "";
    // By what is said of it, for each term.
    std::map<std::string, std::vector<std::vector<Changed>>> mistakes;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      const Tensor right = evaluate(terms[k], comparison_.point(0));
      const auto keep = [&](const Mutant& mutant) {
        if (comparison_.exhausted()) return true;
        comparison_.count(mutant.formula);
        const auto value = attempt([&] { return evaluate(mutant.formula, comparison_.point(0)); });
        if (!value || value->shape() != right.shape()) return false;
        const std::vector<double> by = numbers(*value - right);
        if (!(largest(by) > allowed_)) return false;
        std::vector<std::vector<Changed>>& mine = mistakes[mutant.mistake];
        mine.resize(terms.size());
        mine[k].push_back({mutant.formula, some_of(by)});
        return false;
      };
      for (const Mistakes kind : {Mistakes::in_operations, Mistakes::in_quotients})
        for_each_mutant(trace_, {terms[k], comparison_.suspect().node}, comparison_.point(0), kind,
                        keep);
    }
    for (const auto& [mistake, changed] : mistakes)
      for (std::size_t j = 0; j < terms.size(); ++j)
        for (std::size_t k = j + 1; k < terms.size(); ++k)
          for (const Changed& a : changed[j])
            for (const Changed& b : changed[k]) {
              if (comparison_.exhausted()) return "";
              if (explain(a, b) && gives(terms[j], a.now, terms[k], b.now))
                return fmt::format(
                    "the same mistake twice: {}: {} stands in the place of {}, and {} in the place "
                    "of {}; the chain rule gives {}",
                    mistake, words(a.now), words(terms[j]), words(b.now), words(terms[k]),
                    text_(comparison_.suspect().right));
            }
    return "";
  }

 private:
  bool explain(const Changed& a, const Changed& b) const {
    comparison_.spend(static_cast<double>(wanted_.size()));
    for (std::size_t e = 0; e < wanted_.size(); ++e)
      if (!(std::abs(a.by[e] + b.by[e] - wanted_[e]) <= allowed_)) return false;
    return true;
  }
  bool gives(const Expr& a, const Expr& a_now, const Expr& b, const Expr& b_now) const {
    for (const Expr& e : {a, a_now, b, b_now}) comparison_.count(e);
    return comparison_.gives([&](std::size_t p) {
      const auto at = [&](const Expr& e) { return evaluate(e, comparison_.point(p)); };
      return comparison_.expected(p) + at(a_now) - at(a) + at(b_now) - at(b);
    });
  }
  std::string words(const Expr& term) const { return text_(multiplied_out(trace_, term)); }

  const Trace& trace_;
  const Comparison& comparison_;
  const Text& text_;
  std::vector<double> wanted_;
  double allowed_;
};

}  // namespace

std::string same_mistake_twice(const Trace& trace, const Comparison& comparison, const Text& text) {
  if (!comparison.same_shape()) return "";
  const Repeated repeated(trace, comparison, text);
  for (const Expr& form : comparison.right_forms())
    if (std::string found = repeated.in(form); !found.empty()) return found;
  return "";
}

}  // namespace chainrule::derivation
