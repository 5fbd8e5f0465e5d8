#include <chainrule/graph/teaching/wrong_formulas.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/text.hpp>
#include <chainrule/graph/teaching/fitted.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::teaching {

using derivation::Builder;
using derivation::Expr;
using derivation::Expression;
using derivation::Mutant;
using derivation::Trace;
using Kind = Expression::Kind;

namespace {

// Of one formula so many are looked at.
constexpr std::size_t most = 200;
// So many of the wrong slopes are likely.
constexpr int likely_slopes = 5;

// Nobody writes a mere number for the gradient of something.
bool has_symbols(const Expr& formula) {
  bool found = false;
  derivation::visit_parts(formula, [&](const Expr& part) { found |= part->is_symbol(); });
  return found;
}

// x − x and −(−x), which nobody writes.
bool says_nothing(const Expr& formula) {
  bool found = false;
  derivation::visit_parts(formula, [&](const Expr& part) {
    const auto is = [&](Role::Kind kind) { return part->is(kind); };
    if (is(Role::Kind::difference))
      found |= derivation::key_of(part->operands[0]) == derivation::key_of(part->operands[1]);
    if (is(Role::Kind::negation)) found |= part->operands[0]->is(Role::Kind::negation);
  });
  return found;
}

// Whether a formula shows what only arranges elements.
bool arranges(const std::string& text) {
  return text.find("reshape[") != std::string::npos || text.find("expand[") != std::string::npos;
}

class WrongFormulas {
 public:
  WrongFormulas(Listing& listing, std::uint32_t i, const Expr& right, std::size_t most_characters)
      : listing_(listing),
        trace_(listing.trace()),
        i_(i),
        right_(right),
        most_characters_(most_characters) {
    derivation::visit_parts(right, [&](const Expr& part) { parts_.push_back(part); });
    for (const Expr& part : parts_) {
      if (part->kind != Kind::slope) continue;
      const std::string called = derivation::slope_name(*part->application);
      int place = 0;
      for (const derivation::WrongSlope& wrong : derivation::wrong_slopes())
        slopes_.emplace(wrong.said(called), place++);
    }
  }

  std::vector<WrongFormula> all() {
    other_tensors();
    operations();
    products();
    other_signs();
    return std::move(found_);
  }

 private:
  void add(Expr formula, std::string mistake, std::string kind, int rank) {
    formula = fitted(formula, {}, trace_.environment());
    if (!formula || !has_symbols(formula) || says_nothing(formula)) return;
    const std::string text = listing_.text(formula);
    if (detail::width_of(text) > most_characters_) return;
    if (arranges(text) && !arranges(listing_.text(right_))) return;
    found_.push_back({std::move(formula),
                      {},
                      std::move(mistake),
                      std::move(kind),
                      rank,
                      [&listing = listing_](WrongFormula& wrong) {
                        wrong.written = listing.written(wrong.formula);
                      }});
  }

  void operations() {
    std::size_t count = 0;
    for_each_mutant(trace_, {right_, i_}, trace_.environment(), derivation::Mistakes::in_operations,
                    [&](const Mutant& mutant) {
                      add_operation(mutant);
                      return ++count == most;
                    });
  }

  void add_operation(const Mutant& mutant) {
    const std::string& mistake = mutant.mistake;
    // σ' at other tensors comes with the other tensors.
    if (mistake.ends_with(" is taken at another tensor")) return;
    if (const auto slope = slopes_.find(mistake); slope != slopes_.end())
      add(mutant.formula, mistake, "slope", slope->second < likely_slopes ? 1 : 2);
    else if (mistake.find(" in the place of ") != std::string::npos)
      add(mutant.formula, mistake, "function", 3);
    else
      add(mutant.formula, mistake + missing_from(mutant.formula), mistake, 1);
  }

  // ": σ'(z2)", where a formula lacks that: the largest parts of which it has no symbol.
  std::string missing_from(const Expr& formula) const {
    const std::set<const Expression*> kept = symbols_of(formula);
    std::vector<Expr> missing;
    for (const Expr& part : parts_) {  // operands first
      const std::set<const Expression*> symbols = symbols_of(part);
      if (symbols.empty() ||
          std::ranges::any_of(symbols, [&](const Expression* s) { return kept.contains(s); }))
        continue;
      std::erase_if(missing, [&](const Expr& smaller) {
        bool inside = false;
        derivation::visit_parts(part, [&](const Expr& other) { inside |= other == smaller; });
        return inside;
      });
      missing.push_back(part);
    }
    std::vector<std::string> texts;
    for (const Expr& part : missing)
      if (std::string text = listing_.text(part); !arranges(text)) texts.push_back(std::move(text));
    return texts.empty() ? "" : ": " + detail::joined(texts, ", ");
  }

