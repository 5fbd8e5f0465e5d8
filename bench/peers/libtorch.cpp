#include <chainrule/bench/peers/libtorch.hpp>

#include <ATen/Config.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <dlfcn.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <cstdlib>
#include <map>

namespace peers {

namespace {

using torch::Tensor;
using Variables = std::vector<Tensor>;

std::vector<float> numbers(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kFloat32).contiguous().view(-1);
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

// A copy, as parameters are.
Tensor tensor_of(const std::vector<float>& from, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(from.data()), shape).clone();
}

// What zero_grad(set_to_none) of later versions does.
void remove_gradients(const Variables& of) {
  for (const Tensor& each : of) each.mutable_grad().reset();
}

// The program of a function of some inputs, whose result meets a seed, or is a scalar.
Program program(const Variables& inputs, const std::function<Tensor()>& f,
                const Tensor& seed = {}) {
  for (const Tensor& each : inputs) each.requires_grad_();
  Program result;
  result.forward = [=] {
    const c10::InferenceMode guard;
    bench::keep(f());
  };
  result.recorded = [=] { bench::keep(f()); };
  result.backward = [=] {
    remove_gradients(inputs);
    f().backward(seed);
  };
  result.result = [=] {
    const torch::NoGradGuard guard;
    return numbers(f());
  };
  result.gradients = [=] {
    std::vector<std::vector<float>> all;
    for (const Tensor& each : inputs) all.push_back(numbers(each.grad()));
    return all;
  };
  return result;
}

// The allocator that libtorch has anyway, with a count of what is live.
class Counting final : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR < 2
  c10::DataPtr allocate(std::size_t bytes) const override { return counted(bytes); }
#else
  c10::DataPtr allocate(std::size_t bytes) override { return counted(bytes); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

  // Of one thread, as all that is measured here.
  static inline std::int64_t live = 0, peak = 0;

 private:
  c10::DataPtr counted(std::size_t bytes) const {
    auto block = std::make_unique<Block>(Block{inner_->allocate(bytes), bytes});
    live += static_cast<std::int64_t>(bytes);
    peak = std::max(peak, live);
    void* data = block->memory.get();
    return {data, block.release(), &release, c10::Device(c10::DeviceType::CPU)};
  }
  struct Block {
    c10::DataPtr memory;
    std::size_t bytes;
  };
  static void release(void* context) {
    const std::unique_ptr<Block> block(static_cast<Block*>(context));
    live -= static_cast<std::int64_t>(block->bytes);
  }
  c10::Allocator* inner_ = c10::GetCPUAllocator();
};

void count() {
  static Counting counting;
  static const bool once = [] {
    c10::SetCPUAllocator(&counting, 1);
    return true;
  }();
  static_cast<void>(once);
}

// Since 2.4 there are optimizers of one pass over a parameter's memory for the CPU, but in C++ they
// can only be called as functions.
#define FUSED_OPTIMIZERS \
  (TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4))

// Steps of Adam, or of SGD with momentum, for these parameters, in the fastest way there is.
std::function<void()> steps_of(bool adam, double rate, double momentum,
                               const Variables& parameters) {
#if FUSED_OPTIMIZERS
  struct State {
    Variables parameters, gradients, first, second, counts;
    bool begun = false;
  };
  const auto state = std::make_shared<State>();
  state->parameters = parameters;
  const Tensor count = torch::zeros({});
  for (const Tensor& each : parameters) {
    if (adam || momentum != 0) state->first.push_back(torch::zeros_like(each.detach()));
    if (adam) state->second.push_back(torch::zeros_like(each.detach()));
    state->counts.push_back(count);
  }
  return [=] {
    const torch::NoGradGuard guard;
    for (const Tensor& each : state->parameters) state->gradients.push_back(each.grad());
    if (adam) {
      state->counts[0].add_(1);
      at::_fused_adam_(state->parameters, state->gradients, state->first, state->second, {},
                       state->counts, rate, 0.9, 0.999, 0, 1e-8, false, false);
    } else {
      at::_fused_sgd_(state->parameters, state->gradients, state->first, 0, momentum, rate, 0,
                      false, false, momentum != 0 && !state->begun);
      state->begun = true;
    }
    state->gradients.clear();  // their memory is free as soon as the model's are removed
  };
#else
  std::shared_ptr<torch::optim::Optimizer> optimizer;
  if (adam)
    optimizer = std::make_shared<torch::optim::Adam>(parameters, rate);
  else
    optimizer = std::make_shared<torch::optim::SGD>(
        parameters, torch::optim::SGDOptions(rate).momentum(momentum));
  return [=] { optimizer->step(); };
#endif
}

