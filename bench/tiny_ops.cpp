// What an operation costs beside its arithmetic: a chain of 1,000 operations on 4×4 f32 tensors,
// add, mul, sigmoid and matmul in turn, each with a parameter as its second operand where it has
// two.

#include <chainrule/chainrule.hpp>

#include <cmath>
#include <random>
#include <thread>

#include <chainrule/bench/floors/tiny_chain.hpp>
#include <chainrule/bench/measure.hpp>

namespace {

using floors::Matrix4;
using floors::TinyChain;

constexpr int rounds = 250;
constexpr int operations = 4 * rounds;
constexpr int inputs = 16;

// Inputs and parameters with which neither values nor gradients die out along the chain, so that no
// time is measured on zeros or denormals: w is 4 times an orthogonal matrix, which the slope of the
// sigmoid near 0, 1/4, undoes; m is near ±1; b brings h back to the middle of the sigmoid.
TinyChain<double> make_chain(std::mt19937& random) {
  std::normal_distribution<double> normal;
  TinyChain<double> chain;
  double q[4][4];
  for (auto& row : q)
    for (double& each : row) each = normal(random);
  for (int i = 0; i < 4; ++i) {  // Gram and Schmidt
    for (int j = 0; j < i; ++j) {
      double along = 0;
      for (int k = 0; k < 4; ++k) along += q[i][k] * q[j][k];
      for (int k = 0; k < 4; ++k) q[i][k] -= along * q[j][k];
    }
    double length = 0;
    for (double each : q[i]) length += each * each;
    for (double& each : q[i]) each /= std::sqrt(length);
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      double column = 0;
      for (int k = 0; k < 4; ++k) column += 4 * q[k][j];
      chain.w.at[4 * i + j] = 4 * q[i][j];
      chain.b.at[4 * i + j] = -0.5 * column + 0.01 * normal(random);
      chain.m.at[4 * i + j] = (normal(random) < 0 ? -1 : 1) * (1 + 0.01 * normal(random));
      chain.x.at[4 * i + j] = 0.5 * column + 0.5 * normal(random);
    }
  return chain;
}

chainrule::Tensor tensor_of(const Matrix4<double>& matrix) {
  std::vector<float> elements(std::begin(matrix.at), std::end(matrix.at));
  return chainrule::from_vector(elements, {4, 4});
}

// As the numbers are in f32, so that f64 and f32 compute the same function.
template <class To>
TinyChain<To> rounded(const TinyChain<double>& chain) {
  TinyChain<To> result;
  const auto convert = [](const Matrix4<double>& from, Matrix4<To>& to) {
    for (int i = 0; i < 16; ++i) to.at[i] = static_cast<To>(static_cast<float>(from.at[i]));
  };
  convert(chain.x, result.x);
  convert(chain.b, result.b);
  convert(chain.m, result.m);
  convert(chain.w, result.w);
  return result;
}

struct Program {
  TinyChain<double> chain;
  std::vector<chainrule::Tensor> x;
  chainrule::Tensor b, m, w;
  std::size_t next = 0;

  explicit Program(std::mt19937& random) : chain(make_chain(random)) {
    std::normal_distribution<double> normal;
    for (int i = 0; i < inputs; ++i) {
      Matrix4<double> start = chain.x;
      for (double& each : start.at) each += 0.5 * normal(random);
      x.push_back(tensor_of(start));
    }
    b = tensor_of(chain.b).requires_grad_();
    m = tensor_of(chain.m).requires_grad_();
    w = tensor_of(chain.w).requires_grad_();
  }

