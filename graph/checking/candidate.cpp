#include <chainrule/graph/checking/candidate.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/checking/free_point.hpp>
#include <chainrule/graph/checking/gradient_through.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/derivation/number_text.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

// Formulas with others put in become long.
constexpr int most_levels = 4, largest_form = 120;

}  // namespace

Comparison::Comparison(const Trace& trace, const Suspect& suspect) : suspect_(suspect) {
  for (const Environment* point : suspect.points)
    expected_.push_back(evaluate(suspect.right, *point));
  std::set<std::uint32_t> used;  // gradients that the person's formula goes on from
  if (suspect.formula)
    visit_parts(suspect.formula, [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient) used.insert(part->node);
    });
  right_forms_.push_back(suspect.right);
  right_step_ = suspect.right;
  const Expr& rules = trace.gradient(suspect.node);
  if (!rules) return;
  right_forms_.push_back(rules);
  if (suspect.formula) {
    std::vector<std::uint32_t> given(used.begin(), used.end());
    given.push_back(suspect.node);
    ask_at_free_point(trace, gradient_through(trace, suspect.node, given));
  }
  for (int level = 0; level < most_levels; ++level) {
    Replacements formulas;
    visit_parts(right_forms_.back(), [&](const Expr& part) {
      if (part->kind == Expression::Kind::gradient && !used.contains(part->node) &&
          trace.gradient(part->node))
        formulas.emplace(part.get(), trace.gradient(part->node));
    });
    if (formulas.empty()) break;
    Expr form = replaced(right_forms_.back(), formulas);
    if (size_of(form) > largest_form) break;
    right_forms_.push_back(std::move(form));
  }
  if (Expr opened = without_unnamed(trace, right_forms_.back());
      opened != right_forms_.back() && size_of(opened) <= largest_form)
    opened_form_ = std::move(opened);
}

void Comparison::ask_at_free_point(const Trace& trace, const Expr& rules) {
  free_ = free_point(trace, suspect_.node, suspect_.formula);
  if (!free_) return;
  const auto is = attempt([&] { return evaluate(suspect_.formula, *free_); });
  const auto should = attempt([&] { return evaluate(rules, *free_); });
  if (!is || !should) {
    free_.reset();
    return;
  }
  value_freely_ = *is;
  expected_.push_back(*should);
  const auto simplest = attempt([&] { return evaluate(suspect_.right, *free_); });
  if (!simplest || !same(*simplest, *should)) right_step_ = multiplied_out(trace, rules);
}

bool Comparison::same(const Tensor& a, const Tensor& b) const {
  return a.defined() && nearly_equal(a, b, suspect_.tolerance);
}

// Of two changes of which each is a difference of nearly equal values: to f64's rounding of these.
bool Comparison::same_change(const Tensor& candidate, const Tensor& wanted) const {
  constexpr double of_changes = 1e-4, of_values = 1e-13;
  return nearly_equal(wanted, candidate, of_changes, of_values * largest(numbers(value(0))));
}

// Whether an element that is wrong stays as far off: beside large ones that may be within the
// tolerance.
bool Comparison::leaves_wrong(const Tensor& candidate, const Tensor& wanted) const {
  constexpr double explained = 0.01;
  if (suspect_.wrong.empty() || !same_shape()) return false;
  const std::vector<double> got = numbers(candidate), meant = numbers(wanted),
                            mine = numbers(value(0)), right = numbers(expected(0));
  for (std::size_t e = 0; e < got.size() && e < suspect_.wrong.size(); ++e)
    if (suspect_.wrong[e] &&
        difference(got[e], meant[e]) > explained * difference(mine[e], right[e]))
      return true;
  return false;
}

// Whether each element agrees within the tolerance of its own size; nearly_equal() asks for that of
// the largest alone.
bool Comparison::same_by_element(const Tensor& candidate, const Tensor& wanted) const {
  if (suspect_.sizes.empty() || !same_shape()) return true;
  const std::vector<double> got = numbers(candidate), meant = numbers(wanted);
  for (std::size_t e = 0; e < got.size() && e < suspect_.sizes.size(); ++e)
    if (difference(got[e], meant[e]) >
        suspect_.tolerance * std::max({std::abs(got[e]), std::abs(meant[e]), suspect_.sizes[e]}))
      return false;
  return true;
}

