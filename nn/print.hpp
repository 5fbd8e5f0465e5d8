#pragma once

#include <fmt/core.h>

#include <concepts>

#include <chainrule/core/print.hpp>
#include <chainrule/nn/module.hpp>
#include <chainrule/nn/parameter.hpp>

/// Parameters, buffers and modules in fmt's functions: `fmt::print("{}", model)`.

/// As the tensors that they are: `{}`, `{:.6f}` …, see core/print.hpp.
template <std::derived_from<chainrule::nn::State> T>
struct fmt::formatter<T> : fmt::formatter<chainrule::Tensor> {};

/// The tree of Module::to_string(), as `{}`. Errors know no line, as those of print.hpp in core.
template <std::derived_from<chainrule::nn::Module> M>
struct fmt::formatter<M> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const chainrule::nn::Module& module, Context& context) const {
    auto out = context.out();
    for (const char c : module.to_string({})) *out++ = c;
    return out;
  }
};
