#include <chainrule/graph/derivation/derive.hpp>

#include <fmt/format.h>

#include <set>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/derivation/derivation_of.hpp>
#include <chainrule/graph/derivation/index_formula.hpp>
#include <chainrule/graph/derivation/layers.hpp>
#include <chainrule/graph/derivation/markup.hpp>
#include <chainrule/graph/derivation/modules.hpp>
#include <chainrule/graph/derivation/naming.hpp>

namespace chainrule {

using derivation::Chain;
using derivation::Expr;

namespace {

// The labels with a name of which a constant has a 1 in the place of each; else none.
std::uint32_t labels_of(const derivation::Expression& constant, const derivation::Trace& trace) {
  const Shape& shape = constant.shape;
  if (constant.kind != derivation::Expression::Kind::constant || shape.rank() == 0 ||
      shape.numel() == 0 || !is_floating(constant.value.dtype()))
    return Traversal::none;
  const std::int64_t classes = shape[shape.rank() - 1];
  const std::vector<double> mine = constant.value.to_vector<double>();
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    if (node.dtype() != i64 || node.name().empty() ||
        node.shape().numel() * classes != shape.numel())
      continue;
    const std::vector<std::int64_t> labels = trace.replay().value(i).to_vector<std::int64_t>();
    bool same = true;
    for (std::size_t k = 0; k < mine.size() && same; ++k) {
      const auto n = static_cast<std::size_t>(classes);
      same = mine[k] == (labels[k / n] == static_cast<std::int64_t>(k % n) ? 1 : 0);
    }
    if (same) return i;
  }
  return Traversal::none;
}

}  // namespace

class DerivationBuilder {
 public:
  DerivationBuilder(const Chain& chain, std::span<const Tensor> values)
      : chain_(chain), values_(values), names_(chain.trace()) {}

  Derivation build() {
    // What the last forms need first; what the others need besides is for the full text alone.
    for (const Chain::Link& link : chain_.links()) {
      names_.text(derivation::gradient_expression(link.of, {}));
      names_.text(link.formula());
    }
    const std::set<std::uint32_t> needed = names_.abbreviated();
    const std::size_t needed_data = names_.data().size();

    const derivation::Trace& trace = chain_.trace();
    const std::vector<std::string> modules = derivation::modules_of(trace.traversal());
    Derivation result;
    for (const Chain::Link& link : chain_.with_asides()) {
      Derivation::Step step{
          in_all_formats(derivation::gradient_expression(link.of, {})),
          names_.tensor(link.of),
          trace.node(link.of).shape(),
          {},
          values_[link.of],
          modules[link.of],
          in_layer(link.of, derivation::gradient_expression(link.of, {}), link.formula()),
          link.aside};
      for (const derivation::Stage& form : link.forms)
        // Forms may differ in what is not written, such as where an expression is broadcast.
        if (Derivation::Written formula = in_all_formats(form.expression);
            step.forms.empty() || step.forms.back().formula.text != formula.text)
          step.forms.push_back({std::move(formula), in_words(form.reasons), {}});
      result.steps_.push_back(std::move(step));
    }
    const std::set<std::uint32_t> in_formulas = names_.abbreviated();
    const std::size_t in_formulas_data = names_.data().size();
    add_elements(result, true);
    const std::set<std::uint32_t> needed_by_element = names_.abbreviated();
    const std::size_t needed_data_by_element = names_.data().size();
    add_elements(result, false);
    for (const std::uint32_t i : names_.abbreviated()) {
      const Expr tensor = derivation::tensor_expression(i, trace.node(i).shape());
      const Expr formula = trace.forward(i);
      result.definitions_.push_back(
          {name_in_all_formats(names_.tensor(i)), definition_in_all_formats(formula),
           !needed.contains(i) && (in_formulas.contains(i) || !needed_by_element.contains(i)),
           by_element(tensor, names_.inlined(formula)), !in_formulas.contains(i),
           in_layer(i, tensor, formula)});
      if (auto& in_layer = result.definitions_.back().in_layer)
        in_layer->formula = definition_in_all_formats(formula, {{in_layer->k}});
      add_elements(result.definitions_.back().in_layer, tensor, formula);
    }
    for (std::size_t k = 0; k < names_.data().size(); ++k) {
      const Expr data = names_.data()[k];
      const bool parameter = data->kind == derivation::Expression::Kind::tensor &&
                             trace.node(data->node).requires_grad();
      const bool mask = data->value.defined() && data->value.dtype() == boolean;
      const std::uint32_t labels = labels_of(*data, trace);
      const std::string what =
          labels != Traversal::none
              ? fmt::format("one_hot({})", names_.tensor(labels))
              : fmt::format("{} {}{}",
                            parameter ? "parameter"
                            : mask    ? "mask"
                                      : "data",
                            to_string(data->shape), names_.in_the_program(*data));
      const Derivation::Written words{what, "\\text{" + derivation::in_latex_text(what) + "}",
                                      "<mtext>" + derivation::in_markup(what) + "</mtext>"};
      const Derivation::Written name = name_in_all_formats(names_.symbol(*data));
      result.definitions_.push_back(
          {name,
           words,
           k >= needed_data && (k < in_formulas_data || k >= needed_data_by_element),
           {name, words},
           k >= in_formulas_data});
    }
    return result;
  }

