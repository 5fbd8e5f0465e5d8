#include <chainrule/graph/emission/program.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/attempt.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/emission/helpers.hpp>
#include <chainrule/graph/emission/lower.hpp>
#include <chainrule/ops/elementwise/convert.hpp>

namespace chainrule::emission {

using derivation::Chain;
using derivation::Trace;
using Kind = Expression::Kind;

namespace {

// A result without a name gets a line of its own when its formula has more symbols and operations.
constexpr int largest_inside_another = 12;
// A part that a formula needs twice gets one from this size on.
constexpr int smallest_shared = 3;

bool is_result(const Expression& e, const Trace& trace) {
  return e.kind == Kind::tensor && trace.forward(e.node);
}

// The results that an expression is made of.
std::set<std::uint32_t> results_in(const Expr& expression, const Trace& trace) {
  std::set<std::uint32_t> found;
  visit_parts(expression, [&](const Expr& part) {
    if (is_result(*part, trace)) found.insert(part->node);
  });
  return found;
}

Tensor in_f64(const Tensor& value) { return to(value.detach(), f64); }

Program::Variable variable_of(std::string identifier, std::string called, const Tensor& value) {
  return {std::move(identifier), std::move(called), in_f64(value), value.dtype() == boolean};
}

}  // namespace

Program::Program(const Chain& chain, const Tensor& predicted, const Where& where)
    : chain_(chain), trace_(chain.trace()), names_(trace_) {
  std::uint32_t prediction = Traversal::none;
  if (predicted.defined()) {
    prediction = trace_.find(predicted);
    if (prediction == Traversal::none || !trace_.forward(prediction))
      throw ValueError(fmt::format("emit_cpp: the loss was not computed from {}, which predict() "
                                   "is to give",
                                   describe(predicted)),
                       where, "ask for a result that the loss was computed from");
  }
  find_forward(prediction);
  name_all();
  write_lines(prediction);
  define_functions();
}

// With the same data always the same constant, and the names of data where it has one.
Expr Program::in_terms_of_data(const Expr& expression) {
  derivation::Replacements named;
  visit_parts(expression, [&](const Expr& part) {
    if (part->kind != Kind::constant) return;
    if (Expr data = trace_.in_named_data(part)) {
      named[part.get()] = std::move(data);
      return;
    }
    const auto same = std::ranges::find_if(constants_, [&](const Expr& known) {
      // Two tensors that the program was given may differ another time.
      const Value *a = known->value.value_ref().get(), *b = part->value.value_ref().get();
      if (a != b && given_.contains(a) && given_.contains(b)) return false;
      return known->shape == part->shape &&
             in_f64(known->value).to_vector<double>() == in_f64(part->value).to_vector<double>();
    });
    if (same == constants_.end())
      constants_.push_back(part);
    else
      named[part.get()] = *same;
  });
  return named.empty() ? expression : replaced(expression, named);
}

// Which results get a line, and what stands in it.
void Program::find_forward(std::uint32_t predicted) {
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (trace_.forward(i))
      for (const Expr& operand : trace_.forward(i)->operands)
        if (operand && operand->kind == Kind::constant && operand->value.dtype() == f64)
          given_.insert(operand->value.value_ref().get());
  std::vector<Expr> written(trace_.size());
  std::vector<int> uses(trace_.size());
  std::vector<bool> kept(trace_.size());
  kept[trace_.loss()] = true;
  if (predicted != Traversal::none) kept[predicted] = true;
  for (const Chain::Link& link : chain_.links()) {
    gradients_as_shown_.push_back(in_terms_of_data(link.formula()));
    gradient_formulas_.push_back(in_terms_of_data(lowered(gradients_as_shown_.back(), trace_)));
    for (const std::uint32_t i : results_in(gradient_formulas_.back(), trace_)) kept[i] = true;
  }
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (trace_.forward(i) && !trace_.node(i).name().empty()) kept[i] = true;
  // What they are made of.
  std::vector<bool> reached(trace_.size());
  for (std::uint32_t i = static_cast<std::uint32_t>(trace_.size()); i-- > 0;) {
    if (!trace_.forward(i) || !(kept[i] || reached[i])) continue;
    written[i] = in_terms_of_data(lowered(trace_.forward(i), trace_));
    for (const std::uint32_t operand : results_in(written[i], trace_)) {
      reached[operand] = true;
      ++uses[operand];
    }
  }
  std::vector<Expr> inside(trace_.size());
  formulas_.resize(trace_.size());
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    if (!written[i]) continue;
    derivation::Replacements parts;
    visit_parts(written[i], [&](const Expr& part) {
      if (is_result(*part, trace_) && inside[part->node]) parts[part.get()] = inside[part->node];
    });
    const Expr formula = parts.empty() ? written[i] : replaced(written[i], parts);
    if (kept[i] || uses[i] > 1 || size_of(formula) > largest_inside_another)
      formulas_[i] = formula;
    else
      inside[i] = formula;
  }
}

