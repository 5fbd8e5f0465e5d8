#include <chainrule/graph/checking/upstream.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/checking/mutate.hpp>
#include <chainrule/graph/checking/terms.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>

namespace chainrule::derivation {

namespace {

using Kind = Expression::Kind;
using Formulas = std::map<std::uint32_t, Expr>;

class Above {
 public:
  Above(const Trace& trace, const Comparison& comparison, const Text& text)
      : trace_(trace),
        comparison_(comparison),
        text_(text),
        target_(comparison.suspect().node),
        from_(trace.size()) {
    // The gradients that the target's formula comes from, nearest to the loss first; not what is
    // above one that the person's goes on from.
    std::set<std::uint32_t> given;
    if (const Expr& formula = comparison.suspect().formula)
      visit_parts(formula, [&](const Expr& part) {
        if (part->kind == Kind::gradient) given.insert(part->node);
      });
    std::vector<bool> needed(trace.size());
    needed[target_] = true;
    for (std::uint32_t i = target_; i < trace.size(); ++i) {
      if (!needed[i] || !trace.gradient(i)) continue;
      chain_.push_back(i);
      visit_parts(trace.gradient(i), [&](const Expr& part) {
        if (part->kind != Kind::gradient || part->node >= needed.size() ||
            given.contains(part->node))
          return;
        needed[part->node] = true;
        from_[i].push_back(part->node);
      });
    }
    std::ranges::reverse(chain_);
  }

  std::string shifted_here() const {
    const std::string which = shifted_in(target_, nullptr);
    return which.empty() ? ""
                         : fmt::format("{}; the chain rule gives {}", which,
                                       text_(comparison_.suspect().right));
  }

  // The same in each term of a sum over steps: a factor left out, or a tensor of another name.
  std::string in_every_step() const {
    const Expr& rule = trace_.gradient(target_);
    const Expr opened = without_unnamed_gradients(trace_, rule);
    const std::string found = in_every_step_of(without_unnamed(trace_, rule));
    return found.empty() && opened != rule ? in_every_step_of(without_unnamed(trace_, opened))
                                           : found;
  }
  std::string in_every_step_of(const Expr& formula) const {
    std::map<std::pair<bool, std::string>, std::vector<Expr>> groups;
    visit_parts(formula, [&](const Expr& part) {
      if (const auto name = numbered_name(part))
        groups[{part->kind == Kind::gradient, name->stem}].push_back(part);
    });
    for (const auto& [group, parts] : groups) {
      if (parts.size() < 2) continue;
      const auto said = [&](const char* words, const Expr& other) {
        return fmt::format("{}{}, in every step; the chain rule gives {}",
                           other ? text_(other) + " stands in the place of " + text_(parts[0])
                                 : "the factor " + text_(parts[0]),
                           words, text_(comparison_.suspect().right));
      };
      if (std::string terms = terms_left_out(parts); !terms.empty()) return terms;
      Replacements ones;
      for (const Expr& part : parts) ones[part.get()] = number_expression(1, part->shape);
      if (comparison_.gives(replaced(formula, ones))) return said(" is missing", nullptr);
      Replacements zeros;
      for (const Expr& part : parts) zeros[part.get()] = number_expression(0, part->shape);
      if (!group.first && comparison_.gives(replaced(formula, zeros)))
        return fmt::format("{} is left out, in every step; the chain rule gives {}",
                           text_(parts[0]), text_(comparison_.suspect().right));
      for (const auto& [stem, nodes] : numbered_tensors())
        for (const int by : {0, -1, 1}) {
          if (comparison_.exhausted()) return "";
          if (by == 0 && stem == group.second) continue;
          Replacements others;
          for (const Expr& part : parts)
            if (const auto other = nodes.find(numbered_name(part)->layer + by);
                other != nodes.end() && trace_.node(other->second).shape() == part->shape &&
                (!group.first || (other->second != target_ && trace_.gradient(other->second))))
              others[part.get()] = group.first ? gradient_expression(other->second, part->shape)
                                               : tensor_expression(other->second, part->shape);
          if (others.size() == parts.size() && comparison_.gives(replaced(formula, others)))
            return said("", others.at(parts[0].get()));
        }
    }
    return "";
  }

