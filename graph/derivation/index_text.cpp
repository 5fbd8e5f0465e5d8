#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/index_written.hpp>
#include <chainrule/graph/derivation/number_text.hpp>
#include <chainrule/graph/derivation/style.hpp>

namespace chainrule::derivation {

namespace {

using Kind = IndexTerm::Kind;
using Written = IndexWritten;
using enum IndexWritten::Strength;

// Letters for the axes of the left side, and for those that are summed; of these all have a
// subscript in Unicode.
constexpr std::string_view free_letters = "ijklmnprstuvaoh", summed_letters = "nmprstuvkljiaoh";

// There are not as many letters as it needs.
struct NoLetters {};

// The extent that a reader knows of a letter: that of the shortest axis that it goes along alone,
// or as a part of it, 4j+k. 0 where there is none.
std::int64_t seen_extent(const IndexTerm& term, int letter, const Letters& letters) {
  std::int64_t seen = 0;
  std::vector<const IndexTerm*> to_do{&term};
  while (!to_do.empty()) {
    const IndexTerm& each = *to_do.back();
    to_do.pop_back();
    std::size_t axis = 0;
    if (each.kind == Kind::symbol)
      for (const std::int64_t extent : each.expression->shape) {
        if (extent == 1 || axis == each.at.size()) continue;
        Index index = letters.resolved(each.at[axis++]);
        const auto by_stride = [](const auto& a, const auto& b) { return a.stride > b.stride; };
        std::ranges::sort(index.parts, by_stride);
        if (index.offset != 0 || index.parts.empty() || index.parts.back().stride != 1) continue;
        std::int64_t up_to = extent;
        for (const auto& [part, stride] : index.parts) {
          if (part == letter) seen = seen == 0 ? up_to / stride : std::min(seen, up_to / stride);
          up_to = stride;
        }
      }
    for (const Index& index : each.at)
      if (index.element) to_do.push_back(index.element.get());
    for (const IndexFormula& part : each.parts)
      if (part) to_do.push_back(part.get());
  }
  return seen;
}

class Writer {
 public:
  Writer(const Letters& letters, const Names& names, Format format, Mark derivative,
         std::set<std::string, std::less<>> taken)
      : letters_(letters),
        names_(names),
        format_(format),
        style_(style_of(format)),
        derivative_(derivative),
        taken_(std::move(taken)) {}

  std::string left(const IndexTerm& symbol) {
    for (const Index& index : symbol.at)
      for (const Index::Part& part : letters_.resolved(index).parts)
        name(part.letter, free_letters);
    return write(symbol).text;
  }

  Written write(const IndexTerm& term) {
    switch (term.kind) {
      case Kind::symbol:
        return element(term);
      case Kind::whole:
        return {style_.below(
                    style_.parenthesized(text_of(term.expression, names_, format_, derivative_)),
                    style_.indices(positions(term.at))),
                atom};
      case Kind::number:
        return number(term.number);
      case Kind::position: {
        const Index at = letters_.resolved(term.at[0]);
        return {style_.position(plain(at)), at.parts.size() > 1 || at.offset != 0 ? sum : atom};
      }
      case Kind::sum:
        return total_of(term);
      case Kind::product:
      case Kind::quotient:
      case Kind::total: {
        auto [written, negative] = without_sign(term);
        if (!negative) return written;
        return {style_.literal("−") + written.text, sum, written.open};
      }
      case Kind::square: {
        const Written base = write(*term.parts[0]);
        return {style_.raised(in(base, atom), "²"), atom};
      }
      case Kind::call:
        return call(term);
      default:
        return in_notation(
            term.text, [&](std::size_t k) { return write(*term.parts[k]); }, format_);
    }
  }

