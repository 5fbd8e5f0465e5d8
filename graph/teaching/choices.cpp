#include <chainrule/graph/teaching/choices.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/teaching/wrong_formulas.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::teaching {

using derivation::Expr;

namespace {

// Numbers nearer than this part of the largest are the same to somebody who computes by hand.
constexpr double tolerance = 1e-3;
// Longer formulas are not offered unless the right one is half as long.
constexpr std::size_t most_characters = 60;

// Also in another shape, as a column and a row are.
bool same_numbers(const Tensor& a, const Tensor& b) {
  if (a.numel() != b.numel()) return false;
  const std::vector<double> x = derivation::numbers(a), y = derivation::numbers(b);
  return derivation::largest_difference(x, y) <= tolerance * derivation::largest(x);
}

// Without spaces, and without parentheses around a name: dz5·(h4)ᵀ and dz5 · h4ᵀ are one formula.
std::string plain(std::string text) {
  std::erase(text, ' ');
  for (std::size_t begin = text.find('('); begin != std::string::npos;
       begin = text.find('(', begin + 1)) {
    std::size_t end = begin + 1;
    while (end < text.size() &&
           (detail::is_letter(text[end]) || detail::is_digit(text[end]) || text[end] == '_'))
      ++end;
    if (end == text.size() || text[end] != ')') continue;
    text.erase(end, 1);
    text.erase(begin, 1);
  }
  return text;
}

bool is_finite(const std::vector<Tensor>& values) {
  return std::ranges::all_of(values, [](const Tensor& value) {
    return std::ranges::all_of(derivation::numbers(value),
                               [](double x) { return std::isfinite(x); });
  });
}

std::string with_full_stop(std::string words) {
  constexpr std::string_view ends = ".!?";
  if (!words.empty() && ends.find(words.back()) == std::string_view::npos) words += '.';
  return words;
}

// Names of functions keep their small letters: tanh in the place of tanh', tanh' is missing.
std::string sentence(std::string words) {
  const std::size_t first = std::min(words.find(' '), words.size());
  const bool is_name = words.compare(first, 17, " in the place of ") == 0 ||
                       std::string_view(words).substr(0, first).ends_with('\'');
  if (!is_name && !words.empty() && words[0] >= 'a' && words[0] <= 'z')
    words[0] = static_cast<char>(words[0] - 'a' + 'A');
  return with_full_stop(std::move(words));
}

}  // namespace

// At one of the points is enough: what is right today is not offered as wrong.
bool Choices::same(const Offered& a, const Offered& b) {
  if (plain(a.choice.formula.text) == plain(b.choice.formula.text)) return true;
  for (std::size_t p = 0; p < std::min(a.values.size(), b.values.size()); ++p)
    if (same_numbers(a.values[p], b.values[p])) return true;
  return false;
}

std::vector<Tensor> Choices::values_of(const Expr& formula) const {
  std::vector<Tensor> values;
  for (const derivation::Environment* point : points_) {
    std::optional<Tensor> value = derivation::attempt([&] { return evaluate(formula, *point); });
    if (!value) break;  // an operation is not defined for what a wrong formula hands it
    values.push_back(std::move(*value));
  }
  return values;
}

std::string Choices::other_shape(std::uint32_t i, const Tensor& value) const {
  const Shape& shape = listing_.trace().node(i).shape();
  return value.shape() == shape ? ""
                                : fmt::format(" It has the shape {} instead of {}.",
                                              to_string(value.shape()), to_string(shape));
}

std::string Choices::explained(std::uint32_t i, const std::string& mistake,
                               const std::vector<Tensor>& values) {
  std::string text = sentence(mistake);
  text += values.empty() ? fmt::format(" With these shapes it cannot give the shape {}.",
                                       to_string(listing_.trace().node(i).shape()))
                         : other_shape(i, values[0]);
  const std::vector<std::uint32_t>& users = listing_.users(i);
  if (!users.empty())
    text += fmt::format(" The program has {}{}", listing_.equation(users.front()),
                        users.size() > 1 ? ", and more." : ".");
  return text;
}

