#include <chainrule/graph/checking/given_formulas.hpp>

#include <fmt/format.h>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/compare.hpp>
#include <chainrule/graph/in_f64.hpp>

namespace chainrule::derivation {

namespace {

[[noreturn]] void throw_wrong(const Formula& formula, const char* problem, const char* hint,
                              const Where& where) {
  throw ValueError(fmt::format("check_derivation: formula {}: {}", formula.name, problem), where,
                   hint);
}

// NaN is NaN, as at a kink.
bool are_same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && largest_difference(numbers(a), numbers(b)) == 0;
}

}  // namespace

std::vector<Formula> with_values(std::span<const Formula> given, const Where& where) {
  const NoGrad guard;
  std::vector<Formula> formulas(given.begin(), given.end());
  for (Formula& formula : formulas) {
    const auto fail = [&](const char* problem, const char* hint) {
      throw_wrong(formula, problem, hint, where);
    };
    if (!formula.function) {
      if (!formula.from.empty())
        fail("it says from what, but has no function", "give both, or the value alone");
      continue;
    }
    if (formula.by_hand.defined())
      fail("it is given twice, as a value and as a function",
           "leave the value undefined: {\"dW\", W, {}, {p, h}, function}");
    if (formula.from.empty())
      fail("its function gets no tensors",
           "name all that it depends on: what it captures keeps the recorded values");
    std::vector<Tensor> at;
    for (const Tensor& tensor : formula.from) {
      if (!tensor.defined())
        fail("a tensor that its function gets is undefined", "name tensors of the graph");
      at.push_back(detail::in_f64(tensor.detach()));
    }
    Tensor again;
    try {
      formula.by_hand = formula.function(at);
      again = formula.function(at);
    } catch (const MemoryError&) {
      throw;
    } catch (Error& error) {
      if (!error.has_context())
        error.set_context(fmt::format("in the function of formula {}", formula.name));
      throw;
    }
    if (formula.by_hand.defined() && again.defined() && !are_same(formula.by_hand, again))
      fail("its function gives other numbers for the same tensors",
           "draw what is random in it anew from the same seed in each call");
  }
  return formulas;
}

std::vector<Tensor> tensors_of(std::span<const Formula> formulas, const CheckOptions& options,
                               const Where& where) {
  if (!(options.tolerance >= 0))
    throw ValueError(fmt::format("check_derivation: the tolerance is {}", options.tolerance), where,
                     "0 for the usual one");
  if (formulas.empty())
    throw ValueError("check_derivation: no formulas", where,
                     "give one for each gradient: {\"dW\", W, matmul(dz, x.T())}");
  std::vector<Tensor> tensors;
  for (const Formula& formula : formulas) {
    const auto fail = [&](const char* problem, const char* hint) {
      throw_wrong(formula, problem, hint, where);
    };
    constexpr const char* undefined =
        "it was default-constructed, moved from, or is the grad() of a tensor that has none";
    if (!formula.of.defined())
      fail("the tensor that it is the gradient for is undefined", undefined);
    if (!formula.by_hand.defined()) fail("its value is undefined", undefined);
    if (!is_floating(formula.by_hand.dtype()))
      throw DTypeError(fmt::format("check_derivation: formula {} is {}", formula.name,
                                   name_of(formula.by_hand.dtype())),
                       where, "a gradient is floating: convert it, to(formula, f64)");
    if (!formula.of.requires_grad())
      throw GradError(fmt::format("check_derivation: formula {}: {} does not require gradients",
                                  formula.name, describe(formula.of)),
                      where, "call requires_grad_() on it before the computation");
    for (const Tensor& earlier : tensors)
      if (earlier.node() == formula.of.node())
        fail("there is one for this tensor already", "check the two one after the other");
    tensors.push_back(formula.of);
  }
  return tensors;
}

}  // namespace chainrule::derivation
