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

/// A function of operands of these shapes and this dtype.
struct Awkward {
  std::string name;
  chainrule::DType dtype;
  std::vector<chainrule::Shape> shapes;
  chainrule::Tensor (*apply)(const std::vector<chainrule::Tensor>& operands);
  /// Whether the operands are greater than 0.
  bool positive = false;
};

/// Shapes that are harder than large matrices (axes of few elements, of stride 0, of many rows),
/// and functions that the processor has no instruction for.
const std::vector<Awkward>& awkward();

}  // namespace workloads
