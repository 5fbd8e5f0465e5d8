#include <chainrule/graph/outputs.hpp>

#include <fmt/format.h>

#include <string>

namespace chainrule {

namespace {

// What a message calls output i.
std::string output_text(std::span<const Tensor> outputs, std::size_t i) {
  const std::string text = describe(outputs[i]);
  return outputs.size() == 1 ? text : fmt::format("output {}, {},", i, text);
}

}  // namespace

void detail::check_outputs(std::span<const Tensor> outputs, const char* caller,
                           const Where& where) {
  check_defined(caller, "output", outputs, where);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].requires_grad()) continue;
    throw GradError(
        fmt::format("{}: {} has no graph: nothing that it was computed from requires gradients, or "
                    "recording was off",
                    caller, output_text(outputs, i)),
        where, "call requires_grad_() on the parameters before computing, outside of no_grad");
  }
}

void detail::check_scalars(std::span<const Tensor> outputs, const char* caller,
                           const char* otherwise, const Where& where) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].numel() == 1) continue;
    throw GradError(fmt::format("{}: {} is not a scalar", caller, output_text(outputs, i)), where,
                    fmt::format("reduce it with sum(x) or mean(x){}", otherwise));
  }
}

void detail::check_seeds(std::span<const Tensor> outputs, std::span<const Tensor> seeds,
                         const char* caller, const Where& where) {
  check_defined(caller, "seed", seeds, where);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const Value &of = *outputs[i].value_ref(), &given = *seeds[i].value_ref();
    const auto seed = [&] { return one_of("seed", i, seeds.size()); };
    if (given.dtype() != of.dtype())
      throw DTypeError(
          fmt::format("{}: {} is {}, but {} is {}", caller, seed(), name_of(given.dtype()),
                      output_text(outputs, i), name_of(of.dtype())),
          where, fmt::format("convert it: to(seed, {})", name_of(of.dtype())));
    if (!given.same_shape(of))
      throw ShapeError(fmt::format("{}: {} {} has not the shape of {}", caller, seed(),
                                   to_string(given.shape()), describe(outputs[i])),
                       where,
                       "a seed has one element for each of the output: ones_like(y) adds up "
                       "its gradients");
  }
}

void detail::check_like(std::span<const Tensor> given, std::span<const Tensor> of,
                        const char* caller, const char* what, const char* owner,
                        const Where& where) {
  check_defined(caller, owner, of, where);
  check_defined(caller, what, given, where);
  for (std::size_t i = 0; i < of.size(); ++i) {
    const DType dtype = of[i].dtype(), other = given[i].dtype();
    const auto text = [&](const char* kind, const Tensor& tensor) {
      return of.size() == 1 ? fmt::format("the {} {}", kind, describe(tensor))
                            : fmt::format("{} {}, {},", kind, i, describe(tensor));
    };
    if (other == dtype && !is_floating(dtype))
      throw DTypeError(fmt::format("{}: {} holds {}, and only f32 and f64 have derivatives", caller,
                                   text(owner, of[i]), name_of(dtype)),
                       where, "convert it: to(x, f32)");
    if (other != dtype)
      throw DTypeError(fmt::format("{}: {} is {}, but {} is {}", caller, one_of(what, i, of.size()),
                                   name_of(other), text(owner, of[i]), name_of(dtype)),
                       where, "both must be f32, or both f64");
    if (!given[i].value_ref()->same_shape(*of[i].value_ref()))
      throw ShapeError(fmt::format("{}: {} has not the shape of the {} {}", caller,
                                   text(what, given[i]), owner, describe(of[i])),
                       where, fmt::format("a {} has one element for each of the {}", what, owner));
  }
}

}  // namespace chainrule
