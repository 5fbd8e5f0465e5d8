// Elementwise operations, softmax, layer normalisation and reductions of 1,000 to 10,000,000
// elements, without recording and forward + backward, against libtorch.

#include <chainrule/bench/peers/compare.hpp>
#include <chainrule/bench/workloads/functions.hpp>

namespace {

using chainrule::Tensor;
using namespace workloads;

struct Sides {
  int rows, columns;
};

void measure(bench::Report& report, const Function& function, const Sides& sides,
             std::mt19937& random) {
  const auto [rows, columns] = sides;
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> numbers;
  std::vector<Tensor> operands;
  for (int i = 0; i < function.matrices + function.lines; ++i) {
    const bool matrix = i < function.matrices;
    numbers.emplace_back(static_cast<std::size_t>(matrix ? rows : 1) *
                         static_cast<std::size_t>(columns));
    for (float& each : numbers.back()) each = normal(random);
    const chainrule::Shape shape =
        matrix ? chainrule::Shape{rows, columns} : chainrule::Shape{columns};
    operands.push_back(chainrule::from_vector(numbers.back(), shape).requires_grad_());
  }
  const Tensor y = function.apply(operands).detach();
  std::vector<float> seed_numbers(static_cast<std::size_t>(y.numel()));
  for (float& each : seed_numbers) each = normal(random);
  const Tensor seed = chainrule::from_vector(seed_numbers, y.shape());
  const auto backward = [&] {
    for (Tensor& each : operands) each.zero_grad();
    chainrule::backward(function.apply(operands), seed);
  };

  const peers::Program peer = peers::function(function.name, rows, columns, numbers, seed_numbers);
  const std::string label =
      function.name + ", " + std::to_string(rows) + "x" + std::to_string(columns);
  peer.backward();
  backward();
  double worst = difference(peer.result(), y.to_vector<float>(), label);
  const auto want = peer.gradients();
  for (std::size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, difference(want[i], operands[i].grad().to_vector<float>(), label));
  // Sums of up to 10,000 f32 numbers in another order, and other approximations of exp and tanh.
  bench::require(worst <= 1e-4, label + ": results or gradients differ");
  const peers::How how{.seconds = 3e-3};
  peers::compare(
      report, label + ", without recording", peer.forward,
      [&] {
        const chainrule::NoGrad guard;
        bench::keep(function.apply(operands));
      },
      how);
  peers::compare(report, label + ", forward + backward", peer.backward, backward, how);
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (const Function& function : elementwise())
    for (const Sides& sides :
         {Sides{10, 100}, {100, 100}, {100, 1'000}, {1'000, 1'000}, {1'000, 10'000}})
      measure(report, function, sides, random);
  for (const Function& function : along_lines())
    for (const Sides& sides : {Sides{10, 100}, {100, 1'000}, {1'000, 10'000}})
      measure(report, function, sides, random);
  peers::finish(report, "functions");
}