  // All terms that have one of these tensors.
  std::string terms_left_out(const std::vector<Expr>& parts) const {
    const std::vector<Expr>& terms = terms_at(target_);
    std::vector<std::size_t> with;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      bool has = false;
      visit_parts(terms[k], [&](const Expr& part) {
        has = has || std::ranges::any_of(parts, [&](const Expr& one) {
                return part->kind == one->kind && part->is_symbol() && part->node == one->node;
              });
      });
      if (has) with.push_back(k);
    }
    if (with.size() < 2 || with.size() == terms.size()) return "";
    const Expr rest = sum_without(terms, with);
    if (!rest || !comparison_.gives(rest)) return "";
    return fmt::format(
        "the term {} is missing, and its like in every step; the chain rule gives {}",
        text_(multiplied_out(trace_, terms[with[0]])), text_(comparison_.suspect().right));
  }

  std::string find() {
    if (chain_.size() > most_steps) return "";
    if (std::string found = slopes_everywhere(); !found.empty()) return found;
    if (std::string found = paths_left_out(); !found.empty()) return found;
    if (std::string found = shifted_steps(); !found.empty()) return found;
    return single_steps();
  }

 private:
  static constexpr std::size_t most_steps = 400;

  std::optional<LayerName> numbered_name(const Expr& symbol) const {
    return symbol->is_symbol() ? layer_name(trace_.node(symbol->node).name()) : std::nullopt;
  }
  std::map<std::string, std::map<int, std::uint32_t>> numbered_tensors() const {
    std::map<std::string, std::map<int, std::uint32_t>> tensors;
    for (std::uint32_t i = 0; i < trace_.size(); ++i)
      if (const auto name = layer_name(trace_.node(i).name()); name && trace_.is_tensor(i))
        tensors[name->stem][name->layer] = i;
    return tensors;
  }

  // The target's gradient with other formulas for some of the gradients above it.
  Tensor target_with(const Formulas& changed, std::size_t p) const {
    Environment point = comparison_.point(p);
    std::vector<bool> moved(trace_.size());
    for (const std::uint32_t i : chain_) {
      const auto other = changed.find(i);
      if (other == changed.end() &&
          std::ranges::none_of(from_[i], [&](std::uint32_t j) { return moved[j]; }))
        continue;
      moved[i] = true;
      point.gradients[i] =
          evaluate(other == changed.end() ? trace_.gradient(i) : other->second, point);
      constexpr double of_a_formula = 4e3, of_an_element = 2;
      comparison_.spend(of_a_formula +
                        of_an_element * static_cast<double>(point.gradients[i].numel()));
    }
    return moved[target_] ? point.gradients[target_] : Tensor();
  }
  bool explains(const Formulas& changed) const {
    return !changed.empty() &&
           comparison_.gives([&](std::size_t p) { return target_with(changed, p); });
  }
  std::string at_step(std::uint32_t i, const std::string& mistake) const {
    return fmt::format("the mistake is above, at {}: {}",
                       text_(gradient_expression(i, trace_.node(i).shape())), mistake);
  }

  // φ' left out, or φ in its place, wherever it stands.
  std::string slopes_everywhere() const {
    std::map<std::string_view, Ref<Node>> functions;  // by name, as addresses have no order
    for (const std::uint32_t i : chain_)
      visit_parts(written(i), [&](const Expr& part) {
        if (part->kind == Kind::slope) functions.emplace(part->op()->name(), part->application);
      });
    for (const auto& [name, application] : functions) {
      const Op* op = application->op();
      const std::string called = slope_name(*application);
      Formulas changed;
      std::size_t places = 0;
      const auto with = [&](auto other) {
        changed.clear();
        places = 0;
        for (const std::uint32_t i : chain_) {
          Replacements parts;
          visit_parts(written(i), [&](const Expr& part) {
            if (part->kind != Kind::slope || part->op() != op) return;
            if (Expr instead = other(part)) parts[part.get()] = std::move(instead);
          });
          places += parts.size();
          if (!parts.empty()) changed[i] = replaced(written(i), parts);
        }
        return explains(changed);
      };
      const auto said = [&](const std::string& words) {
        if (places > 1) return words + ", in every step";
        const std::uint32_t at = changed.begin()->first;
        return at == target_ ? words : at_step(at, words);
      };
      for (const WrongSlope& wrong : wrong_slopes())
        if (with([&](const Expr& slope) { return wrong.made(slope, comparison_.point(0)); }))
          return said(wrong.said(called));
      for (const auto& [another, its] : functions)
        if (another != name &&
            with([&](const Expr& slope) { return slope_expression(its, slope->operands[0]); }))
          return said(fmt::format("{} in the place of {}", slope_name(*its), called));
    }
    return "";
  }