// A function of the BLAS library, or null.
template <class F>
F* blas(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name));
}

const char* threads_of_blas() {
  const auto kind = blas<int()>("openblas_get_parallel");
  if (!kind) return "unknown";
  constexpr const char* kinds[] = {"none", "its own", "OpenMP's"};
  return kind() >= 0 && kind() < 3 ? kinds[kind()] : "unknown";
}

std::string environment(const char* name) {
  const char* told = std::getenv(name);
  return std::string(name) + (told ? "=" : " not set") + (told ? told : "");
}

}  // namespace

std::string libtorch_settings() {
  const auto says = [](const char* function) {
    const auto f = blas<char*()>(function);
    return std::string(f ? f() : "unknown");
  };
  return std::string("libtorch ") + TORCH_VERSION + "; BLAS: " + says("openblas_get_config") +
         ", kernels of " + says("openblas_get_corename") + " (" + environment("OPENBLAS_CORETYPE") +
         "), threads: " + threads_of_blas() +
         "; inference mode where nothing is recorded, inputs taken once, gradients set to none, " +
         (FUSED_OPTIMIZERS
              ? "fused optimizers"
              : "torch::optim (no fused or foreach optimizer for the CPU before 2.4)") +
         ", malloc keeps what is freed";
}

std::string libtorch_thread_settings() {
  return "libtorch's threads: " + std::to_string(at::get_num_threads()) + " (" +
         environment("OPENBLAS_NUM_THREADS") + ")";
}

// A pool of OpenBLAS's own does not know what OpenMP is told.
void set_libtorch_threads(int count) {
  at::set_num_threads(count);
  if (const auto set = blas<void(int)>("openblas_set_num_threads")) set(count);
}

bool blas_has_own_threads() {
  const auto kind = blas<int()>("openblas_get_parallel");
  return kind && kind() == 1;
}

LiveBytes libtorch_bytes() {
  count();
  return {Counting::live, Counting::peak};
}

void reset_libtorch_peak() {
  count();
  Counting::peak = Counting::live;
}

Program tiny_chain(int side, int rounds, const std::vector<std::vector<float>>& x,
                   const std::vector<float>& b, const std::vector<float>& m,
                   const std::vector<float>& w) {
  Variables starts;
  for (const std::vector<float>& each : x) starts.push_back(tensor_of(each, {side, side}));
  const Variables inputs = {tensor_of(b, {side, side}), tensor_of(m, {side, side}),
                            tensor_of(w, {side, side})};
  const auto chain = [=, next = std::size_t{0}]() mutable {
    Tensor h = starts[next++ % starts.size()];
    for (int i = 0; i < rounds; ++i)
      h = torch::sigmoid((h + inputs[0]) * inputs[1]).matmul(inputs[2]);
    return h;
  };
  return program(inputs, chain, torch::ones({side, side}));
}

Program scalar_chain(int length, float start, float factor) {
  const Variables inputs = {torch::full({}, start), torch::full({}, factor)};
  return program(inputs, [=] {
    Tensor h = inputs[0];
    for (int i = 0; i < length; ++i) h = h * inputs[1];
    return h;
  });
}

Program fan_out(int width, float x, float factor) {
  const Variables inputs = {torch::full({}, x), torch::full({}, factor)};
  return program(inputs, [=] {
    Tensor sum = inputs[0] * inputs[1];
    for (int i = 1; i < width; ++i) sum = sum + inputs[0] * inputs[1];
    return sum;
  });
}

