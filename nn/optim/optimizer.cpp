#include <chainrule/nn/optim/optimizer.hpp>

#include <fmt/format.h>

#include <cmath>
#include <unordered_set>
#include <utility>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

namespace chainrule::nn {

Optimizer::Optimizer(const char* name, std::vector<Tensor> parameters, double learning_rate,
                     bool allow_missing, const Where& where)
    : name_(name),
      parameters_(std::move(parameters)),
      learning_rate_(learning_rate),
      allow_missing_(allow_missing) {
  if (!(learning_rate > 0 && std::isfinite(learning_rate)))
    throw ValueError(
        fmt::format("{}: the learning rate {} is not positive and finite", name, learning_rate),
        where, "usual are 0.1 … 1e-4; set_learning_rate(0) stands still");
  if (parameters_.empty())
    throw ValueError(fmt::format("{}: there are no parameters to train", name), where,
                     "give model.parameters(); a module's members are registered by child() and "
                     "parameter()");
  chainrule::detail::naming_memory(name, where, [&] {
    check_parameters(where);
    update_counts_.resize(parameters_.size());
  });
}

void Optimizer::check_parameters(const Where& where) const {
  const char* name = name_;
  std::unordered_set<const Node*> seen;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& parameter = parameters_[i];
    if (!parameter.defined())
      throw ValueError(fmt::format("{}: parameter {} is undefined", name, i), where,
                       "a layer without a bias has an undefined one; model.parameters() leaves it "
                       "out");
    const Value& value = *parameter.value_ref();
    if (!parameter.requires_grad() || !parameter.is_leaf())
      throw GradError(
          fmt::format("{}: {} {}", name, describe_parameter(i),
                      parameter.requires_grad() ? "is the result of a recorded operation"
                                                : "does not require gradients"),
          where,
          parameter.requires_grad() ? "give the tensor that it was computed from"
                                    : "call requires_grad_() on it first");
    if (!seen.insert(parameter.node()).second)
      throw ValueError(fmt::format("{}: {} is given twice", name, describe_parameter(i)), where,
                       "parameters() of a module that holds both lists what they share once");
    if (!value.contiguous())
      throw ValueError(
          fmt::format("{}: {} is a view that is not row-major", name, describe_parameter(i)), where,
          "train contiguous(x) instead, made a parameter by requires_grad_()");
    if (value.read_only())
      throw ValueError(
          fmt::format("{}: {} is borrowed memory that is const", name, describe_parameter(i)),
          where, "borrow a span of non-const elements, or copy them with from_span");
  }
}

std::string Optimizer::describe_parameter(std::size_t i) const {
  return fmt::format("parameter {}, {},", i, describe(parameters_[i]));
}

void Optimizer::check_not_moved(const Where& where) const {
  if (parameters_.empty())
    throw ValueError(fmt::format("{}: this optimizer was moved from", name_), where,
                     "use the one that it was moved to");
}

void Optimizer::set_learning_rate(double rate, Where where) {
  check_not_moved(where);
  if (!(rate >= 0 && std::isfinite(rate)))
    throw ValueError(fmt::format("{}: the learning rate {} is negative or not finite", name_, rate),
                     where, "0 stands still");
  learning_rate_ = rate;
}

void Optimizer::check_gradients(const Where& where) const {
  std::size_t missing = 0, first = 0;
  for (std::size_t i = parameters_.size(); i-- > 0;)
    if (!parameters_[i].node()->grad_value() && parameters_[i].node()->grad_rows().empty()) {
      ++missing;
      first = i;
    }
  if (missing == parameters_.size())
    throw GradError(fmt::format("{}: no parameter has a gradient, the first is {}", name_,
                                describe(parameters_[0])),
                    where,
                    "call backward() on the loss after zero_grad() and before step(); are these "
                    "the parameters that the loss was computed from?");
  if (missing > 0 && !allow_missing_)
    throw GradError(
        fmt::format("{}: {} has no gradient{}", name_, describe_parameter(first),
                    missing == 2  ? ", nor has 1 other"
                    : missing > 2 ? fmt::format(", nor have {} others", missing - 1)
                                  : ""),
        where,
        "the loss does not depend on it: is it used in forward, not detached there, nor replaced "
        "through a Tensor&? {.allow_missing = true} leaves such parameters as they are");
}

void Optimizer::check_option(const char* option, double value, bool fits, const char* otherwise,
                             const char* hint, const Where& where) const {
  if (fits && std::isfinite(value)) return;
  throw ValueError(fmt::format("{}: the {} {} is {}", name_, option, value, otherwise), where,
                   hint);
}

// What update i needs beside the parameter and its gradient.
void Optimizer::prepare_step(std::size_t i, std::vector<Ref<Value>>& copies,
                             std::vector<RowGradient>& rows, const Where& where) {
  if (Node& leaf = *parameters_[i].node(); !leaf.grad_rows().empty()) {
    if (takes_rows()) {
      rows.resize(parameters_.size());
      rows[i] = leaf.grad_rows().combined(*parameters_[i].value_ref());
      return;
    }
    leaf.make_grad_dense();
  }
  const Ref<Value>& gradient = parameters_[i].node()->grad_value();
  if (!gradient) return;
  if (!gradient->contiguous()) {
    copies.resize(parameters_.size());
    copies[i] = contiguous(Tensor(gradient), where).value_ref();
  }
  try {
    prepare(i, *parameters_[i].value_ref());
  } catch (const MemoryError&) {
    throw MemoryError(
        fmt::format("{}: no memory for the state of {}", name_, describe_parameter(i)), where,
        "it is as large as the parameter, or several times that; SGD without momentum has none");
  }
}

void Optimizer::step(Where where) {
  check_not_moved(where);
  check_gradients(where);
  const NoGrad guard;
  // First what may fail for want of memory, then what cannot.
  std::vector<Ref<Value>> copies;  // of gradients that are not row-major, which few are
  std::vector<RowGradient> rows;   // of gradients that are rows
  chainrule::detail::naming_memory(name_, where, [&] {
    for (std::size_t i = 0; i < parameters_.size(); ++i) prepare_step(i, copies, rows, where);
  });
  ++step_count_;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Ref<Value>& gradient = parameters_[i].node()->grad_value();
    const bool by_rows = i < rows.size() && rows[i].index;
    if (!gradient && !by_rows) continue;
    ++update_counts_[i];
    Value& value = *parameters_[i].value_ref();
    if (by_rows)
      update_rows(i, value, rows[i]);
    else
      update(i, value, gradient->contiguous() ? *gradient : *copies[i]);
    value.bump_version();
  }
}

void Optimizer::update_rows(std::size_t, Value&, const RowGradient&) {}

void Optimizer::zero_grad(Where where) {
  check_not_moved(where);
  for (Tensor& parameter : parameters_) parameter.zero_grad();
}

}  // namespace chainrule::nn
