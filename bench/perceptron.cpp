// The training step of a 784-128-128-10 perceptron (sigmoid, softmax cross-entropy, SGD; f32, one
// thread): with the library, written in plain tensor operations and with nn, against the same step
// written by hand with Eigen (floors/perceptron.hpp). A new batch in each step.

#include <chainrule/chainrule.hpp>

#include <malloc.h>

#include <cmath>
#include <random>

#include <chainrule/bench/floors/perceptron.hpp>
#include <chainrule/bench/measure.hpp>

namespace {

using chainrule::Tensor;
namespace nn = chainrule::nn;

constexpr int sizes[] = {784, 128, 128, 10};
constexpr std::size_t layers = std::size(sizes) - 1;
constexpr float rate = 0.01F;
constexpr int pairs = 21;

// Batches that all programs read from the same memory.
struct Data {
  static constexpr int batches = 8;
  int batch;
  std::vector<float> x;                 // (batches, batch, 784)
  std::vector<std::int64_t> labels;     // (batches, batch)
  std::vector<Tensor> x_of, labels_of;  // of each batch, borrowed

  Data(int rows, std::mt19937& random) : batch(rows) {
    const auto samples = static_cast<std::size_t>(batches * rows);
    std::normal_distribution<float> normal;
    std::uniform_int_distribution<std::int64_t> classes(0, sizes[layers] - 1);
    x.resize(samples * 784);
    labels.resize(samples);
    for (float& each : x) each = normal(random);
    for (std::int64_t& each : labels) each = classes(random);
    for (std::size_t i = 0; i < batches; ++i) {
      x_of.push_back(chainrule::borrow(std::span(x_at(i), static_cast<std::size_t>(batch) * 784),
                                       {batch, 784}));
      labels_of.push_back(
          chainrule::borrow(std::span(labels_at(i), static_cast<std::size_t>(batch)), {batch}));
    }
  }
  const float* x_at(std::size_t i) const {
    return x.data() + i * static_cast<std::size_t>(batch) * 784;
  }
  const std::int64_t* labels_at(std::size_t i) const {
    return labels.data() + i * static_cast<std::size_t>(batch);
  }
};

// Weights (inputs, units) and biases of each layer, row-major.
struct Start {
  std::vector<std::vector<float>> weights, biases;

  explicit Start(std::mt19937& random) {
    for (std::size_t l = 0; l < layers; ++l) {
      const float bound = 1 / std::sqrt(static_cast<float>(sizes[l]));
      std::uniform_real_distribution<float> uniform(-bound, bound);
      weights.emplace_back(static_cast<std::size_t>(sizes[l] * sizes[l + 1]));
      biases.emplace_back(static_cast<std::size_t>(sizes[l + 1]));
      for (float& each : weights.back()) each = uniform(random);
      for (float& each : biases.back()) each = uniform(random);
    }
  }
};

// Each program has: gradients(i) for batch i, which leaves them behind and returns the loss;
// step(i), a whole training step; and gradient(l), weights (inputs, units) then bias.

class ByHand {
 public:
  ByHand(const Data& data, const Start& start, bool fused)
      : data_(data), fused_(fused), net_(sizes, data.batch) {
    for (std::size_t l = 0; l < layers; ++l) {
      // (units, inputs) column-major is (inputs, units) row-major.
      std::ranges::copy(start.weights[l], net_.weight(l).data());
      std::ranges::copy(start.biases[l], net_.bias(l).data());
    }
  }
  float gradients(std::size_t i) { return net_.gradients(data_.x_at(i), data_.labels_at(i)); }
  float step(std::size_t i) {
    if (fused_) return net_.fused_step(data_.x_at(i), data_.labels_at(i), rate);
    const float loss = gradients(i);
    net_.update(rate);
    return loss;
  }
  std::vector<float> gradient(std::size_t l) const {
    const Eigen::MatrixXf& dw = net_.weight_gradient(l);
    const Eigen::VectorXf& db = net_.bias_gradient(l);
    std::vector<float> all(dw.data(), dw.data() + dw.size());
    all.insert(all.end(), db.data(), db.data() + db.size());
    return all;
  }

 private:
  const Data& data_;
  bool fused_;
  floors::Perceptron net_;
};

class Plain {
 public:
  Plain(const Data& data, const Start& start) : data_(data) {
    for (std::size_t l = 0; l < layers; ++l) {
      weights_.push_back(
          chainrule::from_vector(start.weights[l], {sizes[l], sizes[l + 1]}).requires_grad_());
      biases_.push_back(chainrule::from_vector(start.biases[l], {sizes[l + 1]}).requires_grad_());
    }
  }
  float gradients(std::size_t i) {
    Tensor h = data_.x_of[i];
    for (std::size_t l = 0; l < layers; ++l) {
      h = matmul(h, weights_[l]) + biases_[l];
      if (l + 1 < layers) h = sigmoid(h);
    }
    const Tensor loss = cross_entropy(h, data_.labels_of[i]);
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
        for (std::size_t k = 0; k < w.size(); ++k) w[k] -= rate * g[k];
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
  const Data& data_;
  std::vector<Tensor> weights_, biases_;
};

class WithNn {
 public:
  WithNn(const Data& data, const Start& start) : data_(data) {
    for (std::size_t l = 0; l < layers; ++l) {
      auto& layer = model_.get<nn::Linear>(static_cast<std::ptrdiff_t>(2 * l));
      layer.weight.set(chainrule::from_vector(start.weights[l], {sizes[l], sizes[l + 1]}).T());
      layer.bias.set(chainrule::from_vector(start.biases[l], {sizes[l + 1]}));
    }
  }
  float gradients(std::size_t i) {
    const Tensor error = loss_(model_(data_.x_of[i]), data_.labels_of[i]);
    optimizer_.zero_grad();
    error.backward();
    return error.item<float>();
  }
  float step(std::size_t i) {
    const float loss = gradients(i);
    optimizer_.step();
    return loss;
  }
  std::vector<float> gradient(std::size_t l) {
    const auto& layer = model_.get<nn::Linear>(static_cast<std::ptrdiff_t>(2 * l));
    std::vector<float> all = layer.weight.grad().T().to_vector<float>();
    const std::vector<float> db = layer.bias.grad().to_vector<float>();
    all.insert(all.end(), db.begin(), db.end());
    return all;
  }

