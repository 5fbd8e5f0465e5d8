#include <chainrule/graph/derivation/text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/notation_reader.hpp>
#include <chainrule/graph/derivation/number_text.hpp>
#include <chainrule/graph/derivation/style.hpp>
#include <chainrule/graph/derivation/sum_axes.hpp>
#include <chainrule/graph/derivation/sum_text.hpp>
#include <chainrule/graph/derivation/symbol_name.hpp>

namespace chainrule::derivation {

namespace {

// The vector that stands here as a column or a row; null where it is none.
const Expr* vector_in(const Expr& e) {
  const bool is_line = e->shape.rank() == 2 && (e->shape[0] == 1 || e->shape[1] == 1);
  const bool is_vector = is_line && e->is(Role::Kind::reshape) && e->operands[0]->shape.rank() == 1;
  return is_vector ? &e->operands[0] : nullptr;
}

// 𝟏, 2 𝟏, 𝟏 / 4
Written matrix_of(double number, const Shape& shape, const Style& style) {
  return scaled_text(number, {style.ones(shape)}, style);
}

Written operation_text(const Expression& e, const std::vector<Written>& operands,
                       const Style& style, const std::optional<InLayer>& layer);

// A product of a matrix or a vector with a vector, as books write it: without the axes of extent 1
// that the operation wants.
class VectorProduct {
 public:
  VectorProduct(const WrittenParts& done, const Style& style) : done_(done), style_(style) {}

  /// Nothing where `e` is none.
  std::optional<Written> write(const Expression& e) const {
    const Expr* product = e.operands.empty() ? nullptr : &e.operands[0];
    if (product && e.is(Role::Kind::reshape) && e.shape.rank() <= 1) {
      if (is_without_axes(e, **product)) return done_.at(product->get());
      return to_vector(**product);
    }
    if (e.is(Role::Kind::matrix_product)) return outer(e, e.role());
    if (e.is(Role::Kind::product)) return outer(e, Role(Role::Kind::product));
    if (e.is(Role::Kind::copy)) return repeated(e);
    return std::nullopt;
  }

 private:
  // Σ₁ A with its axis kept, where that is taken away: Σ₁ A.
  static bool is_without_axes(const Expression& e, const Expression& sum) {
    if (!sum.is(Role::Kind::total) && !sum.is(Role::Kind::mean)) return false;
    const Shape& from = sum.operands[0]->shape;
    if (from.rank() != sum.shape.rank()) return false;
    Shape rest;
    for (int axis = 0; axis < from.rank(); ++axis)
      if (from[axis] == sum.shape[axis])
        rest.push_back(from[axis]);
      else if (sum.shape[axis] != 1)
        return false;
    return rest == e.shape;
  }

  // A·v, Aᵀ·v, uᵀ·v, and sums of these
  std::optional<Written> to_vector(const Expression& product, int depth = 0) const {
    constexpr int most_depth = 16;
    const bool is_sum = product.is(Role::Kind::sum) || product.is(Role::Kind::difference);
    if (is_sum || product.is(Role::Kind::negation)) {
      std::vector<Written> terms;
      for (const Expr& term : product.operands) {
        if (depth == most_depth || term->shape != product.shape) return std::nullopt;
        const Expr* vector = vector_in(term);
        std::optional<Written> written =
            vector ? done_.at(vector->get()) : to_vector(*term, depth + 1);
        if (!written) return std::nullopt;
        terms.push_back(std::move(*written));
      }
      return derivation::read(product.written(), terms, style_);
    }
    if (!product.is(Role::Kind::matrix_product)) return std::nullopt;
    const Role role = product.role();
    const Expr &a = product.operands[0], &b = product.operands[1];
    const Expr* row = product.shape[0] == 1 ? vector_in(a) : nullptr;
    const Expr* column = product.shape[1] == 1 ? vector_in(b) : nullptr;
    if (row && column) return read("{0}ᵀ·{1}", *row, *column);
    if (column) return read(role.transposed[0] ? "{0}ᵀ·{1}" : "{0}·{1}", a, *column);
    if (row) return read(role.transposed[1] ? "{0}·{1}" : "{0}ᵀ·{1}", b, *row);
    return std::nullopt;
  }

