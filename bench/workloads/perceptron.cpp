#include <chainrule/bench/workloads/perceptron.hpp>

#include <algorithm>
#include <cmath>

#include <chainrule/bench/measure.hpp>

namespace workloads {

std::string Network::name() const {
  std::string result;
  for (int size : sizes) result += (result.empty() ? "" : "-") + std::to_string(size);
  return result + (relu ? " relu" : " sigmoid") + (adam ? " Adam" : " SGD");
}

const std::vector<Network>& networks() {
  static const std::vector<Network> all = {
      {{64, 32, 32, 10}, false, false},
      {{784, 128, 128, 10}, false, false},
      {{784, 512, 512, 10}, true, true},
      {{1024, 1024, 1024, 1024, 1000}, true, true},
  };
  return all;
}

Data::Data(const Network& network, int rows, std::mt19937& random)
    : batch(rows), inputs(network.sizes.front()) {
  const std::size_t samples = batches * static_cast<std::size_t>(rows);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<std::int64_t> classes(0, network.sizes.back() - 1);
  x.resize(samples * static_cast<std::size_t>(inputs));
  labels.resize(samples);
  for (float& each : x) each = normal(random);
  for (std::int64_t& each : labels) each = classes(random);
}

Start::Start(const Network& network, std::mt19937& random) {
  for (std::size_t l = 0; l < network.layers(); ++l) {
    const auto inputs = static_cast<std::size_t>(network.sizes[l]);
    const auto units = static_cast<std::size_t>(network.sizes[l + 1]);
    const float bound = 1 / std::sqrt(static_cast<float>(inputs));
    std::uniform_real_distribution<float> uniform(-bound, bound);
    weights.emplace_back(inputs * units);
    biases.emplace_back(units);
    for (float& each : weights.back()) each = uniform(random);
    for (float& each : biases.back()) each = uniform(random);
  }
}

double difference(const std::vector<float>& a, const std::vector<float>& b,
                  const std::string& what) {
  bench::require(a.size() == b.size(), what + ": the sizes differ");
  double total = 0, apart = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = static_cast<double>(a[i]), off = one - static_cast<double>(b[i]);
    total += one * one;
    apart += off * off;
  }
  bench::require(std::isfinite(total) && std::isfinite(apart), what + ": not a number");
  bench::require(total > 1e-24, what + ": nothing but zeros");
  return std::sqrt(apart / total);
}

}  // namespace workloads
