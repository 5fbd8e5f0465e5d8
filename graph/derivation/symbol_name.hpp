#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// The parts of a tensor's name, as formulas write them.
namespace chainrule::derivation {

/// The subscript at the end of a name, in plain characters: "k+1" of "Wₖ₊₁". `length`: of the rest.
std::string subscript(std::string_view name, std::size_t& length);

/// Plain characters in subscripts, where there are such: "₂ₙ₊₁" of "2n+1".
std::optional<std::string> lowered(std::string_view plain);

/// "W3", "W₃" and "W_3" are W and 3, "zn3" zn and 3, "Wₖ₊₁" W and k+1; other names are one.
std::pair<std::string_view, std::string> split(std::string_view name);

/// A name without regard to how its index is written: "W_3" of "W3", of "W₃" and of "W_3".
std::string plain(std::string_view name);

/// Whether a name were read as a formula: "x - y", "a/b", but not "h[t-1]".
bool is_formula(std::string_view name);

/// With a dot above: the tangent of W3 is Ẇ3, that of a word "loss˙".
std::string dotted(std::string_view name);

}  // namespace chainrule::derivation
