#include <chainrule/graph/derive.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/derivation/naming.hpp>
#include <chainrule/graph/derivation/simplify.hpp>
#include <chainrule/graph/derivation/trace.hpp>
#include <chainrule/ops/arithmetic.hpp>

namespace chainrule {

using derivation::Environment;
using derivation::Expr;
using derivation::Expression;
using derivation::Trace;
using Kind = Expression::Kind;

namespace {

constexpr int certifying_points = 2;

// Values near those of the parameters; data stays, as formulas may rest on what it is.
Environment random_point(const Trace& trace, Generator& generator) {
  std::vector<Tensor> leaves(trace.size());
  const NoGrad guard;
  for (std::uint32_t i = 0; i < trace.size(); ++i) {
    const Node& node = trace.node(i);
    if (!node.is_leaf() || !node.requires_grad()) continue;
    const Tensor noise = uniform(-0.5, 0.5, node.shape(), generator, f64);
    leaves[i] = trace.replay().value(i) * (1 + noise) + noise * 0.1;
  }
  return trace.at(trace.replay().from(std::move(leaves)));
}

}  // namespace

class DerivationBuilder {
 public:
  DerivationBuilder(const Tensor& loss, std::span<const Tensor> asked, bool all, const Where& where)
      : trace_(loss, asked, "derive", where), names_(trace_), wanted_(trace_.size(), all) {
    for (const Tensor& tensor : asked) {
      const std::uint32_t i = trace_.find(tensor);
      if (i == Traversal::none || !trace_.gradient(i))
        throw GradError(fmt::format("derive: the loss does not depend on {}", describe(tensor)),
                        where);
      wanted_[i] = true;
    }
  }

  Derivation build() {
    Generator generator(0x5eed);
    for (int k = 0; k < certifying_points; ++k) points_.push_back(random_point(trace_, generator));
    choose();
    // What the last forms need first; what the others need besides is for the full text alone.
    for (const std::uint32_t i : order_)
      if (shown_[i]) names_.text(forms_.at(i).back().expression);
    const std::set<std::uint32_t> needed = names_.abbreviated();
    const std::size_t needed_data = names_.data().size();

    Derivation result;
    for (const std::uint32_t i : order_) {
      if (!shown_[i]) continue;
      Derivation::Step step{in_all_formats(derivation::gradient_expression(i, {})),
                            names_.tensor(i),
                            trace_.node(i).shape(),
                            {}};
      for (const derivation::Form& form : forms_.at(i))
        // Forms may differ in what is not written, such as where an expression is broadcast.
        if (Derivation::Formula formula = in_all_formats(form.expression);
            step.forms.empty() || step.forms.back().formula.text != formula.text)
          step.forms.push_back({std::move(formula), form.reason});
      result.steps_.push_back(std::move(step));
    }
    for (const std::uint32_t i : names_.abbreviated())
      result.definitions_.push_back({in_all_formats(derivation::tensor_expression(i, {})),
                                     in_all_formats(trace_.forward(i)), !needed.contains(i)});
    for (std::size_t k = 0; k < names_.data().size(); ++k) {
      const Expr data = names_.data()[k];
      const std::string what = fmt::format("data {}", to_string(data->shape));
      result.definitions_.push_back({in_all_formats(data),
                                     {what, "\\text{" + what + "}", "<mtext>" + what + "</mtext>"},
                                     k >= needed_data});
    }
    return result;
  }

 private:
  Derivation::Formula in_all_formats(const Expr& expression) {
    using derivation::Format;
    return {names_.text(expression, Format::unicode), names_.text(expression, Format::latex),
            names_.text(expression, Format::mathml)};
  }

  // Which gradients are shown: those that are wanted, as far as the formulas of parameters and of
  // what was asked for need them.
  void choose() {
    order_ = trace_.order();
    shown_.assign(trace_.size(), false);
    std::vector<std::uint32_t> needed;
    for (const std::uint32_t i : order_)
      if (wanted_[i] && trace_.is_named(i) && trace_.node(i).is_leaf()) needed.push_back(i);
    for (std::uint32_t i = 0; i < trace_.size(); ++i)
      if (wanted_[i] && trace_.is_named(i) && trace_.gradient(i) && needed.empty())
        needed.push_back(i);
    while (!needed.empty()) {
      const std::uint32_t i = needed.back();
      needed.pop_back();
      if (shown_[i] || !trace_.gradient(i)) continue;
      shown_[i] = true;
      forms_[i] = derivation::simplified(trace_, i, points_);
      visit_parts(forms_[i].back().expression, [&](const Expr& part) {
        if (part->kind == Kind::gradient) needed.push_back(part->node);
      });
    }
  }

  Trace trace_;
  derivation::Naming names_;
  std::vector<bool> wanted_;
  std::vector<bool> shown_;
  std::vector<std::uint32_t> order_;
  std::vector<Environment> points_;
  std::map<std::uint32_t, std::vector<derivation::Form>> forms_;
};

Derivation derive(const Tensor& loss, Where where) {
  return DerivationBuilder(loss, {}, true, where).build();
}

Derivation derive(const Tensor& loss, std::span<const Tensor> inputs, Where where) {
  return DerivationBuilder(loss, inputs, false, where).build();
}

Derivation derive(const Tensor& loss, std::initializer_list<Tensor> inputs, Where where) {
  return derive(loss, std::span(inputs.begin(), inputs.size()), where);
}

}  // namespace chainrule
