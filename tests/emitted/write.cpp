// Writes programs with emit_cpp() into a folder, and two files that include their tests: one for
// whole models, one for the samples of every op. They are compiled with Eigen and doctest alone.
// And a document with the derivations of the models, for LaTeX.

#include <chainrule/tests/emitted/own_ops.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include <chainrule/chainrule.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/examples/find_the_mistake/models.hpp>

using namespace chainrule;

namespace {

class Folder {
 public:
  Folder(std::filesystem::path path, std::string prefix)
      : path_(std::move(path)), prefix_(std::move(prefix)) {}

  void add(const std::string& label, const Tensor& loss, const Tensor& predict = {}) {
    EmitOptions options;
    options.name = fmt::format("{}_{}", prefix_, count_ + 1);
    options.predict = predict;
    try {
      emit_cpp(loss, options).write(path_);
    } catch (const Error& e) {
      throw std::runtime_error(fmt::format("{}: {}", label, e.what()));
    }
    ++count_;
    if (prefix_ == "model") write_derivation(label, loss);
    includes_ += fmt::format("#include \"{}_test.cpp\"  // {}\n", options.name, label);
  }
  void finish() const {
    if (!document_.empty()) {
      std::ofstream document(path_ / "derivations.tex");
      document << "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{amsmath}"
                  "\n\\allowdisplaybreaks\n"
                  "\\begin{document}\n"
               << document_ << "\\end{document}\n";
    }
    std::ofstream out(path_ / (prefix_ + "s_test.cpp"));
    out << includes_ << std::flush;
    if (!out) throw std::runtime_error("cannot write " + path_.string());
  }

 private:
  void write_derivation(const std::string& label, const Tensor& loss) {
    const Derivation derivation = derive(loss);
    document_ += "\\section*{" + label + "}\n";
    for (const DerivationView& view :
         {DerivationView{.steps = true, .shapes = true, .norms = true},
          DerivationView{.values = true}, DerivationView{.layers_once = true, .fold_modules = 1}})
      document_ += derivation.latex(view);
  }

  std::filesystem::path path_;
  std::string prefix_, includes_, document_;
  int count_ = 0;
};

Tensor parameter(const char* name, const Shape& shape, Generator& generator, DType dtype = f64) {
  return randn(shape, generator, dtype).named(name).requires_grad_();
}

// Gates side by side in one matrix, as LSTMs have them: slices, products, and a state that comes
// back.
Tensor lstm_loss(Generator& generator) {
  const std::int64_t units = 3, samples = 2;
  const Tensor U = parameter("U", {4, 4 * units}, generator);
  const Tensor V = parameter("V", {units, 4 * units}, generator);
  const Tensor b = parameter("b", {4 * units}, generator);
  Tensor h = zeros({samples, units}, f64), c = zeros({samples, units}, f64);
  for (int step = 1; step <= 3; ++step) {
    const Tensor x = randn({samples, 4}, generator, f64).named(fmt::format("x{}", step));
    const Tensor gates = (matmul(x, U) + matmul(h, V) + b).named(fmt::format("a{}", step));
    const auto gate = [&](std::int64_t k) { return slice(gates, 1, k * units, (k + 1) * units); };
    c = sigmoid(gate(0)) * c + sigmoid(gate(1)) * tanh(gate(2));
    h = (sigmoid(gate(3)) * tanh(c)).named(fmt::format("h{}", step));
  }
  return sum(square(concat({h, c}, 1)));
}

// Vectors instead of matrices, a mask, and a kink.
Tensor vector_loss(Generator& generator) {
  const Tensor W = parameter("W", {3, 4}, generator), b = parameter("b", {3}, generator);
  const Tensor x = randn({4}, generator, f64).named("x");
  const Tensor z = (matmul(W, x) + b).named("z");
  const Tensor kept = where(z > 0, z * 2, 0.1 * z);
  const Tensor apart = slice(x * z[0], 0, 1, 4, 2), each = slice(slice(W, 0, 0, 3, 2), 1, 1, 4, 2);
  return dot(kept, kept) + sum(exp(apart)) + sum(sin(each) * each) + max(z) +
         sum(clamp(z, -0.5, 0.5)) + mean(abs(b)) * sum(W(all, 0));
}

// Data that was computed without recording, and a second derivative.
Tensor penalty_loss(Generator& generator) {
  const Tensor W = parameter("W", {3, 3}, generator), x = randn({3, 2}, generator, f64).named("x");
  Tensor scale;
  {
    const NoGrad guard;
    scale = exp(W);
  }
  const Tensor y = sum(tanh(matmul(W * scale, x)));
  const Tensor slope = grad(y, W, {.create_graph = true});
  return square(y) + sum(square(slope));
}

// Two layers added, a bias that is its result's gradient, and tensors of one row beside vectors.
Tensor odd_loss(Generator& generator) {
  const Tensor W = parameter("errno", {1, 2}, generator), b = parameter("b", {1, 1}, generator);
  const Tensor x = randn({2, 1}, generator, f64).named("x");
  const Tensor V = parameter("M_PI", {3, 2}, generator), c = parameter("c", {3}, generator);
  const Tensor U = parameter("above", {3, 2}, generator), d = parameter("d", {3}, generator);
  const Tensor a = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64), e = tensor({{1.0, 2.0}, {3.0, 4.0}}, f64);
  return sum(square(matmul(W, x) + b)) + sum(square(linear(a, V, c) + linear(e, U, d))) +
         sum(square(b * c)) + sum(b * d * c + reshape(c, {1, 3}) * reshape(d, {3, 1}));
}