  chainrule::Tensor run(const chainrule::Tensor& from) const {
    chainrule::Tensor h = from;
    for (int i = 0; i < rounds; ++i) {
      h = h + b;
      h = h * m;
      h = sigmoid(h);
      h = matmul(h, w);
    }
    return h;
  }
  const chainrule::Tensor& input() { return x[next++ % x.size()]; }
  void zero_grad() {
    b.zero_grad();
    m.zero_grad();
    w.zero_grad();
  }
};

// The gradients against those of the plain loop in f64.
void check(Program& program) {
  const TinyChain<double> exact = rounded<double>(program.chain);
  TinyChain<double> expected;
  std::vector<Matrix4<double>> tape;
  const double total = tiny_chain(exact, rounds, tape, expected);
  const chainrule::Tensor x = tensor_of(program.chain.x).requires_grad_();
  const chainrule::Tensor sum = chainrule::sum(program.run(x));
  sum.backward();
  bench::require(std::abs(sum.item() - total) <= 1e-3 * std::max(1.0, std::abs(total)),
                 "tiny_ops: the sum differs from that of the plain loop");
  const auto compare = [](const char* name, const chainrule::Tensor& grad,
                          const Matrix4<double>& want) {
    const auto got = grad.to_vector<float>();
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < 16; ++i) {
      largest = std::max(largest, std::abs(want.at[i]));
      worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want.at[i]));
    }
    std::printf("gradient of %s: up to %.2g, off by at most %.1g\n", name, largest, worst);
    // Rounding errors of f32 (6e-8) along 1,000 operations; far below the 1e-3 asked for here.
    bench::require(largest > 1e-6 && largest < 1e6 && worst <= 1e-3 * largest,
                   std::string("tiny_ops: the gradient of ") + name + " is wrong");
  };
  compare("x", x.grad(), expected.x);
  compare("b", program.b.grad(), expected.b);
  compare("m", program.m.grad(), expected.m);
  compare("w", program.w.grad(), expected.w);
  program.zero_grad();
}

// The same chain as a person writes it for this one program: the floor of all frameworks.
struct Floor {
  std::vector<Matrix4<float>> tape;
  TinyChain<float> chain, gradients;

  explicit Floor(const TinyChain<double>& exact) : chain(rounded<float>(exact)) {}
  void step() {
    chain.x.at[3] += 1e-3F;
    bench::keep(tiny_chain(chain, rounds, tape, gradients));
    bench::keep(gradients);
  }
};

// `setting` says how the reference counts are; targets are those of a process with one thread.
void measure(Program& program, Floor& floor, bench::Report& report, const std::string& setting,
             bool targets) {
  constexpr int samples = 51, chains = 10;
  std::vector<double> plain, recorded, freeing, both, rest, arrays, ratio;
  for (int sample = 0; sample < samples; ++sample) {
    {
      const chainrule::NoGrad guard;
      plain.push_back(bench::time_of(chains, [&] { bench::keep(program.run(program.input())); }));
    }
    double forward = 0, end = 0;
    for (int i = 0; i < chains; ++i) {
      const double start = bench::now();
      chainrule::Tensor h = program.run(program.input());
      bench::keep(h);
      const double between = bench::now();
      h = {};
      end += bench::now() - between;
      forward += between - start;
    }
    recorded.push_back(forward / chains);
    freeing.push_back(end / chains);
    double step = 0;
    end = 0;
    for (int i = 0; i < chains; ++i) {
      const double start = bench::now();
      chainrule::Tensor loss = chainrule::sum(program.run(program.input()));
      loss.backward();
      bench::keep(loss);
      const double between = bench::now();
      loss = {};
      end += bench::now() - between;
      step += between - start;
    }
    both.push_back(step / chains);
    rest.push_back(end / chains);
    arrays.push_back(bench::time_of(chains, [&] { floor.step(); }));
    ratio.push_back(both.back() / arrays.back());
    bench::require(std::isfinite(program.w.grad().at({0, 0})) && program.w.grad().at({0, 0}) != 0,
                   "tiny_ops: the gradient died out or overflowed");
    program.zero_grad();
  }
  const auto print = [&](const char* what, const std::vector<double>& seconds,
                         const bench::Target& target = {}) {
    report.figure("4x4 chain, " + setting + ": " + what,
                  bench::spread(seconds).median / operations * 1e9, "ns/op",
                  targets ? target : bench::Target{});
  };
  print("without recording", plain);
  print("recorded", recorded, 80);
  print("freeing of what was recorded", freeing);
  print("forward + backward", both, 150);
  print("freeing of what is left after it", rest);
  print("plain arrays and a tape, no framework", arrays);
  report.figure("4x4 chain, " + setting + ": forward + backward, against plain arrays",
                bench::spread(ratio).median, "x", targets ? bench::Target(7.2) : bench::Target());
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  std::mt19937 random(20240229);
  Program program(random);
  check(program);

  Floor floor(program.chain);
  measure(program, floor, report, "one thread", true);
  // The reference counts are atomic from here on, for the rest of the process.
  std::thread([] {}).join();
  measure(program, floor, report, "second thread started", false);
}