void Program::name_all() {
  for (std::uint32_t i = 0; i < trace_.size(); ++i) {
    const Node& node = trace_.node(i);
    if (!trace_.is_tensor(i) || (trace_.forward(i) && !formulas_[i])) continue;
    const bool is_loss = i == trace_.loss() && node.name().empty();
    const std::string called = is_loss ? "loss" : names_.tensor(i);
    tensors_[i] = identifiers_.make(called);
  }
  // Parameters and data in the order in which they are used.
  std::set<std::uint32_t> used;
  const auto add = [&](std::uint32_t leaf) {
    if (!used.insert(leaf).second) return;
    (trace_.node(leaf).requires_grad() ? parameters_ : data_)
        .push_back(variable_of(tensors_[leaf], names_.tensor(leaf), trace_.replay().value(leaf)));
  };
  for (const Expr& formula : formulas_)
    if (formula)
      visit_parts(formula, [&](const Expr& part) {
        if (part->kind == Kind::tensor && !trace_.forward(part->node)) add(part->node);
      });
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (trace_.is_tensor(i) && !trace_.forward(i)) add(i);
  for (const Chain::Link& link : chain_.links()) {
    const std::string of = names_.tensor(link.of);
    const std::string called =
        derivation::symbol_text(of, derivation::Format::unicode, trace_.derivative());
    // dW3, but d_layer_0_weight.
    const auto tensor = tensors_.find(link.of);
    const bool as_called = tensor == tensors_.end() || tensor->second == of;
    gradients_of_[link.of] = identifiers_.make(as_called ? "d" + of : "d_" + tensor->second);
    if (trace_.node(link.of).is_leaf()) {
      gradients_.push_back({gradients_of_[link.of], called,
                            evaluate(trace_.gradient(link.of), trace_.environment())});
      pairs_.push_back({gradients_of_[link.of], tensors_[link.of]});
    }
  }
  const std::uint32_t loss = trace_.loss();
  loss_ = variable_of(tensors_[loss], tensors_[loss], trace_.replay().value(loss));
}

std::string Program::identifier_of(const Expression& symbol) {
  switch (symbol.kind) {
    case Kind::tensor:
      return tensors_.at(symbol.node);
    case Kind::gradient:
      return gradients_of_.at(symbol.node);
    default:
      break;
  }
  // Data that has no name.
  const std::string called = names_.constant(symbol);
  for (const Variable& known : data_)
    if (known.called == called) return known.identifier;
  data_.push_back(variable_of(identifiers_.make(called), called, symbol.value));
  return data_.back().identifier;
}

// Equal parts of the formulas as one, so that it is seen what they share.
std::vector<Expr> Program::with_shared_parts(
    const std::vector<std::pair<Expr, Line>>& formulas) const {
  std::map<std::string, Expr> known;
  std::vector<Expr> result;
  for (const auto& [formula, line] : formulas) {
    derivation::Replacements same;
    const derivation::Keys keys = keys_of(formula);
    visit_parts(formula, [&](const Expr& part) {
      if (part->kind == Kind::number) return;  // of which shape, no key says
      const auto [at, added] = known.try_emplace(keys.at(part.get()), part);
      if (!added && at->second != part) same[part.get()] = at->second;
    });
    result.push_back(same.empty() ? formula : replaced(formula, same));
    // What was rebuilt around them is what later ones have in common with this.
    const derivation::Keys rebuilt = keys_of(result.back());
    visit_parts(result.back(), [&](const Expr& part) { known[rebuilt.at(part.get())] = part; });
  }
  return result;
}

