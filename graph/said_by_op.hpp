#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <chainrule/core/op.hpp>

/// What the op of an application says of itself there. An Error that it throws names the op and the
/// line of the application, as one of its infer() and evaluate() does.
namespace chainrule::detail {

template <class F>
decltype(auto) said_by(const Node& application, F&& f) {
  return naming_op(application.op()->name(), application.where(), std::forward<F>(f));
}

inline Role role_said(const Node& application) {
  return said_by(application, [&] { return application.op()->role(application.parameters()); });
}

inline EigenForm eigen_said(const Node& application) {
  return said_by(application, [&] { return application.op()->eigen(application.parameters()); });
}

/// The notation of result `output`.
inline std::string notation_said(const Node& application, std::size_t output = 0) {
  const Op& op = *application.op();
  return said_by(application, [&] {
    return application.output_count() > 1 ? op.written_output(application, output)
                                          : op.written(application);
  });
}

/// Result `output` in simpler operations; undefined where the op does not say them.
inline Tensor written_out_said(const Node& application, std::span<const Tensor> inputs,
                               std::size_t output = 0) {
  const Op& op = *application.op();
  return said_by(application, [&] {
    return application.output_count() > 1 ? op.output_written_out(application, inputs, output)
                                          : op.written_out(application, inputs);
  });
}

}  // namespace chainrule::detail
