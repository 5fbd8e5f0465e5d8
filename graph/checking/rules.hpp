#pragma once

#include <string>

#include <chainrule/graph/derivation/trace.hpp>

namespace chainrule::derivation {

/// Of the operations between node i and the loss the one nearest to the loss whose gradient rule
/// disagrees with differences of the operation itself at a point: "scale at my_model.cpp:41". Empty
/// where none does.
std::string wrong_rule(const Trace& trace, const Environment& point, std::uint32_t i);

/// The same of an operation that disagrees only because its result has no more digits than f32, so
/// that differences in f64 do not find its slope.
std::string rounding_operation(const Trace& trace, const Environment& point, std::uint32_t i);

}  // namespace chainrule::derivation