 private:
  const Data& data_;
  nn::Sequential model_{nn::Linear(sizes[0], sizes[1]), nn::Sigmoid(),
                        nn::Linear(sizes[1], sizes[2]), nn::Sigmoid(),
                        nn::Linear(sizes[2], sizes[3])};
  nn::CrossEntropyLoss loss_;
  nn::SGD optimizer_{model_.parameters(), rate};
};

// Gradients of one batch, then the losses of some steps from the same start.
template <class Program>
void check(const char* name, ByHand& by_hand, Program& program) {
  const float want = by_hand.gradients(0), got = program.gradients(0);
  bench::require(std::abs(want - got) <= 1e-5F * std::abs(want),
                 std::string("perceptron: the loss differs: ") + name);
  double worst = 0;
  for (std::size_t l = 0; l < layers; ++l) {
    const auto a = by_hand.gradient(l), b = program.gradient(l);
    double largest = 0, off = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      largest = std::max(largest, static_cast<double>(std::abs(a[k])));
      off = std::max(off, static_cast<double>(std::abs(a[k] - b[k])));
    }
    bench::require(largest > 1e-6, "perceptron: a gradient died out");
    worst = std::max(worst, off / largest);
  }
  // Sums of up to 1,024 f32 numbers in another order, and other approximations of exp.
  bench::require(worst <= 2e-5, std::string("perceptron: the gradients differ: ") + name);
  double apart = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    const float a = by_hand.step(i % Data::batches), b = program.step(i % Data::batches);
    apart = std::max(apart, static_cast<double>(std::abs(a - b) / std::abs(a)));
  }
  bench::require(apart <= 1e-4, std::string("perceptron: the losses differ: ") + name);
  std::printf("  %-28s gradients agree to %.0e, losses of 20 steps to %.0e\n", name, worst, apart);
}

// A step on the next batch, whose loss is used.
template <class Program>
auto stepper(Program& program) {
  return [&program, next = std::size_t{0}]() mutable {
    bench::keep(program.step(next++ % Data::batches));
  };
}

// System requests of steps four to 40, and the peak of live bytes in them.
template <class Program>
void memory(bench::Report& report, const std::string& label, const Data& data, const Start& start) {
  Program program(data, start);
  auto step = stepper(program);
  for (int i = 0; i < 3; ++i) step();
  chainrule::reset_peak_memory();
  const std::int64_t before = chainrule::memory_stats().system_requests;
  for (int i = 3; i < 40; ++i) step();
  const chainrule::MemoryStats after = chainrule::memory_stats();
  report.figure(label + ": system requests after step 3",
                static_cast<double>(after.system_requests - before), "", 0);
  report.figure(label + ": peak of live memory", static_cast<double>(after.peak_bytes) / (1 << 20),
                "MiB");
}

void measure(bench::Report& report, int batch, std::mt19937& random) {
  const Data data(batch, random);
  const Start start(random);
  const std::string label = "perceptron, batch " + std::to_string(batch);
  std::printf("batch %d\n", batch);
  bool fused_is_faster = false;
  {
    ByHand by_hand(data, start, false), fused(data, start, true);
    check("by hand, update fused", by_hand, fused);
    const auto both = bench::compare(pairs, 5e-3, stepper(by_hand), stepper(fused));
    fused_is_faster = both.ratio.median > 1;
    report.figure(label + ": by hand, gradients kept", both.a.median * 1e6, "us");
    report.figure(label + ": by hand, update fused", both.b.median * 1e6, "us");
  }
  {
    ByHand one(data, start, fused_is_faster), other(data, start, fused_is_faster);
    const auto same = bench::compare(pairs, 5e-3, stepper(one), stepper(other));
    report.figure(label + ": by hand / by hand (noise)", same.ratio.median, "x");
  }
  const auto against = [&]<class Program>(const char* name, Program program) {
    {
      ByHand by_hand(data, start, false);
      check(name, by_hand, program);
    }
    ByHand by_hand(data, start, fused_is_faster);
    const auto both = bench::compare(pairs, 10e-3, stepper(program), stepper(by_hand));
    report.figure(label + ": " + name, both.a.median * 1e6, "us");
    report.figure(label + ": " + name + " / by hand", both.ratio.median, "x",
                  batch == 256 ? 1.3 : -1);
    std::printf("  %-28s by hand beside it %.1f us; quartiles of the ratio %.3f … %.3f\n", name,
                both.b.median * 1e6, both.ratio.low, both.ratio.high);
    memory<Program>(report, label + ", " + name, data, start);
  };
  against("tensor operations", Plain(data, start));
  against("nn", WithNn(data, start));
}

}  // namespace

int main(int argc, char** argv) {
  // Eigen takes its packing buffers from malloc in every product. By default glibc gives such
  // blocks back to the system each time, and the page faults cost the program by hand some 8 %.
  mallopt(M_MMAP_THRESHOLD, 1 << 28);
  mallopt(M_TRIM_THRESHOLD, 1 << 28);
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  for (int batch : {256, 1, 32, 1024}) measure(report, batch, random);
}