  // All terms of one kind of gradient that come from another kind, as those of the next time step.
  std::string paths_left_out() const {
    std::map<std::pair<std::size_t, std::size_t>, Formulas> without;
    std::map<std::pair<std::size_t, std::size_t>, std::pair<std::uint32_t, std::uint32_t>> example;
    for (const std::uint32_t i : chain_) {
      const std::vector<Expr>& terms = terms_at(i);
      std::map<std::size_t, std::vector<std::size_t>> from;  // terms by the kind they come from
      std::map<std::size_t, std::uint32_t> one;
      for (std::size_t k = 0; k < terms.size(); ++k)
        visit_parts(terms[k], [&](const Expr& part) {
          if (part->kind != Kind::gradient) return;
          std::vector<std::size_t>& mine = from[kind_of(part->node)];
          if (mine.empty() || mine.back() != k) mine.push_back(k);
          one.emplace(kind_of(part->node), part->node);
        });
      for (const auto& [kind, mine] : from) {
        if (mine.size() == terms.size()) continue;
        Expr rest = sum_without(terms, mine);
        if (!rest) continue;
        without[{kind_of(i), kind}][i] = std::move(rest);
        example.emplace(std::pair(kind_of(i), kind), std::pair(i, one.at(kind)));
      }
    }
    for (const auto& [kinds, changed] : without)
      if (explains(changed)) {
        const auto [of, from] = example.at(kinds);
        return at_step(of, fmt::format("a path is missing: the term that comes from {}{}",
                                       text_(gradient_expression(from, trace_.node(from).shape())),
                                       changed.size() > 1 ? ", in every step" : ""));
      }
    return "";
  }

