#pragma once

#include <string>
#include <string_view>

#include <chainrule/graph/derivation/notation_reader.hpp>

namespace chainrule::derivation {

/// A number as a person writes it: 0.2, 1 / 6, √2, 1 / √8. What has no such form has six digits.
Written number_text(double number, const Style& style);

/// A number above 0 as what stands in front of a product and what below it, each "" for 1:
/// 2 and 7 of 2 x / 7, "" and √2 of x / √2.
struct FactorText {
  std::string above, below;
};
FactorText factor_text(double number, const Style& style);

/// The number that digits say, whatever the locale; NaN of what are none.
double number_said(std::string_view digits) noexcept;

/// The number that an f32 stands for, where that has a form of number_text(): √8 and 1 / 7, not
/// what is left of them.
double number_meant(float x) noexcept;

/// A number or a scalar in front of x: 2 x, λ (a + b).
Written beside_text(const Written& number, const Written& x, const Style& style);

/// x with a number in front of it, or below: 2 x, x / 32, 2 x / 3, x / √8, −x.
Written scaled_text(double factor, const Written& x, const Style& style);

}  // namespace chainrule::derivation