// The lines of formulas, and in front of them lines for the parts that are needed more than once.
std::vector<Program::Line> Program::lines_for(EigenWriter& writer,
                                              const std::vector<std::pair<Expr, Line>>& formulas) {
  std::vector<Line> lines;
  const std::vector<Expr> expressions = with_shared_parts(formulas);
  std::unordered_map<const Expression*, int> uses;
  std::set<const Expression*> counted;
  for (const Expr& expression : expressions) {
    ++uses[expression.get()];
    visit_parts(
        expression,
        [&](const Expr& part) {
          if (!counted.insert(part.get()).second) return;
          for (const Expr& operand : part->operands)
            if (operand) ++uses[operand.get()];
          if (part->kind != Kind::slope) return;
          auto& [slope, forms] = slopes_[slope_function(*part)];
          slope = part;
          forms.insert(part->shape.numel() == 1);
        },
        [&](const Expr& part) { return !counted.contains(part.get()); });
  }
  std::set<const Expression*> done;
  std::map<std::string, std::string> names;  // of parts, by their code
  for (std::size_t i = 0; i < formulas.size(); ++i) {
    visit_parts(
        expressions[i],
        [&](const Expr& part) {
          if (part == expressions[i] || uses[part.get()] < 2) return;
          if (part->kind != Kind::operation || size_of(part) < smallest_shared) return;
          if (is_move(*part) || !done.insert(part.get()).second) return;
          const std::string code = writer.write(part).text;
          const auto [name, added] = names.try_emplace(code);
          if (added) {
            name->second = identifiers_.make(fmt::format("s{}", ++shared_parts_));
            lines.push_back({name->second, part->shape, code, "", false});
          }
          writer.keep_in(part, name->second);
        },
        [&](const Expr& part) { return !done.contains(part.get()); });
    Line line = formulas[i].second;
    line.code = writer.write(expressions[i]).text;
    if (expressions[i]->kind == Kind::operation && !line.identifier.empty() &&
        done.insert(expressions[i].get()).second)
      writer.keep_in(expressions[i], line.identifier);
    lines.push_back(std::move(line));
  }
  // A gradient that was worth a name may after all be written out wherever it was needed.
  Words words;
  for (std::size_t i = lines.size(); i-- > 0;) {
    const Line& line = lines[i];
    if (!line.returned && !line.identifier.empty() && !words.contains(line.identifier)) {
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    words.merge(words_in(line.code));
  }
  return lines;
}

std::vector<Program::Line> Program::lines_for(const std::vector<std::pair<Expr, Line>>& formulas) {
  EigenWriter writer([this](const Expression& symbol) { return identifier_of(symbol); }, helpers_);
  return lines_for(writer, formulas);
}

std::vector<std::uint32_t> Program::behind(std::uint32_t i) const {
  std::set<std::uint32_t> found{i};
  for (std::uint32_t k = i + 1; k-- > 0;)
    if (found.contains(k)) found.merge(results_in(formulas_[k], trace_));
  return {found.begin(), found.end()};
}

void Program::write_lines(std::uint32_t predicted) {
  const auto formula_of = [&](std::uint32_t i) {
    return fmt::format("{} = {}", i == trace_.loss() ? loss_.identifier : names_.tensor(i),
                       names_.text(formulas_[i]));
  };
  const auto line_of = [&](std::uint32_t i, bool returned) {
    return std::pair(formulas_[i],
                     Line{tensors_[i], trace_.node(i).shape(), "", formula_of(i), returned});
  };
  std::vector<std::pair<Expr, Line>> formulas;
  for (std::uint32_t i = 0; i < trace_.size(); ++i)
    if (formulas_[i]) formulas.push_back(line_of(i, true));
  forward_ = lines_for(formulas);
  formulas.clear();
  for (std::size_t k = 0; k < chain_.links().size(); ++k) {
    const std::uint32_t of = chain_.links()[k].of;
    const Node& node = trace_.node(of);
    formulas.push_back(
        {gradient_formulas_[k],
         {gradients_of_[of], node.shape(), "",
          fmt::format("{} = {}",
                      derivation::symbol_text(names_.tensor(of), derivation::Format::unicode,
                                              trace_.derivative()),
                      names_.text(gradients_as_shown_[k])),
          node.is_leaf()}});
  }
  backward_ = lines_for(formulas);
  if (predicted == Traversal::none) return;
  formulas.clear();
  std::set<std::string> needed;
  for (const std::uint32_t i : behind(predicted)) {
    visit_parts(formulas_[i], [&](const Expr& part) {
      if (part->kind == Kind::constant ||
          (part->kind == Kind::tensor && !trace_.forward(part->node)))
        needed.insert(identifier_of(*part));
    });
    formulas.push_back(line_of(i, i == predicted));
  }
  prediction_ = lines_for(formulas);
  std::ranges::copy_if(data_, std::back_inserter(predicts_from_), [&](const Variable& variable) {
    return needed.contains(variable.identifier);
  });
  predicted_ =
      variable_of(tensors_[predicted], names_.tensor(predicted), trace_.replay().value(predicted));
}

// The body of a function of z, as the rule of the op's gradient computes it at `at`; "" where it
// needs tensors that the function does not have.
std::string Program::slope_body(const Expr& slope, const Tensor& at) {
  const Slope formula = slope_formula(*slope, at);
  // Its names are its own: the same ones another time.
  const Identifiers names = identifiers_;
  const int shared_parts = shared_parts_;
  bool of_z_alone = true;
  EigenWriter writer(
      [&](const Expression& symbol) {
        of_z_alone &= symbol.value.value_ref() == at.value_ref();
        return "z";
      },
      helpers_);
  std::string body;
  const std::string type = type_of(at.shape());
  for (const Line& line : lines_for(writer, {{formula.formula, {}}}))
    body += line.identifier.empty()
                ? fmt::format("  return {};\n", line.code)
                : fmt::format("  const {} {} = {};\n", type, line.identifier, line.code);
  identifiers_ = names;
  shared_parts_ = shared_parts;
  return of_z_alone ? body : "";
}

// Numbers at which the rule can be asked: the usual ones, or those of the program where the
// operation is not defined at these.
Tensor Program::places_of(const Expr& slope, const Shape& shape, double first) const {
  constexpr double usual[] = {0.3, 0.6, 0.4, 0.7, 0.5, 0.25, 0.31, 0.62, 0.43, 0.55, 0.2};
  const auto taken = [&](std::span<const double> from) {
    std::vector<double> numbers;
    const auto begin = static_cast<std::size_t>(first * static_cast<double>(from.size()));
    for (std::size_t k = 0; k < static_cast<std::size_t>(shape.numel()); ++k)
      numbers.push_back(from[(begin + k) % from.size()]);
    return from_vector(numbers, shape);
  };
  const Tensor places = taken(usual);
  if (derivation::attempt([&] { return slope_formula(*slope, places); })) return places;
  return taken(derivation::numbers(evaluate(slope->operands[0], trace_.environment())));
}

std::string Program::slope_function_of_doubles(const std::string& name, const Expr& slope) {
  const std::string body = slope_body(slope, places_of(slope, {}, 0));
  // What is another one at another z has numbers in it that the rule computed from z.
  if (body.empty() || body != slope_body(slope, places_of(slope, {}, 0.5)))
    throw ValueError(fmt::format("emit_cpp: the gradient rule of {} computes with numbers that no "
                                 "formula gives, and emitted code would keep",
                                 slope->op()->name()),
                     slope->application->where(),
                     "write the rule in tensor operations on operands, output and gradient");
  return fmt::format("\ninline double {}(double z) {{\n{}}}\n", name, body);
}

std::string Program::slope_function_of_matrices(const std::string& name, const Expr& slope) {
  std::string body = slope_body(slope, places_of(slope, {3, 2}, 0));
  // Code that is the same for two shapes is right for all; else each number has its own.
  if (body.empty() || body != slope_body(slope, places_of(slope, {2, 5}, 0.5)))
    body = fmt::format("  return z.unaryExpr([](double e) {{ return {}(e); }});\n", name);
  return fmt::format("\ninline MatrixXd {}(const MatrixXd& z) {{\n{}}}\n", name, body);
}

// Derivatives of elementwise operations, from the rules of their gradients.
void Program::define_functions() {
  std::string slopes;
  for (const auto& [name, of] : slopes_) {
    const auto& [slope, forms] = of;
    const std::string of_matrices =
        forms.contains(false) ? slope_function_of_matrices(name, slope) : "";
    if (forms.contains(true) || of_matrices.find(name + "(e)") != std::string::npos)
      slopes += slope_function_of_doubles(name, slope);
    slopes += of_matrices;
  }
  for (const auto& [name, definition] : helpers_) functions_ += definition;
  functions_ += slopes;
}

}  // namespace chainrule::emission
