// What costs must not grow with: the size of what was not read, the length of the history behind,
// what the program did before, and how busy the machine is.

#include <chainrule/chainrule.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <random>

#include <chainrule/bench/measure.hpp>

namespace {

using namespace chainrule;

double seconds_of(int repeats, auto&& f) {
  std::vector<double> times;
  f();
  for (int i = 0; i < repeats; ++i) times.push_back(bench::time_of(1, f));
  return bench::spread(times).median;
}

// Each row of a leaf (n, 64) read by itself, against as many leaves.
void slices(bench::Report& report) {
  for (const std::int64_t n : {250, 4000}) {
    Tensor w = randn({n, 64}).requires_grad_();
    const double rows = seconds_of(5, [&] {
      w.zero_grad();
      Tensor total = sum(w[0]);
      for (std::int64_t i = 1; i < n; ++i) total = total + sum(w[i]);
      total.backward();
    });
    bench::require(sum(w.grad()).item() == static_cast<double>(n * 64), "growth: rows are wrong");
    std::vector<Tensor> leaves;
    for (std::int64_t i = 0; i < n; ++i) leaves.push_back(randn({64}).requires_grad_());
    const double separate = seconds_of(5, [&] {
      for (Tensor& each : leaves) each.zero_grad();
      Tensor total = sum(leaves[0]);
      for (std::size_t i = 1; i < leaves.size(); ++i) total = total + sum(leaves[i]);
      total.backward();
    });
    const std::string what = "rows of a (" + std::to_string(n) + ", 64) leaf, one by one";
    report.figure(what, rows / static_cast<double>(n) * 1e6, "us a row");
    report.figure(what + ", against separate leaves", rows / separate, "x", 2);
  }
}

// Seconds for one size after the other, where the last must take at most `most` times the first.
class Growth {
 public:
  Growth(bench::Report& report, std::string first, double most)
      : report_(report), first_name_(std::move(first)), most_(most) {}
  void add(const std::string& what, double seconds) {
    report_.figure(what, seconds * 1e6, "us");
    if (first_ == 0)
      first_ = seconds;
    else
      report_.figure(what + ", against " + first_name_, seconds / first_, "x", most_);
  }

