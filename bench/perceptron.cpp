// Training steps of four perceptrons at four sizes of the batch (workloads/perceptron.hpp; f32, one
// thread): with nn, and one of them also in plain tensor operations, against the same step written
// by hand (floors/perceptron.hpp) with the faster of two libraries for its products; and their
// memory. A new batch in each step.

#include <chainrule/core/threads.hpp>

#include <chainrule/bench/floors/perceptron.hpp>
#include <chainrule/bench/workloads/perceptron_nn.hpp>

namespace {

using chainrule::Tensor;
using namespace workloads;

constexpr int pairs = 11;
constexpr double seconds = 10e-3;

class ByHand {
 public:
  ByHand(const Network& network, const Data& data, const Start& start, floors::Engine engine)
      : data_(data),
        net_(network.sizes, data.batch,
             network.relu ? floors::Activation::relu : floors::Activation::sigmoid,
             network.adam ? floors::Optimizer::adam : floors::Optimizer::sgd, network.rate(),
             engine) {
    for (std::size_t l = 0; l < network.layers(); ++l) {
      net_.weight(l) = start.weights[l];
      net_.bias(l) = start.biases[l];
    }
  }
  float gradients(std::size_t i) { return net_.gradients(data_.x_at(i), data_.labels_at(i)); }
  float step(std::size_t i) { return net_.step(data_.x_at(i), data_.labels_at(i)); }
  float fused_step(std::size_t i) { return net_.fused_step(data_.x_at(i), data_.labels_at(i)); }
  std::vector<float> gradient(std::size_t l) const {
    std::vector<float> all = net_.weight_gradient(l);
    all.insert(all.end(), net_.bias_gradient(l).begin(), net_.bias_gradient(l).end());
    return all;
  }
  std::size_t bytes() const { return net_.bytes(); }

 private:
  const Data& data_;
  floors::Perceptron net_;
};

// The same without nn, and with SGD.
class Plain {
 public:
  Plain(const Network& network, const Data& data, const Start& start)
      : data_(data), rate_(network.rate()) {
    for (std::size_t l = 0; l < network.layers(); ++l) {
      const int inputs = network.sizes[l], units = network.sizes[l + 1];
      weights_.push_back(
          chainrule::from_vector(start.weights[l], {inputs, units}).requires_grad_());
      biases_.push_back(chainrule::from_vector(start.biases[l], {units}).requires_grad_());
    }
  }
  float gradients(std::size_t i) {
    Tensor h = data_.x[i];
    for (std::size_t l = 0; l < weights_.size(); ++l) {
      h = matmul(h, weights_[l]) + biases_[l];
      if (l + 1 < weights_.size()) h = sigmoid(h);
    }
    const Tensor loss = cross_entropy(h, data_.labels[i]);
    for (auto* parameters : {&weights_, &biases_})
      for (Tensor& each : *parameters) each.zero_grad();
    loss.backward();
    return loss.item<float>();
  }
  float step(std::size_t i) {
    const float loss = gradients(i);
    for (auto* parameters : {&weights_, &biases_})
      for (Tensor& each : *parameters) {
        const std::span<float> w = each.mutable_data<float>();
        const Tensor grad = each.grad();
        const std::span<const float> g = grad.data<float>();
        for (std::size_t k = 0; k < w.size(); ++k) w[k] -= rate_ * g[k];
      }
    return loss;
  }
  std::vector<float> gradient(std::size_t l) const {
    std::vector<float> all = weights_[l].grad().to_vector<float>();
    const std::vector<float> db = biases_[l].grad().to_vector<float>();
    all.insert(all.end(), db.begin(), db.end());
    return all;
  }

