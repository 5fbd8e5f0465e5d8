#pragma once

#include <span>
#include <string>

#include <chainrule/core/tensor.hpp>

namespace chainrule {

/// The recorded graph of `output` in Graphviz's DOT language, with ops, names, shapes and dtypes;
/// parameters, named constants and results told apart. Draw it with `dot -Tsvg`. Throws ValueError
/// for an undefined tensor; a tensor without a graph gives a single node. (The inner product of
/// vectors is dot() in ops/linalg/matmul.hpp.)
std::string to_dot(const Tensor& output, Where where = Where::current());
std::string to_dot(std::span<const Tensor> outputs, Where where = Where::current());

}  // namespace chainrule