// Every reduction over rows, over columns, and over all, with and without the axis kept.
Tensor reductions_loss(Generator& generator) {
  const Tensor A = parameter("A", {3, 4}, generator), r = parameter("r", {4}, generator);
  Tensor loss = sum(permute(A, {1, 0})(0, all)) + sum(contiguous(A.T()));
  loss = loss + dot(reshape(A, {12}), reshape(A * A, {12})) +
         sum(matmul(reshape(A, {4, 3}), A) * reshape(r, {1, 4}) * reshape(r, {4, 1}));
  using Reduction = Tensor (*)(const Tensor&, const Axes&, bool, Where);
  for (const Reduction reduce :
       {Reduction(sum), Reduction(mean), Reduction(max), Reduction(min), Reduction(logsumexp)}) {
    const auto here = Where::current();
    loss = loss + dot(reduce(A, 0, false, here), r) + sum(reduce(A, 1, true, here) * A) +
           sum(square(reduce(A, 1, false, here))) + sum(reduce(A, 0, true, here) / (A * A + 1)) +
           square(reduce(A, {}, false, here));
  }
  return loss + sum(softmax(A, 0) * A) + sum(log_softmax(A, 1) * A) + sum(softmax(r) * r);
}

// Tensors of one element, which are doubles, and elements of them.
Tensor one_element_loss(Generator& generator) {
  const Tensor o = parameter("o", {1}, generator), m = parameter("m", {1, 1}, generator);
  const Tensor v = parameter("v", {5}, generator), s = parameter("s", {}, generator);
  const Tensor r = parameter("r", {1, 3}, generator), none = zeros({0}, f64);
  Tensor loss = exp(o[0]) + square(m(0, 0)) + sum(square(sin(v)), 0, true)[0] * 2.0;
  loss = loss + sin(o)[0] * slice(o, 0, 0, 1)[0] + sum(slice(m, 1, 0, 1) * m[0]);
  loss = loss + sum(square(concat({o, none}))) + sum(square(concat({o, o}, 0) * o));
  loss = loss + sum(softmax(o * v[0]) * o) + sum(log_softmax(m * o, 1) * m) + logsumexp(o * s);
  loss =
      loss + sum(logsumexp(m * s, 0)) + sum(logsumexp(m, 1, true) * m) + max(o * s) + mean(m * m);
  loss = loss + sum(matmul(m, r) * o) + dot(o, o) + sum(matmul(o, m)) + sum(matmul(m.T(), m));
  loss = loss + sum(outer(o, v)) * s + sum(outer(o, o)) + sum(where(o > 0, o, m * s));
  loss = loss + sum(expand(o, {3}) * r) + sum(reshape(m, {1}) * o) + sum(permute(m, {1, 0}) * r);
  return loss + sum(layer_norm(r, {3}) * r * m) + sum(square(sigmoid(o) + tanh(m) * s));
}