 private:
  Batches data_;
  float rate_;
  std::vector<Tensor> weights_, biases_;
};

struct Case {
  const Network& network;
  const Data& data;
  const Start& start;
  std::string label;
};

// Times of the program against those of the floor, by the engine with which that is faster.
template <class Program>
void against_floor(bench::Report& report, const Case& of, const std::string& name,
                   const bench::Target& target) {
  using floors::Engine;
  bench::Spread worst{};
  Engine faster = Engine::eigen;
  for (Engine engine : {Engine::eigen, Engine::onednn}) {
    if (engine == Engine::onednn && !floors::has_onednn()) continue;
    const std::string floor = std::string("by hand with ") + floors::name_of(engine);
    {
      ByHand by_hand(of.network, of.data, of.start, engine);
      Program program(of.network, of.data, of.start);
      require_agreement(of.network, of.label + ", " + name + " and " + floor, by_hand, program);
    }
    ByHand by_hand(of.network, of.data, of.start, engine);
    Program program(of.network, of.data, of.start);
    const auto both = bench::compare(pairs, seconds, stepper(program), stepper(by_hand));
    if (engine == Engine::eigen) report.figure(of.label + ": " + name, both.a.median * 1e6, "us");
    report.figure(of.label + ": " + floor, both.b.median * 1e6, "us");
    if (both.ratio.median > worst.median) {
      worst = both.ratio;
      faster = engine;
    }
    if (of.network.adam || name != "nn") continue;
    const double fused = bench::time_of(bench::calls_for(5 * seconds, stepper(by_hand)),
                                        [&, i = std::size_t{0}]() mutable {
                                          bench::keep(by_hand.fused_step(i++ % Data::batches));
                                        });
    report.figure(of.label + ": " + floor + ", dW never stored", fused * 1e6, "us");
  }
  report.ratio(of.label + ": " + name + " / floor (" + floors::name_of(faster) + ")", worst,
               target);
}

// System requests of steps four to 20, and the peak of live bytes in them.
template <class Program>
void memory(bench::Report& report, const Case& of, const std::string& name,
            const bench::Target& target) {
  const std::int64_t before = chainrule::memory_stats().live_bytes;
  Program program(of.network, of.data, of.start);
  auto step = stepper(program);
  for (int i = 0; i < 3; ++i) step();
  chainrule::reset_peak_memory();
  const std::int64_t requests = chainrule::memory_stats().system_requests;
  for (int i = 3; i < 20; ++i) step();
  const chainrule::MemoryStats after = chainrule::memory_stats();
  const ByHand by_hand(of.network, of.data, of.start, floors::Engine::eigen);
  const auto peak = static_cast<double>(after.peak_bytes - before);
  report.figure(of.label + ": " + name + ", system requests after step 3",
                static_cast<double>(after.system_requests - requests), "", 0);
  report.figure(of.label + ": " + name + ", peak of live memory", peak / (1 << 20), "MiB");
  report.figure(of.label + ": " + name + ", peak of live memory / buffers of the floor",
                peak / static_cast<double>(by_hand.bytes()), "x", target);
}

void noise(bench::Report& report, const Case& of) {
  ByHand one(of.network, of.data, of.start, floors::Engine::eigen);
  ByHand other(of.network, of.data, of.start, floors::Engine::eigen);
  const auto same = bench::compare(pairs, seconds, stepper(one), stepper(other));
  report.ratio(of.label + ": by hand / by hand (noise)", same.ratio);
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  chainrule::set_num_threads(1);
  bench::Report report(argc, argv);
  std::printf("settings: by hand with %s", floors::name_of(floors::Engine::eigen));
  if (floors::has_onednn()) std::printf(" and %s", floors::name_of(floors::Engine::onednn));
  std::printf("\n");
  std::mt19937 random(20240229);
  // For each network, by the size of the batch: the most that a step may take, in times the floor.
  constexpr double most[4][4] = {
      {3, 1.4, 1.15, 1.1}, {1.3, 1.1, 1.05, 1.05}, {1.2, 1.1, 1.05, 1.05}, {1.2, 1.1, 1.05, 1.05}};
  for (std::size_t n = 0; n < networks().size(); ++n)
    for (std::size_t b = 0; b < std::size(batches); ++b) {
      const Network& network = networks()[n];
      const Data data(network, batches[b], random);
      const Start start(network, random);
      const Case of{network, data, start, network.name() + ", batch " + std::to_string(batches[b])};
      against_floor<WithNn>(report, of, "nn", most[n][b]);
      memory<WithNn>(report, of, "nn", 1.1);
      if (n != 1) continue;
      against_floor<Plain>(report, of, "tensor operations", {});
      memory<Plain>(report, of, "tensor operations", {});
      if (batches[b] == 32) noise(report, of);
    }
}