 private:
  bench::Report& report_;
  std::string first_name_;
  double most_, first_ = 0;
};

// A step of SGD that looks up 64 rows.
void embeddings(bench::Report& report) {
  Growth growth(report, "1000 rows", 3);
  for (const std::int64_t rows : {1000, 1'000'000}) {
    const Tensor table = randn({rows, 16}).requires_grad_();
    const Tensor index = randint(0, rows, {64});
    nn::SGD optimizer({table}, 0.1);
    const double step = seconds_of(21, [&] {
      optimizer.zero_grad();
      sum(square(take(table, index))).backward();
      optimizer.step();
    });
    growth.add("SGD step with 64 look-ups of " + std::to_string(rows) + " rows", step);
  }
}

// The gradient of the last step with respect to what it began with.
void history(bench::Report& report) {
  Growth growth(report, "1", 3);
  for (const int operations : {1, 100'000}) {
    Tensor x = tensor(0.5, f64).requires_grad_();
    for (int i = 0; i < operations; ++i) x = x * 1.0;
    const double step = seconds_of(101, [&] { bench::keep(grad(x * x, x)); });
    growth.add("grad(x*x, x) behind " + std::to_string(operations) + " operations", step);
  }
  std::vector<Tensor> inputs;
  for (int i = 0; i < 16'000; ++i) inputs.push_back(tensor(1.0, f64).requires_grad_());
  const auto loss = [&] {
    Tensor total = inputs[0];
    for (std::size_t i = 1; i < inputs.size(); ++i) total = total + inputs[i];
    return total;
  };
  const double by_grad = seconds_of(5, [&] { bench::keep(grad(loss(), inputs)); });
  const double by_backward = seconds_of(5, [&] {
    for (Tensor& each : inputs) each.zero_grad();
    loss().backward();
  });
  report.figure("grad() of 16000 inputs, against backward()", by_grad / by_backward, "x", 2);
}

// A large graph in a process that has made and freed others.
void large_graphs(bench::Report& report) {
  std::mt19937 random(1);
  const auto graph = [] {
    std::mt19937 random(2);  // the same graph each time
    std::vector<Tensor> tensors = {tensor(1.0, f64).requires_grad_()};
    for (int i = 0; i < 200'000; ++i)
      tensors.push_back(tensors[random() % tensors.size()] * tensors[random() % tensors.size()]);
    return tensors;
  };
  const auto time = [&] {
    const double begin = bench::now();
    std::vector<Tensor> tensors = graph();
    tensors.back().backward();
    const double end = bench::now();
    std::shuffle(tensors.begin(), tensors.end(), random);  // freed in any order
    return end - begin;
  };
  const double first = time();
  for (int i = 0; i < 3; ++i) time();
  report.figure("graph of 200,000 nodes, in a fresh process", first * 1e3, "ms");
  report.figure("… four graphs later, against the first", time() / first, "x", 1.1);
  const std::int64_t before = memory_stats().system_requests;
  for (int i = 0; i < 3; ++i) time();
  report.figure("… requests to the system in three more",
                static_cast<double>(memory_stats().system_requests - before), "", 0.0);
}

double resident() {
  std::ifstream file("/proc/self/statm");
  double all = 0, pages = 0;
  file >> all >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Steps of constant shapes after steps of many others.
void after_other_shapes(bench::Report& report) {
  trim_memory();
  reset_peak_memory();
  const double base = resident();
  std::mt19937 random(1);
  double most = 0;
  for (int i = 0; i < 3000; ++i) {
    const Tensor x = ones({1 + static_cast<std::int64_t>(random() % 3000),
                           1 + static_cast<std::int64_t>(random() % 60)})
                         .requires_grad_();
    sum(exp(x)).backward();
    most = std::max(most, resident() - base);
  }
  const double allowed = 2 * static_cast<double>(memory_stats().peak_bytes) + (64 << 20);
  report.figure("3000 shapes: resident, of twice the peak and 64 MiB", most / allowed, "x", 1);
  nn::Linear first(700, 900), second(900, 10);
  std::vector<Tensor> parameters = first.parameters();
  for (const Tensor& each : second.parameters()) parameters.push_back(each);
  nn::SGD optimizer(parameters, 1e-3);
  const Tensor x = randn({64, 700}), y = randn({64, 10});
  const auto step = [&] {
    optimizer.zero_grad();
    mse_loss(second(tanh(first(x))), y).backward();
    optimizer.step();
  };
  for (int i = 0; i < 3; ++i) step();
  const std::int64_t before = memory_stats().system_requests;
  for (int i = 0; i < 50; ++i) step();
  report.figure("… requests to the system in 50 steps of a network after them",
                static_cast<double>(memory_stats().system_requests - before), "", 0.0);
}

// Two other processes that compute, while it lives.
class Busy {
 public:
  Busy() {
    for (pid_t& child : children_) {
      child = fork();
      if (child == 0)
        for (volatile double x = 1;;) x = x * 1.0000001;
    }
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }

 private:
  pid_t children_[2];
};

// Two threads against one, by the clock on the wall: a large product, and a step of a transformer's
// layer, whose operations are of all sizes.
void threads(bench::Report& report) {
  const Tensor a = randn({1024, 1024}), b = randn({1024, 1024});
  const auto product = [&] { bench::keep(matmul(a, b)); };
  const std::int64_t width = 256, length = 128;
  nn::Linear q(width, width), k(width, width), v(width, width), up(width, 1024), down(1024, width);
  nn::LayerNorm norm(width);
  const Tensor x = randn({length, width});
  const auto layer = [&] {
    const Tensor h = norm(x);
    const Tensor scores = softmax(matmul(q(h), k(h).T()) * 0.0625F, 1);
    const Tensor y = x + matmul(scores, v(h));
    sum(square(y + down(relu(up(y))))).backward();
  };
  const auto compare = [&](const std::string& what, auto&& f, const bench::Target& target,
                           bool one_over_two) {
    const auto on = [&](int count) {
      return [&, count] {
        set_num_threads(count);
        f();
      };
    };
    const auto both = bench::compare(15, 30e-3, on(one_over_two ? 1 : 2), on(one_over_two ? 2 : 1),
                                     bench::Clock::wall);
    report.ratio(what, both.ratio, target);
  };
  compare("product of 1024, quiet: one thread / two", product, bench::at_least(1.8), true);
  compare("layer of a transformer, quiet: one thread / two", layer, {}, true);
  const Busy busy;
  compare("product of 1024, two busy processes beside: two threads / one", product, 1.2, false);
  compare("layer of a transformer, two busy processes beside: two threads / one", layer, 1.2,
          false);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  set_num_threads(1);
  large_graphs(report);
  slices(report);
  embeddings(report);
  history(report);
  after_other_shapes(report);
  threads(report);
}
