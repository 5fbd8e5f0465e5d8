#include <chainrule/graph/derivation/derive_forward.hpp>

#include <fmt/format.h>

#include <vector>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/derivation/derivation_of.hpp>
#include <chainrule/graph/outputs.hpp>

namespace chainrule {

using derivation::Chain;

namespace {

constexpr const char* name = "derive_forward";

void check_inputs(std::span<const Tensor> inputs, const Where& where) {
  if (inputs.empty())
    throw ValueError(fmt::format("{}: there are no inputs", name), where,
                     "without a list of them all parameters are inputs");
}

void check_tangents(std::span<const Tensor> inputs, std::span<const Tensor> tangents,
                    const Where& where) {
  if (inputs.size() != tangents.size())
    throw ValueError(
        fmt::format("{}: {} tangents for {} inputs", name, tangents.size(), inputs.size()), where,
        "give one for each input, of its shape");
  detail::check_like(tangents, inputs, name, "tangent", "input", where);
}

}  // namespace

Derivation derive_forward(const Tensor& output, Where where) {
  return detail::naming_all_memory(name, where, [&] {
    const Chain chain(output, {.inputs = {}}, name, where);
    return derivation::derivation_of(chain, std::vector<Tensor>(chain.trace().size()));
  });
}

Derivation derive_forward(const Tensor& output, std::span<const Tensor> inputs, Where where) {
  return detail::naming_all_memory(name, where, [&] {
    check_inputs(inputs, where);
    const Chain chain(output, {.inputs = inputs}, name, where);
    return derivation::derivation_of(chain, std::vector<Tensor>(chain.trace().size()));
  });
}

Derivation derive_forward(const Tensor& output, std::initializer_list<Tensor> inputs, Where where) {
  return derive_forward(output, std::span(inputs.begin(), inputs.size()), where);
}

Derivation derive_forward(const Tensor& output, std::span<const Tensor> inputs,
                          std::span<const Tensor> tangents, Where where) {
  return detail::naming_all_memory(name, where, [&] {
    check_inputs(inputs, where);
    check_tangents(inputs, tangents, where);
    const Chain chain(output, {.inputs = inputs}, name, where);
    return derivation::derivation_of(chain, chain.trace().pushed(inputs, tangents).gradients);
  });
}

Derivation derive_forward(const Tensor& output, std::initializer_list<Tensor> inputs,
                          std::initializer_list<Tensor> tangents, Where where) {
  return derive_forward(output, std::span(inputs.begin(), inputs.size()),
                        std::span(tangents.begin(), tangents.size()), where);
}

}  // namespace chainrule
