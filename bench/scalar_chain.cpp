// A chain of 1,000,000 operations on scalars: time, memory and stack for each of them.

#include <chainrule/chainrule.hpp>

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <chainrule/bench/measure.hpp>

namespace {

using chainrule::Tensor;

constexpr int length = 1'000'000;
constexpr float factor = 1.0000001F;  // in f32 the next number above 1

enum class By { number, constant, parameter };

struct Chain {
  Tensor start = chainrule::full({}, 0.75).requires_grad_();
  Tensor constant = chainrule::full({}, factor);
  Tensor parameter = chainrule::full({}, factor).requires_grad_();

  Tensor run(By by, int n) const {
    Tensor h = start;
    if (by == By::number)
      for (int i = 0; i < n; ++i) h = h * factor;
    else
      for (int i = 0; i < n; ++i) h = h * (by == By::constant ? constant : parameter);
    return h;
  }
  void zero_grad() {
    start.zero_grad();
    parameter.zero_grad();
  }
};

// The derivative for the start is a product of f32 numbers in the same order, so it is the same to
// the last bit; so is that for the parameter, summed from the end of the chain to its beginning.
void check(Chain& chain, By by) {
  const Tensor h = chain.run(by, length);
  h.backward();
  std::vector<float> values(length);
  float value = chain.start.item<float>();
  for (float& each : values) {
    each = value;
    value *= factor;
  }
  float slope = 1, total = 0;
  for (int i = length; i-- > 0;) {
    total += slope * values[static_cast<std::size_t>(i)];
    slope *= factor;
  }
  bench::require(h.item<float>() == value, "scalar_chain: the value is wrong");
  bench::require(chain.start.grad().item<float>() == slope, "scalar_chain: the gradient is wrong");
  if (by == By::parameter)
    bench::require(chain.parameter.grad().item<float>() == total,
                   "scalar_chain: the gradient of the parameter is wrong");
  chain.zero_grad();
}

// Kilobytes from a line of this process's status, such as VmRSS.
long status_of(const char* key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return std::atol(line.c_str() + std::strlen(key) + 1);
  return 0;
}

struct OnStack {
  int length;
  std::size_t used;  // bytes of the thread's stack
};

// Builds, differentiates and frees a chain on a thread whose stack is 64 KiB.
void* run_on_small_stack(void* argument) {
  const auto& job = *static_cast<OnStack*>(argument);
  Chain chain;
  const Tensor h = chain.run(By::parameter, job.length);
  h.backward();
  bench::keep(h);
  return nullptr;
}

std::size_t stack_use(int n) {
  constexpr std::size_t size = 64 * 1024;
  constexpr unsigned char paint = 0xA5;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bench::require(memory != MAP_FAILED, "scalar_chain: no memory for a stack");
  std::memset(memory, paint, size);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  bench::require(pthread_attr_setstack(&attributes, memory, size) == 0,
                 "scalar_chain: the system does not take a stack of 64 KiB");
  OnStack job{n, 0};
  pthread_t thread;
  bench::require(pthread_create(&thread, &attributes, run_on_small_stack, &job) == 0,
                 "scalar_chain: no thread");
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  const auto* bytes = static_cast<const unsigned char*>(memory);
  std::size_t untouched = 0;
  while (untouched < size && bytes[untouched] == paint) ++untouched;
  munmap(memory, size);
  return size - untouched;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  const std::pair<By, const char*> cases[] = {{By::constant, "by a constant"},
                                              {By::parameter, "by a parameter"},
                                              {By::number, "by a number"}};
  Chain chain;

  // Memory first, while the process holds nothing from earlier.
  for (const auto& [by, name] : cases) {
    chainrule::reset_peak_memory();
    const std::int64_t before = chainrule::memory_stats().live_bytes;
    const long resident = status_of("VmRSS");
    {
      const Tensor h = chain.run(by, length);
      h.backward();
      bench::keep(h);
    }
    const std::string label = std::string("scalar chain, ") + name + ": peak";
    report.figure(label + ", allocator",
                  static_cast<double>(chainrule::memory_stats().peak_bytes - before) / length,
                  "bytes/op", 300);
    if (by == By::constant)
      report.figure(label + ", resident memory",
                    static_cast<double>(status_of("VmHWM") - resident) * 1024 / length, "bytes/op",
                    300);
    chain.zero_grad();
  }

  for (const auto& [by, name] : cases) {
    check(chain, by);
    std::vector<double> seconds;
    for (int i = 0; i < 7; ++i) {
      seconds.push_back(bench::time_of(1, [&, by = by] {
        const Tensor h = chain.run(by, length);
        h.backward();
        bench::keep(h);
      }));
      chain.zero_grad();
    }
    report.figure(std::string("scalar chain, ") + name + ": forward + backward + freeing",
                  bench::spread(seconds).median / length * 1e9, "ns/op", 200);
  }

  // Last: from the first thread on, reference counts are atomic.
  stack_use(1'000);
  report.figure("scalar chain: stack, 1,000 operations", static_cast<double>(stack_use(1'000)),
                "bytes");
  report.figure("scalar chain: stack, 1,000,000 operations", static_cast<double>(stack_use(length)),
                "bytes", static_cast<double>(stack_use(1'000)));
}
