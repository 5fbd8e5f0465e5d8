#include <chainrule/core/eigen_form.hpp>

#include <fmt/format.h>

#include <cmath>

namespace chainrule {

std::string eigen_number(double number) {
  if (std::isnan(number)) return "std::numeric_limits<double>::quiet_NaN()";
  if (std::isinf(number))
    return number < 0 ? "-std::numeric_limits<double>::infinity()"
                      : "std::numeric_limits<double>::infinity()";
  std::string text = fmt::format("{}", number);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace chainrule