void write_models(const std::filesystem::path& path) {
  Folder folder(path, "model");
  std::set<std::string> seen;
  for (const mistakes::Derived& derived : mistakes::right_derivations())
    if (seen.insert(derived.model).second) folder.add(derived.model, derived.loss);

  Generator generator(7);
  const Tensor x = randn({5, 4}, generator, f64).named("x");
  const Tensor labels = randint(0, 2, {5}, generator);
  for (const DType dtype : {f64, f32}) {
    nn::Sequential model(nn::Linear(4, 6, {.dtype = dtype}), nn::Tanh(),
                         nn::LayerNorm(6, {.dtype = dtype}), nn::Linear(6, 3, {.dtype = dtype}),
                         nn::ReLU(), nn::Linear(3, 2, {.dtype = dtype}));
    const Tensor logits = model(to(x, dtype).named("x"));
    folder.add(fmt::format("nn, cross-entropy, {}", name_of(dtype)),
               nn::CrossEntropyLoss()(logits, labels), logits);
  }
  nn::Sequential regression(nn::Linear(4, 3, {.dtype = f64}), nn::Sigmoid(),
                            nn::Linear(3, 1, {.dtype = f64}));
  const Tensor y = regression(x);
  folder.add("nn, squared error", mse_loss(y, randn({5, 1}, generator, f64)), y);
  folder.add("LSTM", lstm_loss(generator));
  folder.add("vectors", vector_loss(generator));
  folder.add("reductions", reductions_loss(generator));
  folder.add("odd names and shapes", odd_loss(generator));
  folder.add("gradient penalty", penalty_loss(generator));
  folder.add("one element", one_element_loss(generator));
  for (const auto& losses : {own_op_losses(), own_form_losses()})
    for (const auto& [label, loss] : losses) folder.add(label, loss);
  // A logarithm of negative numbers: NaN in the loss, and numbers in the gradient.
  folder.add("NaN", sum(log(parameter("w", {4}, generator))));
  folder.finish();
}

// The first two samples of every op that fit into matrices; of one with several forms, which stand
// before a colon in the labels, of each.
void write_operations(const std::filesystem::path& path) {
  Folder folder(path, "operation");
  // Those that go by indices, which Eigen's matrices have no word for; and those whose samples have
  // three axes.
  const std::set<std::string> not_emitted{"alias",     "copy",    "contiguous",  "gather",
                                          "index_add", "reshape", "scatter_add", "take"};
  for (const Op* op : all_ops()) {
    if (!op->differentiable() || op->samples().empty()) continue;
    std::map<std::string, int> emitted;  // by form
    std::string reason;
    for (const Sample& sample : op->samples()) {
      const std::string form = sample.label.substr(0, sample.label.find(':') + 1);
      if (emitted.contains(form) && emitted[form] == 2) continue;
      std::vector<Tensor> inputs;
      for (std::size_t k = 0; k < sample.inputs.size(); ++k) {
        Tensor input = sample.inputs[k].detach();
        if (is_floating(input.dtype()))
          input = contiguous(input).named(fmt::format("x{}", k)).requires_grad_();
        inputs.push_back(std::move(input));
      }
      const Tensor y = to(sample.apply(inputs), f64);
      const Tensor weights = reshape(arange(1, y.numel() + 1, 1, f64) * 0.37 - 0.5, y.shape());
      try {
        folder.add(fmt::format("{}, {}", op->name(), sample.label), sum(y * weights.named("w")));
        ++emitted[form];
      } catch (const std::runtime_error& e) {
        reason = e.what();
        if (reason.find(" no form in Eigen") == reason.npos && reason.find("axes") == reason.npos)
          throw;
      }
    }
    if (emitted.empty() != not_emitted.contains(op->name()))
      throw std::runtime_error(
          fmt::format("{}: {} of its forms emitted; {}", op->name(), emitted.size(), reason));
  }
  folder.finish();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("which folder?");
    std::filesystem::create_directories(argv[1]);
    write_models(argv[1]);
    write_operations(argv[1]);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
