#include <chainrule/nn/layers/sequential.hpp>

#include <fmt/format.h>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/range_hint.hpp>
#include <chainrule/nn/layers/activations.hpp>

namespace chainrule::nn {

namespace {

// What linear() can compute in the place of a module of this class. None for classes derived from
// these, whose forward() may be another.
Activation activation_of(const std::type_info& type) {
  if (type == typeid(Sigmoid)) return Activation::sigmoid;
  if (type == typeid(Tanh)) return Activation::tanh;
  if (type == typeid(ReLU)) return Activation::relu;
  return Activation::none;
}

}  // namespace

Sequential& Sequential::append(std::unique_ptr<Module> module, Where where) {
  if (!module)
    throw ValueError("Sequential: there is no module to append", where,
                     "the pointer is null: was it moved from?");
  chainrule::detail::naming_memory("Sequential", where, [&] {
    if (modules_.size() == modules_.capacity()) {
      steps_.reserve(2 * modules_.size() + 2);
      modules_.reserve(2 * modules_.size() + 2);
    }
    modules_.push_back(child(std::to_string(modules_.size()), std::move(module), where));
    plan_end();
  });
  return *this;
}

// A layer and the activation behind it become one operation. A sigmoid at the end does not: where a
// user takes its logarithm, log() has to see the sigmoid to compute the stable form. So the module
// that was appended last changes at most the two steps before it.
void Sequential::plan_end() {
  std::size_t i = modules_.size() - 1;
  for (int step = 0; step < 2 && !steps_.empty(); ++step) {
    i -= steps_.back().linear ? 2 : 1;
    steps_.pop_back();
  }
  for (; i < modules_.size(); ++i) {
    Step step{modules_[i].get(), nullptr, Activation::none};
    const std::type_info* type = type_of(*step.module);
    const std::type_info* behind = i + 1 < modules_.size() ? type_of(*modules_[i + 1]) : nullptr;
    if (type && behind && *type == typeid(Linear)) {
      const Activation next = activation_of(*behind);
      if (next != Activation::none && (next != Activation::sigmoid || i + 2 < modules_.size())) {
        step.linear = static_cast<Linear*>(step.module);
        step.activation = next;
        ++i;
      }
    }
    steps_.push_back(step);
  }
}

Tensor Sequential::forward(const Tensor& x) {
  return forward_as_call(x, [&] {
    const Where here = where();
    Tensor y = x;
    for (const Step& step : steps_)
      y = step.linear ? step.linear->call_with(y, step.activation, here) : (*step.module)(y, here);
    return y;
  });
}

Module& Sequential::operator[](const Place& place) const {
  check_not_moved(place.where());
  const auto count = static_cast<std::ptrdiff_t>(modules_.size());
  const std::ptrdiff_t at = place.index() < 0 ? place.index() + count : place.index();
  if (at < 0 || at >= count)
    throw IndexError(fmt::format("Sequential: module {} of {}", place.index(), count),
                     place.where(), chainrule::detail::range_hint("modules", count));
  return *modules_[static_cast<std::size_t>(at)];
}

void Sequential::throw_type(const Module& module, const std::type_info& wanted,
                            const Where& where) {
  throw ValueError(fmt::format("Sequential: module {} is {}, not {}", module.path(),
                               module.description(), class_name(wanted)),
                   where, "get<>() names the class of the module at this place");
}

}  // namespace chainrule::nn