  // u·vᵀ, also where a column and a row are multiplied element by element
  std::optional<Written> outer(const Expression& e, const Role& role) const {
    const auto column_and_row = [&](std::size_t k) -> std::optional<Written> {
      const Expr &a = e.operands[k], &b = e.operands[1 - k];
      if (e.shape.rank() != 2 || a->shape.rank() != 2 || e.shape[0] == 1 || e.shape[1] == 1)
        return std::nullopt;
      const bool is_column = a->shape[role.transposed[0] ? 0 : 1] == 1;
      const Expr* u = is_column ? vector_in(a) : nullptr;
      const bool is_vector = b->shape.rank() == 1;  // which stands as a row beside a column
      const Expr* v = is_vector ? &b : vector_in(b);
      const bool is_row = is_vector || b->shape[role.transposed[1] ? 1 : 0] == 1;
      if (!u || !v || !is_row) return std::nullopt;
      return read("{0}·{1}ᵀ", *u, *v);
    };
    std::optional<Written> written = column_and_row(0);
    return written || role.is(Role::Kind::matrix_product) ? written : column_and_row(1);
  }

  // A vector in every row or column of a matrix: 𝟏·vᵀ, v·𝟏ᵀ.
  std::optional<Written> repeated(const Expression& e) const {
    const Expr& operand = e.operands[0];
    const Shape& shape = operand->shape;
    if (e.shape.rank() != 2 || e.shape[0] == 1 || e.shape[1] == 1 || shape.numel() == 1)
      return std::nullopt;
    const bool is_column = shape.rank() == 2 && shape[1] == 1;
    const std::optional<Written> v =
        shape.rank() == 1 ? std::optional(done_.at(operand.get())) : in_line(operand);
    if (!v || number_in(*operand)) return std::nullopt;
    const Written ones{style_.ones({e.shape[is_column ? 1 : 0]})};
    return is_column ? derivation::read("{0}·{1}ᵀ", {*v, ones}, style_)
                     : derivation::read("{0}·{1}ᵀ", {ones, *v}, style_);
  }

  // A vector, and what is computed from vectors and scalars, that stands as a column or a row.
  std::optional<Written> in_line(const Expr& e, int depth = 0) const {
    constexpr int most_depth = 16;
    if (const Expr* vector = vector_in(e)) return done_.at(vector->get());
    if (!e->role().elementwise() || depth == most_depth) return std::nullopt;
    std::vector<Written> operands;
    for (const Expr& operand : e->operands) {
      const bool is_scalar = operand && operand->shape.numel() == 1;
      std::optional<Written> written =
          is_scalar ? std::optional(done_.at(operand.get()))
                    : (operand && operand->shape == e->shape ? in_line(operand, depth + 1)
                                                             : std::nullopt);
      if (!written) return std::nullopt;
      operands.push_back(std::move(*written));
    }
    return operation_text(*e, operands, style_, {});
  }

  Written read(std::string_view notation, const Expr& a, const Expr& b) const {
    const auto written = [&](const Expr& factor) {
      const auto known = factor->shape.numel() == 1 ? std::nullopt : number_in(*factor);
      return known ? matrix_of(*known, factor->shape, style_) : done_.at(factor.get());
    };
    return derivation::read(notation, {written(a), written(b)}, style_);
  }