  // Tensors or gradients of one kind, of the time step before or behind.
  std::string shifted_steps() const {
    std::map<std::pair<std::size_t, int>, Formulas> everywhere;
    for (const std::uint32_t i : chain_) {
      if (i == target_) continue;
      if (const std::string which = shifted_in(i, &everywhere); !which.empty())
        return at_step(i, which);
    }
    for (const auto& [kind, changed] : everywhere)
      if (changed.size() > 1 && explains(changed))
        return "the index is shifted in every step: tensors of the time step or layer before or "
               "behind stand there";
    return "";
  }
  // What is shifted, if that explains it; others go to `everywhere`.
  std::string shifted_in(std::uint32_t i,
                         std::map<std::pair<std::size_t, int>, Formulas>* everywhere) const {
    const std::vector<Expr>& terms = terms_at(i);
    std::set<std::size_t> kinds;
    visit_parts(trace_.gradient(i), [&](const Expr& part) {
      if (part->is_symbol()) kinds.insert(kind_of(part->node));
    });
    for (const std::size_t kind : kinds)
      for (const int by : {-1, 1})
        // At the end of the steps: as it is, or left out.
        for (const bool left_out : {false, true}) {
          Expr other = left_out ? shifted_terms(terms, kind, by)
                                : shifted(trace_.gradient(i), kind, by, nullptr);
          if (!other) continue;
          if (explains({{i, other}})) {
            std::string which = one_shifted(i, kind, by);
            return which.empty() ? terms_at_the_end(terms, kind, by) : which;
          }
          if (everywhere) (*everywhere)[{kind, by}].try_emplace(i, std::move(other));
        }
    // With the step that comes in at the other end; tensors before gradients.
    std::set<std::size_t> of_gradients;
    visit_parts(trace_.gradient(i), [&](const Expr& part) {
      if (part->kind == Kind::gradient) of_gradients.insert(kind_of(part->node));
    });
    for (const bool gradients : {false, true})
      for (const std::size_t kind : kinds)
        for (const int by : {-1, 1})
          if (of_gradients.contains(kind) == gradients)
            for (const Expr& more : entering(terms, kind, by))
              if (explains({{i, more}})) return one_shifted(i, kind, by);
    return "";
  }
  // Where nothing is shifted, what was left out.
  std::string terms_at_the_end(const std::vector<Expr>& terms, std::size_t kind, int by) const {
    std::string words;
    std::size_t count = 0;
    for (const Expr& term : terms) {
      bool at_end = false;
      shifted(term, kind, by, &at_end);
      if (!at_end) continue;
      words += (count++ == 0 ? "" : " and ") + text_(multiplied_out(trace_, term));
    }
    return count == 1 ? fmt::format("the term {} is missing", words)
                      : fmt::format("the terms {} are missing", words);
  }
  // "" where all of them are at the end of the steps.
  std::string one_shifted(std::uint32_t i, std::size_t kind, int by) const {
    std::string example;
    visit_parts(trace_.gradient(i), [&](const Expr& part) {
      if (!example.empty() || !part->is_symbol() || kind_of(part->node) != kind) return;
      if (const Expr other = neighbour_of(part, by))
        example = fmt::format("{} in the place of {}", text_(other), text_(part));
    });
    if (example.empty()) return "";
    return fmt::format("{} stand there, as {}",
                       numbered_.contains(kind)
                           ? "the index is shifted: tensors of the time step or layer before or "
                             "behind"
                           : "other tensors of the same line of the program",
                       example);
  }
  Expr neighbour_of(const Expr& part, int by) const {
    const std::uint32_t other = neighbour(part->node, by, part->kind == Kind::gradient);
    if (other == Traversal::none) return nullptr;
    return part->kind == Kind::gradient ? gradient_expression(other, part->shape)
                                        : tensor_expression(other, part->shape);
  }
  // The formula with the symbols of a kind `by` steps further; null where none changes. At the end
  // of the steps it stays, and `at_end` says so.
  Expr shifted(const Expr& formula, std::size_t kind, int by, bool* at_end) const {
    Replacements parts;
    visit_parts(formula, [&](const Expr& part) {
      if (!part->is_symbol() || kind_of(part->node) != kind) return;
      Expr other = neighbour_of(part, by);
      if (other)
        parts[part.get()] = std::move(other);
      else if (at_end)
        *at_end = true;
    });
    return parts.empty() ? nullptr : replaced(formula, parts);
  }
  // The shifted terms, and one of them with all that has a number taken a step back: da₁ h₁ before
  // da₂ h₂, where the right formula begins with da₂ h₁.
  std::vector<Expr> entering(const std::vector<Expr>& terms, std::size_t kind, int by) const {
    std::vector<Expr> moved, sums;
    for (const Expr& term : terms) {
      bool at_end = false;
      const Expr other = shifted(term, kind, by, &at_end);
      if (!at_end) moved.push_back(other ? other : term);
    }
    for (std::size_t k = 0, n = moved.size(); k < n; ++k) {
      bool whole = true;
      Replacements back;
      visit_parts(moved[k], [&](const Expr& part) {
        if (!part->is_symbol() || !numbered_.contains(kind_of(part->node))) return;
        Expr other = neighbour_of(part, -by);
        whole = whole && other;
        if (other) back[part.get()] = std::move(other);
      });
      if (!whole || back.empty()) continue;
      moved.push_back(replaced(moved[k], back));
      if (Expr sum = sum_without(moved, {})) sums.push_back(std::move(sum));
      moved.pop_back();
    }
    return sums;
  }
  Expr shifted_terms(const std::vector<Expr>& terms, std::size_t kind, int by) const {
    std::vector<Expr> moved;
    for (const Expr& term : terms) {
      bool at_end = false;
      const Expr other = shifted(term, kind, by, &at_end);
      if (!at_end) moved.push_back(other ? other : term);
    }
    return moved.empty() || moved.size() == terms.size() ? nullptr : sum_without(moved, {});
  }