Program function(const std::string& name, const std::vector<std::vector<std::int64_t>>& shapes,
                 bool wide, const std::vector<std::vector<float>>& inputs,
                 const std::vector<float>& seed) {
  using Function = Tensor (*)(const Variables&);
  static const std::map<std::string, Function> functions = {
      {"exp", [](const Variables& v) { return v[0].exp(); }},
      {"tanh", [](const Variables& v) { return v[0].tanh(); }},
      {"sigmoid", [](const Variables& v) { return v[0].sigmoid(); }},
      {"mul, add", [](const Variables& v) { return v[0] * v[1] + v[2]; }},
      {"tanh, mul, add, sigmoid",
       [](const Variables& v) { return (v[0].tanh() * v[1] + v[2]).sigmoid(); }},
      {"softmax over rows", [](const Variables& v) { return v[0].softmax(-1); }},
      {"softmax over columns", [](const Variables& v) { return v[0].softmax(0); }},
      {"log_softmax over rows", [](const Variables& v) { return v[0].log_softmax(-1); }},
      {"layer_norm",
       [](const Variables& v) { return torch::layer_norm(v[0], {v[0].size(1)}, v[1], v[2]); }},
      {"sum over rows", [](const Variables& v) { return v[0].sum(1); }},
      {"sum over columns", [](const Variables& v) { return v[0].sum(0); }},
      {"mean over rows", [](const Variables& v) { return v[0].mean(1); }},
      {"mean over columns", [](const Variables& v) { return v[0].mean(0); }},
      {"max over rows", [](const Variables& v) { return v[0].amax(1); }},
      {"max over columns", [](const Variables& v) { return v[0].amax(0); }},
      {"mul (p, 3) (p, 3)", [](const Variables& v) { return v[0] * v[1]; }},
      {"mul (p, 3) (p, 1)", [](const Variables& v) { return v[0] * v[1]; }},
      {"mul (p, 1) (5)", [](const Variables& v) { return v[0] * v[1]; }},
      {"sub (300, 1, 3) (300, 3)", [](const Variables& v) { return v[0] - v[1]; }},
      {"sum (p, 3) over 1", [](const Variables& v) { return v[0].sum(1); }},
      {"sum (p, 3) over 0", [](const Variables& v) { return v[0].sum(0); }},
      {"max (p, 3) over 1", [](const Variables& v) { return v[0].amax(1); }},
      {"where (p, 3) (p, 3) (p, 1)",
       [](const Variables& v) { return torch::where(v[0] > 0, v[0], v[1]); }},
      {"softmax (p, 3) over 1", [](const Variables& v) { return v[0].softmax(1); }},
      {"log_softmax (p, 3) over 1", [](const Variables& v) { return v[0].log_softmax(1); }},
      {"logsumexp (p, 3) over 1", [](const Variables& v) { return v[0].logsumexp(1); }},
      {"layer_norm (p, 3)",
       [](const Variables& v) { return torch::layer_norm(v[0], {3}, v[1], v[2]); }},
      {"stack 3 at the last axis",
       [](const Variables& v) { return torch::stack({v[0], v[1], v[2]}, -1); }},
      {"concat (p, 1) (p, 3) at the last axis",
       [](const Variables& v) { return torch::cat({v[0], v[1]}, -1); }},
      {"sin", [](const Variables& v) { return v[0].sin(); }},
      {"cos", [](const Variables& v) { return v[0].cos(); }},
      {"erf", [](const Variables& v) { return v[0].erf(); }},
      {"pow", [](const Variables& v) { return v[0].pow(v[1]); }},
      {"pow 1.7", [](const Variables& v) { return v[0].pow(1.7); }},
      {"max (1000, 1000) over 1", [](const Variables& v) { return v[0].amax(1); }},
      {"min (1000, 1000) over 0", [](const Variables& v) { return v[0].amin(0); }},
      {"sum (100, 100, 100) over 2", [](const Variables& v) { return v[0].sum(2); }},
      {"max (100, 100, 100) over 2", [](const Variables& v) { return v[0].amax(2); }},
      {"sum (100, 100, 100) over 1", [](const Variables& v) { return v[0].sum(1); }},
      {"sum (1000, 10000) over 1", [](const Variables& v) { return v[0].sum(1); }},
      {"mean (1000, 10000) over 1", [](const Variables& v) { return v[0].mean(1); }},
      {"matmul 64", [](const Variables& v) { return v[0].matmul(v[1]); }},
      {"matmul 512", [](const Variables& v) { return v[0].matmul(v[1]); }},
  };
  const auto dtype = wide ? torch::kFloat64 : torch::kFloat32;
  Variables tensors;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    tensors.push_back(tensor_of(inputs[i], shapes[i]).to(dtype));
  const Function f = functions.at(name);
  const Tensor shaped = f(tensors);
  return program(tensors, [=] { return f(tensors); }, tensor_of(seed, shaped.sizes()).to(dtype));
}