Choices::Offered Choices::usual(std::uint32_t i, const UsualMistake& mistake,
                                const Offered& right) {
  const auto fail = [&](const std::string& problem, const char* hint) {
    throw ValueError(fmt::format("make_exercise: the usual mistake {} for {}: {}", mistake.formula,
                                 mistake.gradient, problem),
                     where_, hint);
  };
  Offered offered;
  offered.choice.formula.text = mistake.formula;
  offered.choice.why = mistake.why;
  if (plain(mistake.formula) == plain(right.choice.formula.text))
    fail("this is the right formula", "leave it out");
  if (!mistake.value.defined()) return offered;
  if (!is_floating(mistake.value.dtype()))
    throw DTypeError(
        fmt::format("make_exercise: the usual mistake {} for {} has a value of {}", mistake.formula,
                    mistake.gradient, chainrule::name_of(mistake.value.dtype())),
        where_, "compute it from the tensors of the program");
  offered.choice.value = to(mistake.value.detach(), f64);
  offered.values.push_back(offered.choice.value);
  if (const std::string shape = other_shape(i, offered.choice.value); !shape.empty())
    offered.choice.why = with_full_stop(std::move(offered.choice.why)) + shape;
  if (same(offered, right))
    fail(fmt::format("its value is what the right formula {} gives", right.choice.formula.text),
         "leave it out, or choose values where the two differ");
  return offered;
}

std::vector<Choices::Offered> Choices::usual_ones(std::uint32_t i,
                                                  std::span<const UsualMistake> mistakes,
                                                  const Offered& right) {
  std::vector<Offered> all;
  for (const UsualMistake& mistake : mistakes) {
    Offered offered = usual(i, mistake, right);
    for (const Offered& other : all)
      if (same(offered, other))
        throw ValueError(fmt::format("make_exercise: the usual mistake {} for {} stands there "
                                     "twice, or gives what {} gives",
                                     mistake.formula, mistake.gradient, other.choice.formula.text),
                         where_, "leave one of them out");
    all.push_back(std::move(offered));
  }
  return all;
}

void Choices::add_wrong(std::uint32_t i, const Expr& right, std::size_t count,
                        std::vector<Offered>& chosen) {
  const bool finite = is_finite(chosen[0].values);
  const std::size_t longest =
      std::max(most_characters, 2 * detail::width_of(chosen[0].choice.formula.text));
  std::vector<WrongFormula> pool = wrong_formulas(listing_, i, right, longest);
  shuffle(pool);
  const auto add = [&](WrongFormula& wrong) {
    Offered offered;
    wrong.make(wrong);
    offered.choice.formula = std::move(wrong.written);
    if (wrong.formula) {
      offered.values = values_of(wrong.formula);
      if (offered.values.empty()) return false;
    }
    if (finite && !is_finite(offered.values)) return false;
    for (const Offered& other : chosen)
      if (same(offered, other)) return false;
    if (!offered.values.empty()) offered.choice.value = offered.values[0];
    offered.choice.why = explained(i, wrong.mistake, offered.values);
    chosen.push_back(std::move(offered));
    return true;
  };
  // One of each kind first: who knows one mistake knows all of its kind.
  std::set<std::string> kinds;
  std::vector<bool> looked_at(pool.size());
  const auto choose = [&](int rank, bool of_new_kinds) {
    for (std::size_t k = 0; k < pool.size() && chosen.size() < count; ++k) {
      if (looked_at[k] || pool[k].rank != rank) continue;
      if (of_new_kinds && kinds.contains(pool[k].kind)) continue;
      looked_at[k] = true;
      if (add(pool[k])) kinds.insert(pool[k].kind);
    }
  };
  for (const bool of_new_kinds : {true, false})
    for (const int rank : {1, 2}) choose(rank, of_new_kinds);
  choose(3, false);
}

template <class T>
void Choices::shuffle(std::vector<T>& list) {
  for (std::size_t n = list.size(); n > 1; --n)
    std::swap(list[n - 1],
              list[static_cast<std::size_t>(random_.integer(0, static_cast<std::int64_t>(n)))]);
}

std::vector<Exercise::Choice> Choices::of(std::uint32_t i, const Expr& right,
                                          std::span<const UsualMistake> mistakes,
                                          std::size_t count) {
  std::vector<Offered> chosen(1);
  chosen[0].values = values_of(right);
  chosen[0].choice.formula = listing_.written(right);
  chosen[0].choice.value = chosen[0].values[0];
  std::vector<Offered> usual = usual_ones(i, mistakes, chosen[0]);
  shuffle(usual);
  for (Offered& offered : usual)
    if (chosen.size() < count) chosen.push_back(std::move(offered));
  add_wrong(i, right, count, chosen);
  shuffle(chosen);
  std::vector<Exercise::Choice> choices;
  for (Offered& offered : chosen) choices.push_back(std::move(offered.choice));
  return choices;
}

}  // namespace chainrule::teaching
