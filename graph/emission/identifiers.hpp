#pragma once

#include <set>
#include <string>
#include <string_view>

namespace chainrule::emission {

/// Names for C++ from names of tensors: "0.weight" becomes layer_0_weight, "γ" gamma. No two of
/// them are the same, and none means something else already.
class Identifiers {
 public:
  Identifiers();

  /// A new identifier, as near to `name` as can be.
  std::string make(std::string_view name);
  /// Whether `name` may be that of a namespace as it stands.
  static bool is_namespace(std::string_view name);

 private:
  std::set<std::string, std::less<>> taken_;
};

/// The identifiers and numbers that code consists of.
using Words = std::set<std::string, std::less<>>;
Words words_in(std::string_view code);

}  // namespace chainrule::emission