struct Perceptron::State {
  Variables x, labels;
  torch::nn::Sequential model;
  Variables parameters;
  std::function<void()> optimizer_step;
  Variables direction, product;

  Tensor loss(std::size_t i) {
    return torch::nn::functional::cross_entropy(model->forward(x[i]), labels[i]);
  }
};

Perceptron::Perceptron(const workloads::Network& network, const workloads::Data& data,
                       const workloads::Start& start)
    : state_(std::make_unique<State>()) {
  const torch::NoGradGuard guard;
  for (std::size_t i = 0; i < workloads::Data::batches; ++i) {
    state_->x.push_back(
        torch::from_blob(const_cast<float*>(data.x_at(i)), {data.batch, data.inputs}));
    state_->labels.push_back(
        torch::from_blob(const_cast<std::int64_t*>(data.labels_at(i)), {data.batch}, torch::kLong));
  }
  torch::nn::Sequential& model = state_->model;
  for (std::size_t l = 0; l < network.layers(); ++l) {
    const int inputs = network.sizes[l], units = network.sizes[l + 1];
    torch::nn::Linear linear(inputs, units);
    linear->weight.copy_(tensor_of(start.weights[l], {inputs, units}).t());
    linear->bias.copy_(tensor_of(start.biases[l], {units}));
    model->push_back(linear);
    if (l + 1 == network.layers()) break;
    if (network.relu)
      model->push_back(torch::nn::ReLU());
    else
      model->push_back(torch::nn::Sigmoid());
  }
  state_->parameters = model->parameters();
  state_->optimizer_step =
      steps_of(network.adam, static_cast<double>(network.rate()), 0, state_->parameters);
}

Perceptron::Perceptron(Perceptron&&) noexcept = default;
Perceptron::~Perceptron() = default;

float Perceptron::gradients(std::size_t i) {
  const Tensor loss = state_->loss(i);
  remove_gradients(state_->parameters);
  loss.backward();
  return loss.item<float>();
}

float Perceptron::step(std::size_t i) {
  const float loss = gradients(i);
  state_->optimizer_step();
  return loss;
}

std::vector<float> Perceptron::gradient(std::size_t layer) const {
  std::vector<float> all = numbers(state_->parameters[2 * layer].grad().t());
  const std::vector<float> db = numbers(state_->parameters[2 * layer + 1].grad());
  all.insert(all.end(), db.begin(), db.end());
  return all;
}

void Perceptron::set_direction(const std::vector<std::vector<float>>& direction) {
  state_->direction.clear();
  for (std::size_t i = 0; i < direction.size(); ++i)
    state_->direction.push_back(tensor_of(direction[i], state_->parameters[i].sizes()));
}

void Perceptron::hessian_vector(std::size_t i) {
  using torch::autograd::grad;
  const Variables& parameters = state_->parameters;
  const Variables gradients = grad({state_->loss(i)}, parameters, {}, {}, true);
  state_->product = grad(gradients, parameters, state_->direction);
}

std::vector<std::vector<float>> Perceptron::last_product() const {
  std::vector<std::vector<float>> all;
  for (const Tensor& each : state_->product) all.push_back(numbers(each));
  return all;
}

OptimizerProgram optimizer(bool adam, float rate, const std::vector<std::vector<float>>& parameters,
                           const std::vector<std::vector<float>>& gradients) {
  Variables all;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto size = static_cast<std::int64_t>(parameters[i].size());
    all.push_back(tensor_of(parameters[i], {size}).requires_grad_());
    all.back().mutable_grad() = tensor_of(gradients[i], {size});
  }
  return {steps_of(adam, static_cast<double>(rate), 0.9, all), [=] { return numbers(all[0]); }};
}

}  // namespace peers
