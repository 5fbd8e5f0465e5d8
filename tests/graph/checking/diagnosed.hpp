#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <chainrule/chainrule.hpp>

/// Tensors for small models, and what a report says of mistakes in them.
namespace chainrule {

inline Tensor normal(const Shape& shape, const char* name, std::uint64_t seed, DType dtype = f64) {
  Generator generator(seed);
  const NoGrad guard;
  return to(randn(shape, generator, f64), dtype).named(name);
}
inline Tensor parameter(const Shape& shape, const char* name, std::uint64_t seed,
                        DType dtype = f64) {
  return normal(shape, name, seed, dtype).requires_grad_();
}

/// What is said of the first formula that is wrong.
inline std::string said(const Tensor& loss, std::initializer_list<Formula> formulas) {
  const DerivationReport report = check_derivation(loss, formulas);
  return report.first_wrong() ? report.first_wrong()->diagnosis : "nothing";
}

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace chainrule