  static std::set<const Expression*> symbols_of(const Expr& formula) {
    std::set<const Expression*> symbols;
    derivation::visit_parts(formula, [&](const Expr& part) {
      if (part->is_symbol()) symbols.insert(part.get());
    });
    return symbols;
  }

  void products() {
    for_each_mutant(trace_, {right_, i_}, trace_.environment(), derivation::Mistakes::in_products,
                    [&](const Mutant& mutant) {
                      const bool far = mutant.mistake == "an operand is transposed";
                      add(mutant.formula, mutant.mistake, "product", far ? 2 : 1);
                      return false;
                    });
  }

  // Each symbol with what else might stand there.
  void other_tensors() {
    for (const Expr& part : parts_) {
      if (!part->is_symbol()) continue;
      const bool gradient = part->kind == Kind::gradient;
      for (std::uint32_t j = 0; j < trace_.size() && found_.size() < most; ++j) {
        if (j == part->node || trace_.node(j).name().empty() || !trace_.is_tensor(j)) continue;
        // db = dz goes by the name of dz.
        if (gradient && (j == i_ || !trace_.environment().gradients[j].defined() ||
                         trace_.gradient(j)->kind == Kind::gradient))
          continue;
        put(part, j, gradient);
      }
      if (gradient && !trace_.node(part->node).name().empty()) {
        const std::string name = listing_.names().tensor(part->node);
        const Expr tensor = derivation::tensor_expression(part->node, part->shape);
        add(derivation::replaced(right_, {{part.get(), tensor}}),
            fmt::format("a tensor in the place of its gradient: {0} for d{0}", name), "gradient",
            2);
      }
    }
  }

  void put(const Expr& part, std::uint32_t j, bool gradient) {
    const std::string mine = listing_.names().tensor(part->node),
                      other = listing_.names().tensor(j);
    const auto layer = derivation::layer_of(mine), other_layer = derivation::layer_of(other);
    const bool alike = derivation::differ_in_layer(mine, other);
    const auto is_result = [&](std::uint32_t i) { return trace_.forward(i) != nullptr; };
    const bool near = listing_.adjacent(part->node, j) || (layer && layer == other_layer);
    const bool together = near && is_result(j) && (!gradient || is_result(part->node));
    const int rank = alike ? (std::abs(*layer - *other_layer) == 1 ? 1 : 2) : together ? 2 : 3;
    // A far-fetched one should fit at least.
    if (rank == 3 && trace_.node(j).shape() != part->shape) return;
    const auto called = [&](const std::string& name) {
      using derivation::Mark;
      const Mark mark = gradient ? trace_.derivative() : Mark::none;
      return derivation::symbol_text(name, derivation::Format::unicode, mark);
    };
    const Shape& shape = trace_.node(j).shape();
    const Expr symbol = gradient ? derivation::gradient_expression(j, shape)
                                 : derivation::tensor_expression(j, shape);
    found_.push_back({nullptr,
                      {},
                      fmt::format("{}: {} in the place of {}",
                                  alike ? "of the wrong layer or step" : "another tensor",
                                  called(other), called(mine)),
                      alike ? "layer" : "tensor",
                      rank,
                      [&listing = listing_, right = right_, part, symbol](WrongFormula& wrong) {
                        const derivation::Replacements others{{part.get(), symbol}};
                        wrong.formula = fitted(right, others, listing.trace().environment());
                        wrong.written = listing.written(right, *part, *symbol);
                      }});
  }

  void other_signs() {
    const auto built = [&](auto f) {
      Builder builder(trace_.environment());
      return builder.build([&] { return f(builder.value(right_)); });
    };
    add(right_->is(Role::Kind::negation) ? right_->operands[0]
                                         : built([](const Tensor& x) { return -x; }),
        "the sign is wrong", "sign", 2);
    add(built([](const Tensor& x) { return 2.0 * x; }), "a factor of 2 too much", "factor", 3);
  }

  Listing& listing_;
  const Trace& trace_;
  std::uint32_t i_;
  const Expr& right_;
  std::size_t most_characters_;
  std::vector<Expr> parts_;
  std::map<std::string, int> slopes_;  // what is said of a wrong slope, by how likely it is
  std::vector<WrongFormula> found_;
};

}  // namespace

std::vector<WrongFormula> wrong_formulas(Listing& listing, std::uint32_t i, const Expr& right,
                                         std::size_t most_characters) {
  return WrongFormulas(listing, i, right, most_characters).all();
}

}  // namespace chainrule::teaching
