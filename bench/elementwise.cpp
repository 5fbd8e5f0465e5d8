// Elementwise operations and chains of them, without recording, on 1,000 to 10,000,000 contiguous
// f32 elements and one thread, against a memcpy that moves as much memory.

#include <chainrule/core/threads.hpp>

#include <cstring>

#include <chainrule/bench/measure.hpp>
#include <chainrule/bench/workloads/functions.hpp>

namespace {

using namespace workloads;

void measure(bench::Report& report, const Function& function, std::int64_t n) {
  const chainrule::NoGrad guard;
  chainrule::Generator random(20240229);
  std::vector<chainrule::Tensor> operands;
  for (int i = 0; i < function.matrices; ++i) operands.push_back(chainrule::randn({n}, random));
  const std::vector<float> from = chainrule::randn({n}, random).to_vector<float>();
  std::vector<float> to(from.size());
  // A copy reads one element and writes one.
  const int copies = function.streams / 2;
  const auto both = bench::compare(
      11, 4e-3, [&] { bench::keep(function.apply(operands)); },
      [&] {
        for (int i = 0; i < copies; ++i) {
          std::memcpy(to.data(), from.data(), to.size() * sizeof(float));
          bench::keep(to);
        }
      });
  const std::string label = function.name + ", " + std::to_string(n) + " elements";
  report.figure(label + ": chainrule", both.a.median * 1e6, "us");
  report.figure(label + ": memcpy of as much", both.b.median * 1e6, "us");
  // What is small is in the caches, where a copy is faster than any arithmetic.
  report.ratio(label + ": chainrule / memcpy of as much", both.ratio,
               n >= 10'000'000 ? bench::Target(1.05) : bench::Target());
}

}  // namespace

int main(int argc, char** argv) {
  chainrule::set_num_threads(1);
  bench::Report report(argc, argv);
  for (const Function& function : elementwise())
    for (std::int64_t n : {1'000, 10'000, 100'000, 1'000'000, 10'000'000})
      measure(report, function, n);
}