 private:
  // The letter of a formula for one of an axis.
  const std::string& name(int letter, std::string_view from) {
    const auto [at, added] = names_of_.try_emplace(letter);
    if (!added) return at->second;
    for (const char c : from)
      if (std::string text(1, c); taken_.insert(text).second) return at->second = text;
    throw NoLetters();
  }
  std::vector<int> named(const std::vector<int>& letters) {
    std::vector<int> added;
    for (const int letter : letters_.resolved(letters))
      if (!names_of_.contains(letter)) {
        name(letter, summed_letters);
        added.push_back(letter);
      }
    return added;
  }
  void forget(const std::vector<int>& letters) {
    for (const int letter : letters) {
      taken_.erase(names_of_.at(letter));
      names_of_.erase(letter);
    }
  }

  // "2n+1", "3-i"
  std::string plain(const Index& at) {
    std::string text;
    const auto add = [&](std::int64_t number, const std::string& letter) {
      const std::int64_t size = std::abs(number);
      text += number < 0 ? "-" : text.empty() ? "" : "+";
      if (size != 1 || letter.empty()) text += std::to_string(size);
      text += letter;
    };
    const bool turned = !at.parts.empty() && at.parts[0].stride < 0;
    if (turned) add(at.offset, "");
    for (const Index::Part& part : at.parts) add(part.stride, name(part.letter, summed_letters));
    if (!turned && (at.offset != 0 || at.parts.empty())) add(at.offset, "");
    return text;
  }
  std::vector<Style::Position> positions(const Indices& at) {
    std::vector<Style::Position> result;
    for (const Index& index : at)
      result.push_back(index.element ? Style::Position{"", write(*index.element).text}
                                     : Style::Position{plain(letters_.resolved(index))});
    return result;
  }
  std::string below(const std::string& base, const std::vector<int>& letters) {
    std::vector<Style::Position> at;
    for (const int letter : letters_.resolved(letters))
      at.push_back({name(letter, summed_letters)});
    return style_.below(base, style_.indices(at));
  }

  Written element(const IndexTerm& term) {
    if (term.expression->kind == Expression::Kind::number)
      return {style_.symbol(term.expression->name), atom};
    const Mark mark =
        term.expression->kind == Expression::Kind::gradient ? derivative_ : Mark::none;
    return {style_.symbol(names_(*term.expression), mark, style_.indices(positions(term.at))),
            atom};
  }

  Written number(double x) const {
    const auto [text, strength, single, negation, open, below] = number_text(x, style_);
    return {text, x < 0 ? sum : strength < Strength::atom ? product : atom, false, true};
  }
  std::string in(const Written& part, Written::Strength need) const {
    return part.strength < need ? style_.parenthesized(part.text) : part.text;
  }

  std::pair<Written, bool> without_sign(const IndexTerm& term) {
    if (term.kind == Kind::quotient) {
      const Written above = write(*term.parts[0]), under = write(*term.parts[1]);
      const bool number = above.number && above.strength >= product;
      return {
          {in(above, product) + style_.literal(" / ") + in(under, atom), product, false, number},
          false};
    }
    if (term.kind == Kind::total) {
      const std::vector<int> added = named(term.letters);
      std::vector<int> letters;
      std::string ranges;
      for (const int letter : letters_.resolved(term.letters)) {
        const std::int64_t extent = letters_.extent(letter);
        if (seen_extent(*term.parts[0], letter, letters_) == extent)
          letters.push_back(letter);
        else
          ranges +=
              style_.sum_over(name(letter, summed_letters)[0], 0, static_cast<int>(extent) - 1);
      }
      const std::string sign =
          letters.empty() ? "" : below(style_.literal("Σ"), letters) + style_.literal(" ");
      const Written body = write(*term.parts[0]);
      std::string text = sign + ranges + in(body, product);
      forget(added);
      return {{std::move(text), product, true}, false};
    }
    if (term.kind != Kind::product) return {write(term), false};
    const FactorText factor = factor_text(std::abs(term.number), style_);
    std::string text = factor.above.empty() ? "" : factor.above + style_.literal(" ");
    // What has no letters stands in front, what is open behind all others.
    std::vector<IndexFormula> parts = term.parts;
    std::ranges::stable_partition(parts, [](const IndexFormula& part) {
      return part->kind == Kind::symbol && part->expression->kind == Expression::Kind::number;
    });
    std::vector<Written> closed, open;
    for (const IndexFormula& part : parts) {
      Written written = write(*part);
      (written.open && open.empty() ? open : closed).push_back(std::move(written));
    }
    bool begins_with_number = !text.empty();
    std::string_view between;
    // A fraction may only end a product, and Σ takes all that follows. No number stands behind
    // another factor.
    const auto add = [&](const Written& part, Written::Strength need) {
      const bool first = text.empty();
      const bool whole = part.strength >= need && (first || !part.number);
      if (first) begins_with_number = whole && part.number;
      text += style_.literal(between) + (whole ? part.text : style_.parenthesized(part.text));
      between = " ";
    };
    for (const Written& part : closed)
      add(part, open.empty() && &part == &closed.back() ? product : atom);
    for (const Written& part : open) add(part, product);
    if (!factor.below.empty()) text += style_.literal(" / ") + factor.below;
    return {{std::move(text), product, !open.empty(), begins_with_number}, term.number < 0};
  }

