#include <chainrule/graph/derivation/index_terms.hpp>

#include <utility>

namespace chainrule::derivation {

namespace {

using Kind = IndexTerm::Kind;

IndexFormula make(IndexTerm term) { return std::make_shared<IndexTerm>(std::move(term)); }

bool is_number(const IndexFormula& term, double number) {
  return term->kind == Kind::number && term->number == number;
}

// A product without the number in front of it.
IndexFormula bare(const IndexTerm& product) {
  return product_term({product.parts.begin(), product.parts.end()});
}

}  // namespace

IndexFormula element_of(const Expr& symbol, const Shape& shape, const Indices& at) {
  Indices shown;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (shape[axis] != 1) shown.push_back(at[static_cast<std::size_t>(axis)]);
  return make({.kind = Kind::symbol, .expression = symbol, .at = std::move(shown)});
}

IndexFormula element_of(const Expr& symbol, const Indices& at) {
  return element_of(symbol, symbol->shape, at);
}

IndexFormula whole_term(const Expr& formula, const Indices& at) {
  IndexTerm term = *element_of(formula, at);
  term.kind = Kind::whole;
  return make(std::move(term));
}

IndexFormula number_term(double number) { return make({.kind = Kind::number, .number = number}); }

IndexFormula sum_term(std::vector<IndexFormula> parts, std::vector<bool> subtracted) {
  IndexTerm sum{.kind = Kind::sum};
  for (std::size_t k = 0; k < parts.size(); ++k) {
    if (is_number(parts[k], 0)) continue;
    if (parts[k]->kind != Kind::sum) {
      sum.parts.push_back(parts[k]);
      sum.subtracted.push_back(subtracted[k]);
      continue;
    }
    for (std::size_t i = 0; i < parts[k]->parts.size(); ++i) {
      sum.parts.push_back(parts[k]->parts[i]);
      sum.subtracted.push_back(parts[k]->subtracted[i] != subtracted[k]);
    }
  }
  if (sum.parts.empty()) return number_term(0);
  if (sum.parts.size() == 1) return product_term({sum.parts[0]}, sum.subtracted[0] ? -1 : 1);
  return make(std::move(sum));
}

IndexFormula product_term(std::vector<IndexFormula> parts, double number) {
  IndexTerm product{.kind = Kind::product, .number = number};
  for (const IndexFormula& part : parts) {
    if (part->kind == Kind::number || part->kind == Kind::product) product.number *= part->number;
    if (part->kind == Kind::product)
      product.parts.insert(product.parts.end(), part->parts.begin(), part->parts.end());
    else if (part->kind != Kind::number)
      product.parts.push_back(part);
  }
  if (product.parts.empty() || product.number == 0) return number_term(product.number);
  if (product.parts.size() == 1 && product.number == 1) return product.parts[0];
  return make(std::move(product));
}

IndexFormula quotient_term(IndexFormula above, IndexFormula below) {
  if (below->kind == Kind::number) return product_term({std::move(above)}, 1 / below->number);
  if (is_number(above, 0)) return above;
  // Numbers stand in front of all of it.
  double number = 1;
  if (above->kind == Kind::product) {
    number = above->number;
    above = bare(*above);
  }
  return product_term(
      {make({.kind = Kind::quotient, .parts = {std::move(above), std::move(below)}})}, number);
}

IndexFormula square_term(IndexFormula of) {
  if (of->kind == Kind::number) return number_term(of->number * of->number);
  return make({.kind = Kind::square, .parts = {std::move(of)}});
}

IndexFormula total_term(std::vector<int> letters, IndexFormula of) {
  if (letters.empty() || is_number(of, 0)) return of;
  if (of->kind == Kind::total) {
    letters.insert(letters.end(), of->letters.begin(), of->letters.end());
    return total_term(std::move(letters), of->parts[0]);
  }
  if (of->kind == Kind::product && of->number != 1)
    return product_term({total_term(std::move(letters), bare(*of))}, of->number);
  return make({.kind = Kind::total, .letters = std::move(letters), .parts = {std::move(of)}});
}

IndexFormula contraction_term(std::vector<int> letters, std::vector<IndexFormula> factors) {
  double number = 1;
  for (IndexFormula& factor : factors) {
    if (factor->kind == Kind::product && factor->parts.size() == 1) {
      number *= factor->number;
      factor = factor->parts[0];
    }
    if (factor->kind != Kind::total) continue;
    letters.insert(letters.end(), factor->letters.begin(), factor->letters.end());
    factor = factor->parts[0];
  }
  return product_term({total_term(std::move(letters), product_term(std::move(factors)))}, number);
}

IndexFormula equal_term(const Index& a, const Index& b) {
  if (a.is_number() && b.is_number()) return number_term(a.offset == b.offset ? 1 : 0);
  const auto position = [](const Index& index) {
    return index.element ? index.element : make({.kind = Kind::position, .at = {index}});
  };
  return make({.kind = Kind::notation, .text = "[{0} = {1}]", .parts = {position(a), position(b)}});
}

}  // namespace chainrule::derivation
