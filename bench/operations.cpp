// Single operations of several sizes, forward and backward, with Google Benchmark: for looking at
// one of them closely (--benchmark_filter=softmax).

#include <benchmark/benchmark.h>

#include <chainrule/chainrule.hpp>

namespace {

using Operation = cr::Tensor (*)(const cr::Tensor& x, const cr::Tensor& w);

struct Named {
  const char* name;
  Operation apply;
};

// x and w are square.
constexpr Named operations[] = {
    {"add", [](const cr::Tensor& x, const cr::Tensor& w) { return x + w; }},
    {"mul", [](const cr::Tensor& x, const cr::Tensor& w) { return x * w; }},
    {"exp", [](const cr::Tensor& x, const cr::Tensor&) { return cr::exp(x); }},
    {"sigmoid", [](const cr::Tensor& x, const cr::Tensor&) { return cr::sigmoid(x); }},
    {"tanh", [](const cr::Tensor& x, const cr::Tensor&) { return cr::tanh(x); }},
    {"softmax", [](const cr::Tensor& x, const cr::Tensor&) { return cr::softmax(x); }},
    {"sum", [](const cr::Tensor& x, const cr::Tensor&) { return cr::sum(x, 0); }},
    {"matmul", [](const cr::Tensor& x, const cr::Tensor& w) { return cr::matmul(x, w); }},
};

void forward(benchmark::State& state, Operation apply) {
  cr::Generator random(1);
  const cr::Tensor x = cr::randn({state.range(0), state.range(0)}, random);
  const cr::Tensor w = cr::randn({state.range(0), state.range(0)}, random);
  for (auto _ : state) benchmark::DoNotOptimize(apply(x, w));
}

void with_backward(benchmark::State& state, Operation apply) {
  cr::Generator random(1);
  const cr::Shape square{state.range(0), state.range(0)};
  const cr::Tensor x = cr::randn(square, random).requires_grad_();
  const cr::Tensor w = cr::randn(square, random).requires_grad_();
  const cr::Tensor seed = cr::randn(apply(x, w).shape(), random);
  for (auto _ : state) {
    const cr::Tensor y = apply(x, w);
    cr::backward(y, seed);
    cr::Tensor(x).zero_grad();
    cr::Tensor(w).zero_grad();
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const Named& each : operations) {
    const std::string name = each.name;
    benchmark::RegisterBenchmark((name + "/forward").c_str(), forward, each.apply)
        ->RangeMultiplier(8)
        ->Range(4, 256);
    benchmark::RegisterBenchmark((name + "/forward+backward").c_str(), with_backward, each.apply)
        ->RangeMultiplier(8)
        ->Range(4, 256);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