 private:
  std::string in_words(const std::vector<derivation::Reason>& reasons) {
    std::string text;
    for (const derivation::Reason& reason : reasons) {
      text += text.empty() ? "" : ", ";
      if (reason.gradient == Traversal::none)
        text += reason.words;
      else
        text += "the formula of " + derivation::symbol_text(names_.tensor(reason.gradient),
                                                            derivation::Format::unicode,
                                                            chain_.trace().derivative());
    }
    return text;
  }

  // What is said of node i, in terms of the number that its name has.
  std::optional<Derivation::InLayer> in_layer(std::uint32_t i, const Expr& left,
                                              const Expr& formula) {
    const std::optional<int> k = derivation::layer_of(names_.tensor(i));
    if (!k) return std::nullopt;
    Derivation::InLayer in_layer{
        *k, in_all_formats(left, {{*k}}), in_all_formats(formula, {{*k}}), {}, {}};
    if (in_layer.formula.text.find('[') != std::string::npos)
      in_layer.with_positions =
          in_all_formats(formula, derivation::InLayer{.k = *k, .positions = true});
    return in_layer;
  }

  // The same formulas for one element, which may need more abbreviations: those of operands that
  // an operation is not written with. The last form of each step that is always shown, or all
  // others.
  void add_elements(Derivation& derivation, bool last) {
    for (std::size_t k = 0; k < derivation.steps_.size(); ++k) {
      const Chain::Link& link = chain_.with_asides()[k];
      Derivation::Step& step = derivation.steps_[k];
      const Expr left =
          derivation::gradient_expression(link.of, chain_.trace().node(link.of).shape());
      std::size_t next = 0;
      for (const derivation::Stage& form : link.forms)
        if (next < step.forms.size() &&
            names_.text(form.expression) == step.forms[next].formula.text) {
          if (last == (!link.aside && next + 1 == step.forms.size()))
            step.forms[next].by_element = by_element(left, names_.inlined(form.expression));
          ++next;
        }
      if (last != link.aside) add_elements(step.in_layer, left, link.formula());
    }
  }
  void add_elements(std::optional<Derivation::InLayer>& in_layer, const Expr& left,
                    const Expr& formula) {
    if (!in_layer) return;
    const auto name = [&](const derivation::Expression& symbol) {
      return derivation::name_in_layer(names_.symbol(symbol), in_layer->k);
    };
    in_layer->by_element = by_element(left, names_.inlined(formula), name, "k");
  }

  Derivation::ByElement by_element(const Expr& left, const Expr& formula) {
    return by_element(left, formula, names_.names());
  }
  Derivation::ByElement by_element(const Expr& left, const Expr& formula,
                                   const derivation::Names& names, std::string_view taken = {}) {
    using derivation::Format;
    const derivation::Trace& trace = chain_.trace();
    const auto equation = derivation::index_equation(left, formula, trace.environment());
    const auto format = [&](Format f) {
      return derivation::text_of(equation, names, f, trace.derivative(), taken);
    };
    auto text = format(Format::unicode), latex = format(Format::latex),
         mathml = format(Format::mathml);
    return {{std::move(text.first), std::move(latex.first), std::move(mathml.first)},
            {std::move(text.second), std::move(latex.second), std::move(mathml.second)}};
  }

  Derivation::Written in_all_formats(const Expr& expression,
                                     const std::optional<derivation::InLayer>& layer = {}) {
    using derivation::Format;
    return {names_.text(expression, Format::unicode, layer),
            names_.text(expression, Format::latex, layer),
            names_.text(expression, Format::mathml, layer)};
  }

  Derivation::Written definition_in_all_formats(
      const Expr& formula, const std::optional<derivation::InLayer>& layer = {}) {
    using derivation::Format;
    return {names_.definition(formula, Format::unicode, layer),
            names_.definition(formula, Format::latex, layer),
            names_.definition(formula, Format::mathml, layer)};
  }

  static Derivation::Written name_in_all_formats(const std::string& name) {
    using derivation::Format;
    return {derivation::symbol_text(name, Format::unicode),
            derivation::symbol_text(name, Format::latex),
            derivation::symbol_text(name, Format::mathml)};
  }

  const Chain& chain_;
  std::span<const Tensor> values_;  // of the gradients, by node
  derivation::Naming names_;
};

Derivation derivation::derivation_of(const Chain& chain, std::span<const Tensor> values) {
  return DerivationBuilder(chain, values).build();
}

namespace {

Derivation derivation_of(const Chain& chain) {
  return derivation::derivation_of(chain, chain.trace().environment().gradients);
}

}  // namespace

Derivation derive(const Tensor& loss, Where where) {
  return detail::naming_all_memory("derive", where,
                                   [&] { return derivation_of(Chain(loss, "derive", where)); });
}

Derivation derive(const Tensor& loss, std::span<const Tensor> inputs, Where where) {
  return detail::naming_all_memory(
      "derive", where, [&] { return derivation_of(Chain(loss, inputs, "derive", where)); });
}

Derivation derive(const Tensor& loss, std::initializer_list<Tensor> inputs, Where where) {
  return derive(loss, std::span(inputs.begin(), inputs.size()), where);
}

}  // namespace chainrule