  const WrittenParts& done_;
  const Style& style_;
};

// λ, √d, N C, 1 − λ, λ^3: a scalar with a name, or a little more.
bool is_scalar_symbol(const Expression& e, int depth = 0) {
  if (e.shape.rank() != 0) return false;
  if (e.is_symbol() || e.kind == Expression::Kind::number) return true;
  constexpr int most_depth = 2;
  return depth < most_depth && !e.is(Role::Kind::quotient) &&
         std::ranges::all_of(
             e.operands,
             [&](const Expr& part) { return part && is_scalar_symbol(*part, depth + 1); });
}

std::string notation_of(const Expression& e, const std::optional<InLayer>& layer) {
  if (e.kind == Expression::Kind::slope) return slope_notation(*e.application);
  return layer && layer->positions ? positions_in_layer(e.written(), layer->k, layer->letter)
                                   : e.written();
}

Written operation_text(const Expression& e, const std::vector<Written>& operands,
                       const Style& style, const std::optional<InLayer>& layer) {
  if (const auto known = number_in(e)) return number_text(*known, style);
  // [a > b] is 1 where that is so, else 0; between f32 and f64 a formula has nothing to say.
  if (e.is(Role::Kind::conversion)) {
    const Expression& inside = *e.operands[0];
    if (inside.kind == Expression::Kind::operation &&
        (!inside.op()->differentiable() || inside.application->dtype() == boolean))
      return read("[{0}]", operands, style);
    return operands[0];
  }
  // Over no axis, or to the shape that it has.
  if (e.is(Role::Kind::copy) && e.shape == e.operands[0]->shape) return operands[0];
  if (e.is(Role::Kind::selection)) {
    const auto yes = number_in(*e.operands[1]), no = number_in(*e.operands[2]);
    if (yes == 1.0 && no == 0.0) return read("[{0}]", operands, style);
    if (yes == 0.0 && no == 1.0) return read("(1 − [{0}])", operands, style);
  }
  const bool is_mul = e.is(Role::Kind::product), is_div = e.is(Role::Kind::quotient);
  if (is_mul || is_div) {
    const auto first = number_in(*e.operands[0]), second = number_in(*e.operands[1]);
    if (second) return scaled_text(is_mul ? *second : 1 / *second, operands[0], style);
    if (is_mul && first) return scaled_text(*first, operands[1], style);
    // λ w, x / τ, x / √d
    const auto is_scalar = [&](std::size_t k) { return is_scalar_symbol(*e.operands[k]); };
    if (is_div && is_scalar(1)) return read("{0} / {1}", operands, style);
    for (std::size_t k = 0; is_mul && k < 2; ++k)
      if (is_scalar(k)) return beside_text(operands[k], operands[1 - k], style);
  }
  return read(notation_of(e, layer), operands, style);
}

// The operands of which one number in every element is more than that number: those on either side
// of a ·, as A·𝟏 is not A, and of what is not done element by element, as concat(0 𝟏₂, 3 𝟏₄).
std::vector<std::size_t> whole_constants(const Expression& e) {
  std::vector<std::size_t> result;
  if (e.kind != Expression::Kind::operation) return result;
  const Role role = e.role();
  const bool is_product = role.is(Role::Kind::matrix_product) ||
                          role.is(Role::Kind::outer_product) || role.is(Role::Kind::inner_product);
  const bool is_whole = !e.is_elementwise() && !is_product;
  constexpr std::string_view dot = "·", transposed = "ᵀ";
  const std::string notation = e.written();
  std::string_view before = notation;
  for (const std::size_t k : operands_in(notation)) {
    const std::string mark = fmt::format("{{{}}}", k);
    const std::size_t at = notation.find(mark, notation.size() - before.size());
    std::string_view after = std::string_view(notation).substr(at + mark.size());
    before = after;
    if (after.starts_with(transposed)) after.remove_prefix(transposed.size());
    const bool beside = after.starts_with(dot) || notation.substr(0, at).ends_with(dot);
    const Expr& operand = e.operands[k];
    if ((beside || is_whole) && operand && operand->shape.numel() != 1 && number_in(*operand))
      result.push_back(k);
  }
  return result;
}

// The operands that are a scalar in every element, beside others that have the shape of the result.
std::vector<std::size_t> spread_scalars(const Expression& e) {
  std::vector<std::size_t> scalars;
  if (e.kind != Expression::Kind::operation || !e.is_elementwise()) return scalars;
  bool others = false;
  for (std::size_t k = 0; k < e.operands.size(); ++k) {
    const Expr& operand = e.operands[k];
    if (!operand) return {};
    if (operand->is(Role::Kind::copy) && operand->operands[0]->shape.rank() == 0)
      scalars.push_back(k);
    else
      others |= operand->shape == e.shape;
  }
  return others ? scalars : std::vector<std::size_t>();
}

// reshape[3, 1](Σ₁ A)
Written with_shape(const Written& text, const Shape& shape, const Style& style) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return read(fmt::format("reshape[{}]({{0}})", detail::joined(extents, ", ")), {text}, style);
}

// The parts that the notations of the operations around them show: an op may have operands that it
// is not written with, such as statistics.
std::unordered_set<const Expression*> shown_parts(const Expr& expression) {
  std::unordered_set<const Expression*> shown{expression.get()};
  std::vector<const Expression*> to_do{expression.get()};
  while (!to_do.empty()) {
    const Expression& e = *to_do.back();
    to_do.pop_back();
    const auto show = [&](std::size_t k) {
      if (k < e.operands.size() && e.operands[k] && shown.insert(e.operands[k].get()).second)
        to_do.push_back(e.operands[k].get());
    };
    if (e.kind != Expression::Kind::operation) {
      for (std::size_t k = 0; k < e.operands.size(); ++k) show(k);
      continue;
    }
    for (const std::size_t k : operands_in(e.written())) show(k);
  }
  return shown;
}

// The sums that are not a part of another one.
std::unordered_set<const Expression*> whole_sums(const Expr& expression) {
  const auto is_sum = [](const Expression& e) {
    return e.is(Role::Kind::sum) || e.is(Role::Kind::difference);
  };
  std::unordered_set<const Expression*> sums;
  visit_parts(expression, [&](const Expr& part) {
    if (!is_sum(*part)) return;
    sums.insert(part.get());
    for (const Expr& operand : part->operands)
      if (operand->shape == part->shape) sums.erase(operand.get());
  });
  return sums;
}

}  // namespace

