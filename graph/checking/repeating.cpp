#include <chainrule/graph/checking/repeating.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/compare.hpp>

namespace chainrule::derivation {

namespace {

// What is drawn from few numbers may come out the same once.
constexpr int number_of_repetitions = 4;
// What two results may differ by, in units of the largest element.
constexpr double repeats = 1e-9;

struct Different {
  double first, second;
  Shape at;
};

bool differ(const Tensor& first, const Tensor& second, Different& found) {
  if (!first.defined() || !second.defined()) return false;
  const std::vector<double> a = numbers(first), b = numbers(second);
  const double allowed = repeats * largest(a);
  for (std::size_t e = 0; e < a.size() && e < b.size(); ++e)
    if (!(difference(a[e], b[e]) <= allowed)) {
      found = {a[e], b[e], position_of(static_cast<std::int64_t>(e), first.shape())};
      return true;
    }
  return false;
}

[[noreturn]] void fail(const std::string& what, const Different& found, const char* caller,
                       const Where& where) {
  throw ValueError(fmt::format("{}: {} does not repeat: it gave {:.6g} at {}, and then {:.6g} for "
                               "the same operands",
                               caller, what, found.first, to_string(found.at), found.second),
                   where,
                   "give what is random as an operand, or draw it anew from a seed among the op's "
                   "parameters");
}

}  // namespace

void check_repeats(const Trace& trace, const char* caller, const Where& where) {
  const Environment& recorded = trace.environment();
  for (int k = 0; k < number_of_repetitions; ++k) {
    const Environment again = trace.at(trace.replay().from(recorded.tensors));
    Different found;
    for (std::uint32_t i = 0; i < trace.size(); ++i)
      if (differ(recorded.tensors[i], again.tensors[i], found)) {
        const Node& node = trace.node(i);
        const Node& application = trace.forward(i) ? *trace.forward(i)->application : node;
        fail(fmt::format("{} at {}:{}", application.op()->name(), node.where().file_name(),
                         node.where().line()),
             found, caller, where);
      }
    for (const std::uint32_t i : trace.order())
      if (differ(recorded.gradients[i], again.gradients[i], found))
        fail(fmt::format("the gradient of {} by its rules",
                         trace.node(i).name().empty() ? to_string(trace.node(i).shape())
                                                      : std::string(trace.node(i).name())),
             found, caller, where);
  }
}

}  // namespace chainrule::derivation
