#pragma once

#include <chainrule/chainrule.hpp>

#include <string>
#include <vector>

/// Functions of a matrix that are measured on their own.
namespace workloads {

struct Function {
  std::string name;
  /// Operands (rows, columns), x first; after them operands (columns).
  int matrices, lines;
  chainrule::Tensor (*apply)(const std::vector<chainrule::Tensor>& operands);
  /// Elementwise functions: how many elements are read and written for each element, when every
  /// operation goes over the memory once.
  int streams = 0;
};

/// Operations on contiguous operands of one shape, and chains of them.
const std::vector<Function>& elementwise();
/// Functions along rows and columns.
const std::vector<Function>& along_lines();

}  // namespace workloads