  Written total_of(const IndexTerm& term) {
    std::string text;
    bool open = false;
    for (std::size_t k = 0; k < term.parts.size(); ++k) {
      auto [part, negative] = without_sign(*term.parts[k]);
      const bool subtracted = negative != term.subtracted[k];
      if (k > 0)
        text += style_.literal(subtracted ? " − " : " + ");
      else if (subtracted)
        text += style_.literal("−");
      text += in(part, product);
      open = part.open;
    }
    return {std::move(text), sum, open};
  }

  Written call(const IndexTerm& term) {
    const std::vector<int> added = named(term.letters);
    std::string text = below(style_.literal(term.text), term.letters);
    text += style_.parenthesized(write(*term.parts[0]).text);
    forget(added);
    return {std::move(text), atom};
  }

  const Letters& letters_;
  const Names& names_;
  Format format_;
  const Style& style_;
  Mark derivative_;
  std::set<std::string, std::less<>> taken_;  // that no further letter may have
  std::map<int, std::string> names_of_;
};

// The names of tensors in a formula.
std::set<std::string, std::less<>> names_in(const IndexEquation& equation, const Names& names) {
  std::set<std::string, std::less<>> result;
  std::vector<const IndexTerm*> to_do{equation.left.get(), equation.right.get()};
  while (!to_do.empty()) {
    const IndexTerm& term = *to_do.back();
    to_do.pop_back();
    if (term.expression)
      visit_parts(term.expression, [&](const Expr& part) {
        if (part->is_symbol() || part->kind == Expression::Kind::constant)
          result.insert(names(*part));
        else if (!part->name.empty())
          result.insert(part->name);
      });
    for (const Index& index : term.at)
      if (index.element) to_do.push_back(index.element.get());
    for (const IndexFormula& part : term.parts)
      if (part) to_do.push_back(part.get());
  }
  return result;
}

}  // namespace

std::pair<std::string, std::string> text_of(const IndexEquation& equation, const Names& names,
                                            Format format, Mark derivative,
                                            std::string_view taken) {
  std::set<std::string, std::less<>> used = names_in(equation, names);
  for (const char letter : taken) used.insert(std::string(1, letter));
  const auto written = [&](std::set<std::string, std::less<>> without, const IndexTerm& right) {
    Writer writer(equation.letters, names, format, derivative, std::move(without));
    std::string left = writer.left(*equation.left);
    return std::pair(std::move(left), writer.write(right).text);
  };
  for (const auto& without : {used, {}}) try {
      return written(without, *equation.right);
    } catch (const NoLetters&) {  // fewer are to be avoided
    }
  return written({}, *equation.whole);
}

}  // namespace chainrule::derivation
