#pragma once

#include <initializer_list>
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
  /// Whether a function may be called so.
  static bool is_function(std::string_view name);
  /// Whether it is a keyword, or what the emitted files call something themselves.
  static bool is_of_the_files(std::string_view name);

 private:
  std::set<std::string, std::less<>> taken_;
};

/// Whether headers of C's library may call something so outside of std: no namespace can be.
bool is_name_of_c(std::string_view name);

bool starts_with_one_of(std::string_view name, std::initializer_list<std::string_view> beginnings);

/// Letters, digits and underscores that do not begin with a digit.
bool is_identifier(std::string_view text);

/// The identifiers and numbers that code consists of.
using Words = std::set<std::string, std::less<>>;
Words words_in(std::string_view code);

}  // namespace chainrule::emission