  // A mistake in the formula of one gradient.
  std::string single_steps() const {
    for (const std::uint32_t i : chain_) {
      if (comparison_.exhausted()) return "";
      if (i == target_ || !trace_.is_named(i)) continue;
      const std::vector<Expr>& terms = terms_at(i);
      for (std::size_t k = 0; k < terms.size(); ++k)
        for (const bool negated : {false, true})
          if (Expr other = sum_without(terms, {k}, negated); other && explains({{i, other}}))
            return at_step(i, fmt::format("the {} {} is {}", negated ? "sign of the term" : "term",
                                          text_(terms[k]), negated ? "wrong" : "missing"));
      std::string found;
      for_each_mutant(trace_, {written(i), i}, comparison_.point(0), [&](const Mutant& mutant) {
        if (comparison_.exhausted()) return true;
        if (mutant.formula->shape != trace_.node(i).shape() || !explains({{i, mutant.formula}}))
          return false;
        found = at_step(i, fmt::format("{}: {} for {}", mutant.mistake, text_(mutant.formula),
                                       text_(written(i))));
        return true;
      });
      if (!found.empty()) return found;
    }
    return "";
  }

  // The simplest way of writing that mutations know.
  const Expr& written(std::uint32_t i) const {
    Expr& mine = written_[i];
    if (!mine) mine = multiplied_out(trace_, trace_.gradient(i));
    return mine;
  }
  const std::vector<Expr>& terms_at(std::uint32_t i) const {
    const auto [known, added] = terms_.try_emplace(i);
    if (added) known->second = terms_of(trace_.gradient(i), comparison_.point(0));
    return known->second;
  }
  // The sum of the terms but these, or with these subtracted.
  Expr sum_without(const std::vector<Expr>& terms, const std::vector<std::size_t>& these,
                   bool negated = false) const {
    return built(comparison_.point(0), [&](Builder& builder) {
      Tensor sum;
      for (std::size_t k = 0; k < terms.size(); ++k) {
        const bool is_one = std::ranges::find(these, k) != these.end();
        if (is_one && !negated) continue;
        const Tensor term = is_one ? -builder.value(terms[k]) : builder.value(terms[k]);
        sum = sum.defined() ? sum + term : term;
      }
      return sum;
    });
  }

  // Results of one line of the program are of one kind: those of a loop over time.
  std::size_t kind_of(std::uint32_t i) const {
    const Node& node = trace_.node(i);
    // Leaves, and results that a program numbers, by their names without the number.
    const auto numbered = layer_name(node.name());
    const std::string key = numbered ? "name " + numbered->stem
                            : node.is_leaf()
                                ? fmt::format("leaf {}", i)
                                : fmt::format("{} {} {}", node.op()->name(),
                                              node.where().file_name(), node.where().line());
    const std::size_t kind = kinds_.try_emplace(key, kinds_.size()).first->second;
    if (numbered) numbered_.insert(kind);
    return kind;
  }
  // The tensor of the same kind and shape `by` steps behind this one.
  std::uint32_t neighbour(std::uint32_t i, int by, bool with_gradient) const {
    const std::size_t kind = kind_of(i);
    for (std::uint32_t j = i; by < 0 ? j-- > 0 : ++j < trace_.size();)
      if (trace_.is_tensor(j) && kind_of(j) == kind &&
          trace_.node(j).shape() == trace_.node(i).shape() &&
          (!with_gradient || (trace_.gradient(j) && trace_.is_named(j))))
        return j;
    return Traversal::none;
  }

  const Trace& trace_;
  const Comparison& comparison_;
  const Text& text_;
  std::uint32_t target_;
  std::vector<std::uint32_t> chain_;
  std::vector<std::vector<std::uint32_t>> from_;  // gradients that each is computed from, by node
  mutable std::map<std::uint32_t, Expr> written_;
  mutable std::map<std::uint32_t, std::vector<Expr>> terms_;
  mutable std::map<std::string, std::size_t> kinds_;
  mutable std::set<std::size_t> numbered_;
};

}  // namespace

std::string shifted_index(const Trace& trace, const Comparison& comparison, const Text& text) {
  if (!comparison.same_shape() || !trace.gradient(comparison.suspect().node)) return "";
  const Above above(trace, comparison, text);
  const std::string shifted = above.shifted_here();
  return shifted.empty() ? above.in_every_step() : shifted;
}

std::string mistake_above(const Trace& trace, const Comparison& comparison, const Text& text) {
  if (!comparison.same_shape() || !trace.gradient(comparison.suspect().node)) return "";
  return Above(trace, comparison, text).find();
}

}  // namespace chainrule::derivation