bool Comparison::all(const std::function<Tensor(std::size_t p)>& candidate, bool right) const {
  Tensor here;
  bool freely = true;
  const auto wanted = [&](std::size_t p) -> const Tensor& {
    return right ? expected(p) : value(p);
  };
  for (std::size_t p = 0; p < all_points(); ++p) {
    const bool is_free = p == suspect_.points.size();
    // Shapes may not fit, or numbers be outside of an operation's domain.
    const std::optional<Tensor> tried = attempt([&] { return candidate(p); });
    work_ += 2e3 + 20 * static_cast<double>(tried && tried->defined() ? tried->numel() : 0);
    const bool fits = tried && same(*tried, wanted(p));
    if (is_free) freely = fits;
    if (!fits && (!is_free || strict_)) return false;
    if (is_free) break;
    const Tensor& got = *tried;
    if (p == 0 && (leaves_wrong(got, wanted(0)) || !same_by_element(got, wanted(0)))) return false;
    if (p == 0)
      here = got;
    else if (suspect_.nearest && !same_change(got - here, wanted(p) - wanted(0)))
      return false;
  }
  fitted_freely_ = freely;
  return true;
}

bool Comparison::gives(const std::function<Tensor(std::size_t p)>& candidate) const {
  return all(candidate, false);
}
void Comparison::count(const Expr& formula) const {
  int parts = 0;
  visit_parts(formula, [&](const Expr&) { ++parts; });
  spend(parts * (2e3 + 2 * static_cast<double>(value(0).numel())));
}
bool Comparison::gives(const Expr& candidate) const {
  count(candidate);
  return gives([&](std::size_t p) { return evaluate(candidate, point(p)); });
}
bool Comparison::repairs(const std::function<Tensor(std::size_t p)>& candidate) const {
  return all(candidate, true);
}
bool Comparison::repairs(const Expr& candidate) const {
  count(candidate);
  return repairs([&](std::size_t p) { return evaluate(candidate, point(p)); });
}

namespace {

// x as a fraction, a root of one, or digits.
std::string digits_of(double x) {
  const auto near = [](double a, double b) { return std::abs(a - b) < 1e-6 * std::abs(b); };
  const auto fraction = [&](double y) -> std::string {
    for (int below = 1; below <= 64; ++below)
      if (const double above = y * below;
          above < 1e6 && std::round(above) >= 1 && near(above, std::round(above)))
        return below == 1 ? fmt::format("{:.0f}", above) : fmt::format("{:.0f}/{}", above, below);
    if (const double inverse = 1 / y; inverse < 5000 && near(inverse, std::round(inverse)))
      return fmt::format("1/{:.0f}", inverse);
    return "";
  };
  const double size = std::abs(x);
  std::string text = fraction(size);
  if (const std::string decimal = fmt::format("{:.3g}", size);
      text.find('/') != std::string::npos && std::abs(number_said(decimal) - size) < 2e-7 * size)
    text = decimal;
  if (text.empty()) {
    const std::string square = fraction(size * size);
    text = square.empty() ? fmt::format("{:.6g}", size)
           : square.starts_with("1/")
               ? "1/√" + square.substr(2)
               : "√" + (square.find('/') != std::string::npos ? "(" + square + ")" : square);
  }
  return (x < 0 ? "−" : "") + text;
}

// τ, 1/τ², √λ: powers of numbers with names that are as large as a number.
std::vector<std::string> named_origins(const Trace& trace, double number, bool learned) {
  struct Power {
    double exponent;
    const char* before;
    const char* behind;
  };
  static constexpr Power powers[] = {{1, "", ""}, {2, "", "²"}, {0.5, "√", ""}};
  std::vector<std::string> origins;
  const double size = std::abs(number);
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    const bool is_number = node.is_leaf() && !node.name().empty() && node.shape().numel() == 1 &&
                           is_floating(node.dtype()) && (learned || !node.requires_grad());
    const double value = is_number ? std::abs(trace.replay().value(i).item<double>()) : 1;
    if (!(std::abs(value - 1) > 1e-6) || !std::isfinite(value) || value == 0) continue;
    for (const Power& power : powers)
      for (const bool inverse : {false, true}) {
        const double x = std::pow(value, inverse ? -power.exponent : power.exponent);
        if (std::abs(x - size) < 1e-6 * size)
          origins.push_back(fmt::format("{}{}{}{}", inverse ? "1/" : "", power.before,
                                        detail::printable(node.name()), power.behind));
      }
  }
  return origins;
}

// Whether something is squared, of which the derivative has a 2.
bool has_square(const Trace& trace) {
  for (std::uint32_t i = 0; i < trace.size(); ++i)
    if (const Expr& e = trace.forward(i);
        e && (e->is(Role::Kind::square) ||
              (e->is(Role::Kind::product) && key_of(e->operands[0]) == key_of(e->operands[1]))))
      return true;
  return false;
}

}  // namespace

