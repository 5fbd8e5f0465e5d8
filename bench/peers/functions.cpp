// Elementwise operations, softmax, layer normalisation and reductions of 1,000 to 10,000,000
// elements, without recording and forward + backward, against libtorch.

#include <chainrule/bench/peers/compare.hpp>
#include <chainrule/bench/workloads/functions.hpp>

namespace {

using chainrule::Tensor;
using namespace workloads;

using Apply = Tensor (*)(const std::vector<Tensor>& operands);

struct Case {
  std::string name, label;
  chainrule::DType dtype;
  std::vector<chainrule::Shape> shapes;
  Apply apply;
  bool positive = false;
};

std::vector<float> draw(std::int64_t count, bool positive, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (float& each : numbers) each = positive ? std::exp(normal(random) / 2) : normal(random);
  return numbers;
}

std::vector<float> floats(const Tensor& x) { return to(x, chainrule::f32).to_vector<float>(); }

void measure(bench::Report& report, const Case& c, std::mt19937& random) {
  std::vector<std::vector<float>> numbers;
  std::vector<std::vector<std::int64_t>> shapes;
  std::vector<Tensor> operands;
  for (const chainrule::Shape& shape : c.shapes) {
    numbers.push_back(draw(shape.numel(), c.positive, random));
    shapes.emplace_back(shape.begin(), shape.end());
    operands.push_back(to(chainrule::from_vector(numbers.back(), shape), c.dtype).requires_grad_());
  }
  const Tensor y = c.apply(operands).detach();
  const std::vector<float> seed_numbers = draw(y.numel(), false, random);
  const Tensor seed = to(chainrule::from_vector(seed_numbers, y.shape()), c.dtype);
  const auto backward = [&] {
    for (Tensor& each : operands) each.zero_grad();
    chainrule::backward(c.apply(operands), seed);
  };

  const peers::Program peer =
      peers::function(c.name, shapes, c.dtype == chainrule::f64, numbers, seed_numbers);
  peer.backward();
  backward();
  double worst = difference(peer.result(), floats(y), c.label);
  const auto want = peer.gradients();
  for (std::size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, difference(want[i], floats(operands[i].grad()), c.label));
  // Sums of up to 10,000 f32 numbers in another order, and other approximations of exp and tanh.
  bench::require(worst <= 1e-4, c.label + ": results or gradients differ");
  const peers::How how{.seconds = 3e-3};
  peers::compare(
      report, c.label + ", without recording", peer.forward,
      [&] {
        const chainrule::NoGrad guard;
        bench::keep(c.apply(operands));
      },
      how);
  peers::compare(report, c.label + ", forward + backward", peer.backward, backward, how);
}

// Operands of rows and columns.
void measure(bench::Report& report, const Function& function, int rows, int columns,
             std::mt19937& random) {
  Case c{function.name,
         function.name + ", " + std::to_string(rows) + "x" + std::to_string(columns),
         chainrule::f32,
         {},
         function.apply};
  for (int i = 0; i < function.matrices; ++i) c.shapes.push_back({rows, columns});
  for (int i = 0; i < function.lines; ++i) c.shapes.push_back({columns});
  measure(report, c, random);
}

}  // namespace

int main(int argc, char** argv) {
  peers::prepare();
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  using Sides = std::pair<int, int>;
  for (const Function& function : elementwise())
    for (const auto& [rows, columns] :
         {Sides{10, 100}, {100, 100}, {100, 1'000}, {1'000, 1'000}, {1'000, 10'000}})
      measure(report, function, rows, columns, random);
  for (const Function& function : along_lines())
    for (const auto& [rows, columns] : {Sides{10, 100}, {100, 1'000}, {1'000, 10'000}})
      measure(report, function, rows, columns, random);
  for (const Awkward& each : awkward())
    measure(report,
            {each.name, each.name + ", " + std::string(name_of(each.dtype)), each.dtype,
             each.shapes, each.apply, each.positive},
            random);
  peers::finish(report, "functions");
}