std::string text_of(const Expr& expression, const Names& names, Format format, Mark derivative,
                    const std::optional<InLayer>& layer) {
  return written_of(expression, names, format, derivative, layer).text;
}

std::string definition_of(const Expr& expression, const Names& names, Format format,
                          const std::optional<InLayer>& layer) {
  const Written written = written_of(expression, names, format, Mark::none, layer);
  SumAxes axes;
  visit_parts(expression, [&](const Expr& part) { axes.add(*part); });
  if (!axes.is_unclear(expression)) return written.text;
  return with_shape(written, expression->shape, style_of(format)).text;
}

Written written_of(const Expr& expression, const Names& names, Format format, Mark derivative,
                   const std::optional<InLayer>& layer) {
  const Style& style = style_of(format);
  WrittenParts done;
  const std::unordered_set<const Expression*> shown = shown_parts(expression);
  const std::unordered_set<const Expression*> sums = whole_sums(expression);
  SumAxes axes;
  visit_parts(expression, [&](const Expr& part) {
    using Kind = Expression::Kind;
    axes.add(*part);
    Written written;
    if (!shown.contains(part.get())) {
      done.emplace(part.get(), std::move(written));
      return;
    }
    if (part->kind == Kind::number) {
      written = part->name.empty() ? number_text(part->number, style)
                                   : Written{style.symbol(part->name), Strength::atom, true};
    } else if (part->kind == Kind::operation || part->kind == Kind::slope) {
      std::vector<Written> operands;
      for (const Expr& operand : part->operands)
        operands.push_back(operand ? done.at(operand.get()) : Written{style.symbol("none")});
      for (const std::size_t k : whole_constants(*part))
        operands[k] = matrix_of(*number_in(*part->operands[k]), part->operands[k]->shape, style);
      for (const std::size_t k : spread_scalars(*part))
        operands[k] = done.at(part->operands[k]->operands[0].get());
      for (const std::size_t k : axes.unclear(*part))
        operands[k] = with_shape(operands[k], part->operands[k]->shape, style);
      std::optional<Written> special = VectorProduct(done, style).write(*part);
      if (axes.is_implied(*part)) special = operands[0];
      if (sums.contains(part.get()))
        special = sum_over_steps(*part, done, names, format, derivative);
      const bool is_sum = part->is(Role::Kind::sum) || part->is(Role::Kind::difference);
      if (is_sum && !special && !layer)
        special = sum_with_sign(*part, done, names, format, derivative);
      written = special ? *special : operation_text(*part, operands, style, layer);
    } else {
      const std::string name =
          layer ? name_in_layer(names(*part), layer->k, layer->letter) : names(*part);
      const Mark mark = part->kind == Kind::gradient ? derivative : Mark::none;
      const bool is_letter =
          format != Format::unicode || detail::width_of(name) == 1 || is_formula(name);
      written = {style.symbol(name, mark), Strength::atom, !is_prefix(mark) && is_letter};
    }
    done.emplace(part.get(), std::move(written));
  });
  return done.at(expression.get());
}

}  // namespace chainrule::derivation
