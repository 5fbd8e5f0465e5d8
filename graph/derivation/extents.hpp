#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/error.hpp>
#include <chainrule/graph/traversal.hpp>

namespace chainrule::derivation {

class Trace;

/// An axis that has a name, and how many elements there are along it.
struct Extent {
  std::string name;
  std::int64_t count;
};

/// Those of a graph's tensors, each once. Throws ShapeError where two tensors have axes of one name
/// and of different extents; the message begins with `caller`.
std::vector<Extent> extents_of(const Traversal& traversal, const char* caller, const Where& where);

/// Extents, each with its own name, whose product is a number; empty where there are none, or where
/// several would do.
std::vector<Extent> extents_in(double number, const std::vector<Extent>& extents);

}  // namespace chainrule::derivation
