#include <chainrule/nn/layers/activations.hpp>
#include <chainrule/nn/layers/layer_norm.hpp>
#include <chainrule/nn/layers/linear.hpp>
#include <chainrule/nn/layers/sequential.hpp>

// The classes of modules as debug information, in a library that has none. A compiler describes a
// class with virtual functions where its table of them is, and not in the programs that use it; so
// without this gdb knows none of their members. Costs nothing that is loaded when a program runs.

namespace chainrule::nn::detail {

struct Types {
  void (*of)(Module*, Linear*, LayerNorm*, Sequential*, Sigmoid*, Tanh*, ReLU*, Softplus*, Softmax*,
             LogSoftmax*, Flatten*, Identity*);
};
extern const Types gdb_types;
[[gnu::used]] constinit const Types gdb_types{nullptr};

}  // namespace chainrule::nn::detail