namespace {

bool is_near(double a, double b) { return std::abs(a - b) <= 1e-6 * std::max(1.0, std::abs(b)); }

}  // namespace

bool is_plain(double x) {
  const double size = std::max(std::abs(x), 1 / std::abs(x));
  const auto whole = [](double y) { return y < 5000 && is_near(y, std::round(y)); };
  return whole(size) || whole(size * size);
}

bool is_ratio(double x) {
  for (int below = 1; below <= 10; ++below)
    if (std::abs(x * below) > 0.5 && std::abs(x * below) < 100 &&
        is_near(x * below, std::round(x * below)))
      return true;
  return false;
}

std::string inverse_in_words(const Comparison& comparison, const Text& text, const Expr& e) {
  Builder builder(comparison.point(0));
  return text(builder.build([&] { return 1 / builder.value(e); }));
}
std::string negative_in_words(const Comparison& comparison, const Text& text, const Expr& e) {
  Builder builder(comparison.point(0));
  return text(builder.build([&] { return -builder.value(e); }));
}

std::vector<double> numbers_of(const Trace& trace) {
  std::vector<double> numbers;
  const auto keep = [&](const Tensor& x) {
    if (!x.defined() || x.numel() != 1 || !is_floating(x.dtype())) return;
    const double number = x.item<double>();
    if (std::ranges::find(numbers, number) == numbers.end()) numbers.push_back(number);
  };
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    if (!trace.replay().computed(i)) continue;
    const auto edges = trace.traversal().edges(i);
    for (std::size_t k = 0; k < edges.size(); ++k)
      if (edges[k] == Traversal::none) keep(trace.replay().operand(i, k));
  }
  return numbers;
}

std::vector<std::string> origins_of(const Trace& trace, double number, bool learned) {
  const double size = std::max(std::abs(number), 1 / std::abs(number));
  const auto near = [&](double x) { return std::abs(x - size) < 1e-6 * size; };
  if (near(1) || !std::isfinite(size)) return {};
  const std::vector<double> known = numbers_of(trace);
  const auto is_known = [&](double x) {
    return std::ranges::any_of(known, [&](double one) {
      return std::abs(std::max(std::abs(one), 1 / std::abs(one)) - x) < 1e-6 * x;
    });
  };
  // Several tensors have an extent of the batch: two examples are enough. Of its root there is one
  // in the program where somebody took it.
  std::set<std::string> extents;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    if (node.name().empty() || node.output_count() > 1) continue;
    const Shape shape = node.shape();
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const auto extent = static_cast<double>(shape[axis]);
      const double its_root = std::sqrt(extent);
      const char* root = near(extent)                           ? ""
                         : near(its_root) && is_known(its_root) ? "the root of "
                                                                : nullptr;
      if (extent > 1 && root && extents.size() < 2)
        extents.insert(fmt::format("{}the extent of axis {} of {} {}", root, axis, node.name(),
                                   to_string(shape)));
    }
  }
  std::set<std::string> numbers;
  for (const bool squared : {false, true})
    for (const double one : known) {
      const double other = std::max(std::abs(one), 1 / std::abs(one));
      if (!near(squared ? other * other : other) || !numbers.empty()) continue;
      const bool inverse = (std::abs(one) > 1) != (std::abs(number) > 1);
      const std::string digits = digits_of(std::abs(one)), power = squared ? "²" : "";
      numbers.insert(
          !inverse && !squared ? std::string("a number of the program")
          : inverse && digits.find('/') != std::string::npos
              ? fmt::format("the inverse of {}{}, a number of the program", digits, power)
              : fmt::format("{}{}{}, by a number of the program", inverse ? "1/" : "", digits,
                            power));
    }
  // One in the place of another.
  for (const double above : known)
    for (const double below : known)
      if (numbers.empty() && std::abs(above) != 1 && std::abs(below) != 1 &&
          near(std::abs(above / below)))
        numbers.insert(fmt::format("{} for {}, by numbers of the program",
                                   digits_of(std::abs(above)), digits_of(std::abs(below))));
  std::vector<std::string> origins = named_origins(trace, number, learned);
  if (near(2) && numbers.empty() && has_square(trace)) origins.emplace_back("the 2 of a square");
  origins.insert(origins.end(), numbers.begin(), numbers.end());
  origins.insert(origins.end(), extents.begin(), extents.end());
  return origins;
}

std::string number_in_words(const Trace& trace, double number, bool learned) {
  std::string together;
  for (const std::string& origin : origins_of(trace, number, learned))
    together += (together.empty() ? "" : "; or ") + origin;
  return digits_of(number) + (together.empty() ? "" : " (" + together + ")");
}

}  // namespace chainrule::derivation
