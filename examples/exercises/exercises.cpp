#include <chainrule/examples/exercises/exercises.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/text_file.hpp>

namespace exercises {

using cr::Exercise;
using cr::Tensor;
using cr::UsualMistake;
using Mistakes = std::vector<UsualMistake>;

namespace {

// Quarters that are not 0, so that somebody can compute with them.
Tensor quarters(const cr::Shape& shape, cr::Generator& random) {
  std::vector<double> numbers(static_cast<std::size_t>(shape.numel()));
  for (double& number : numbers) {
    const double size = static_cast<double>(random.integer(1, 7)) / 4;
    number = random.integer(0, 2) == 0 ? size : -size;
  }
  return cr::from_vector(numbers, shape);
}

Tensor data(const std::string& name, const cr::Shape& shape, cr::Generator& random) {
  return quarters(shape, random).named(name);
}

Tensor parameter(const std::string& name, const cr::Shape& shape, cr::Generator& random) {
  return quarters(shape, random).named(name).requires_grad_();
}

// A 1 in each column.
Tensor labels(const std::string& name, std::int64_t classes, std::int64_t samples,
              cr::Generator& random) {
  const Tensor rows = cr::one_hot(cr::randint(0, classes, {samples}, random), classes, cr::f64);
  return cr::contiguous(rows.T()).named(name);
}

// z = W·h + b with σ between, softmax behind the last, and the loss −yᵀ log p or its mean. Samples
// are columns; capital letters stand for a batch, as in textbooks. Layers count from 1.
struct Network {
  Network(const std::vector<std::int64_t>& units, std::int64_t samples, cr::Generator& random) {
    const bool batch = samples > 1;
    const std::size_t layers = units.size() - 1;
    h.push_back(data(batch ? "X" : "x", {units[0], samples}, random));
    for (std::size_t l = 1; l <= layers; ++l) {
      W.push_back(parameter(fmt::format("W{}", l), {units[l], units[l - 1]}, random));
      const Tensor b = parameter(fmt::format("b{}", l), {units[l], 1}, random);
      z.push_back((matmul(W[l], h[l - 1]) + b).named(fmt::format("{}{}", batch ? "Z" : "z", l)));
      if (l < layers)
        h.push_back(cr::sigmoid(z[l]).named(fmt::format("{}{}", batch ? "H" : "h", l)));
    }
    const Tensor p = cr::softmax(z[layers], 0).named(batch ? "P" : "p");
    const Tensor y = labels(batch ? "Y" : "y", units[layers], samples, random);
    loss = -cr::sum(y * log(p));
    if (batch) loss = loss / static_cast<double>(samples);
  }
  std::vector<Tensor> W{{}}, z{{}}, h;
  Tensor loss;
};

Exercise chain(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  const auto size = [&] { return random.integer(2, 4); };
  const Network net({size(), size(), size(), size()}, 1, random);
  return cr::make_exercise(
      net.loss,
      {.title = "Backpropagation through two hidden layers", .seed = seed, .mistakes = mistakes});
}

Exercise batch(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  const auto size = [&] { return random.integer(2, 4); };
  const Network net({size(), size(), size()}, random.integer(2, 5), random);
  return cr::make_exercise(
      net.loss, {.title = "A batch: the mean of its losses", .seed = seed, .mistakes = mistakes});
}

// What people answer when they are asked for the rule of a layer.
Exercise rules(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  // All of one width, so that a wrong answer is not given away by its shape.
  const Network net(std::vector<std::int64_t>(10, 2), 1, random);
  const auto &W = net.W, &z = net.z, &h = net.h;
  const auto d = [&](const Tensor& of) {
    return cr::grad(net.loss, of, {.retain_graph = true}).detach();
  };
  const cr::NoGrad guard;
  const auto slope = [](const Tensor& at) { return cr::sigmoid(at) * (1 - cr::sigmoid(at)); };
  Mistakes all = mistakes;
  const Mistakes usual = {
      {"dW5", "dz5·(h5)ᵀ",
       "h5 comes out of layer 5. W5 is multiplied by what goes into it: z5 = W5·h4 + b5.",
       matmul(d(z[5]), h[5].T())},
      {"dW5", "dz4·(h5)ᵀ",
       "The two layers are exchanged: z5 = W5·h4 + b5 has z on the side of layer 5, and h of "
       "layer 4.",
       matmul(d(z[4]), h[5].T())},
      {"dh7", "(W7)ᵀ·dz7",
       "This is dh6, as W7 leads from h6 to z7. What follows h7 is z8 = W8·h7 + b8.",
       matmul(W[7].T(), d(z[7]))},
      {"dh7", "(W6)ᵀ·dz6", "This is dh5, two layers too early. What follows h7 is z8 = W8·h7 + b8.",
       matmul(W[6].T(), d(z[6]))},
      {"dh7", "(W7)ᵀ·dz6",
       "W7 and dz6 belong to two layers, so that this is the gradient of nothing; and both lie "
       "before h7, while its gradient comes from behind: z8 = W8·h7 + b8.",
       matmul(W[7].T(), d(z[6]))},
      {"dz4", "dh3 ⊗ σ'(z3)", "This is dz3: the right rule, for the layer before.",
       d(h[3]) * slope(z[3])},
      {"dz4", "dh4 ⊗ σ'(z5)",
       "σ' is taken where σ was: h4 = σ(z4). z5 comes behind it, and has nothing to do with it.",
       d(h[4]) * slope(z[5])}};
  // A person's own words come first.
  for (const UsualMistake& mistake : usual)
    if (std::ranges::none_of(mistakes, [&](const UsualMistake& own) {
          return own.gradient == mistake.gradient && own.formula == mistake.formula;
        }))
      all.push_back(mistake);
  return cr::make_exercise(net.loss, {.title = "The rules of layers 5, 7 and 4",
                                      .seed = seed,
                                      .elements = false,
                                      .of = {W[5], h[7], z[4]},
                                      .mistakes = all});
}

// Softmax where its gradient does not collapse to p − y.
Exercise softmax(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  const std::int64_t classes = random.integer(2, 5), features = random.integer(2, 4);
  const Tensor W = parameter("W", {classes, features}, random);
  const Tensor z = matmul(W, data("x", {features, 1}, random)).named("z");
  const Tensor p = cr::softmax(z, 0).named("p"), t = labels("t", classes, 1, random);
  const Tensor loss = cr::sum(cr::square(p - t)) / 2.0;
  return cr::make_exercise(
      loss, {.title = "Softmax with a squared error", .seed = seed, .mistakes = mistakes});
}

// h_k = tanh(U·x_k + V·h_{k−1}): the same weights in each step.
Exercise recurrent(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  const std::int64_t units = random.integer(2, 4), features = random.integer(2, 4);
  const std::int64_t steps = random.integer(2, 4);
  const Tensor U = parameter("U", {units, features}, random);
  const Tensor V = parameter("V", {units, units}, random);
  Tensor h = data("h0", {units, 1}, random);
  for (std::int64_t k = 1; k <= steps; ++k) {
    const Tensor x = data(fmt::format("x{}", k), {features, 1}, random);
    const Tensor z = (matmul(U, x) + matmul(V, h)).named(fmt::format("z{}", k));
    h = cr::tanh(z).named(fmt::format("h{}", k));
  }
  const Tensor loss = cr::sum(cr::square(h - data("t", {units, 1}, random))) / 2.0;
  return cr::make_exercise(
      loss, {.title = "Backpropagation through time", .seed = seed, .mistakes = mistakes});
}

// out = softmax(Q·Kᵀ/√d)·V (A. Vaswani et al., "Attention is all you need", 2017, eq. 1).
Exercise attention(std::uint64_t seed, const Mistakes& mistakes) {
  cr::Generator random(seed);
  const std::int64_t positions = random.integer(2, 4), d = 4;
  const Tensor Q = parameter("Q", {positions, d}, random);
  const Tensor K = parameter("K", {positions, d}, random);
  const Tensor V = parameter("V", {positions, d}, random);
  const Tensor R = matmul(Q, K.T()).named("R");
  const Tensor S = (R / std::sqrt(static_cast<double>(d))).named("S");
  const Tensor A = cr::softmax(S, 1).named("A"), O = matmul(A, V).named("O");
  const Tensor loss = cr::sum(cr::square(O - data("T", {positions, d}, random))) / 2.0;
  return cr::make_exercise(loss,
                           {.title = "An attention head", .seed = seed, .mistakes = mistakes});
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

const std::vector<Named>& all() {
  static const std::vector<Named> exercises = {
      {"chain", "a network with two hidden layers, softmax, and the loss −yᵀ log p", chain},
      {"batch", "the mean of the losses of a batch", batch},
      {"rules", "a quiz: which rule has layer 5, 7, 4 of a deep network?", rules},
      {"softmax", "softmax where p − y is not the answer", softmax},
      {"recurrent", "the same weights in several steps of time", recurrent},
      {"attention", "softmax(Q·Kᵀ/√d)·V", attention}};
  return exercises;
}

const Named* find(const std::string& name) {
  const auto found =
      std::ranges::find_if(all(), [&](const Named& each) { return each.name == name; });
  return found == all().end() ? nullptr : &*found;
}

Mistakes read_mistakes(const std::string& path) {
  Mistakes mistakes;
  std::istringstream lines(examples::read_text_file(path));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t first = line.find('|'), second = line.find('|', first + 1);
    UsualMistake mistake;
    if (first != std::string::npos && second != std::string::npos)
      mistake = {trimmed(line.substr(0, first)),
                 trimmed(line.substr(first + 1, second - first - 1)),
                 trimmed(line.substr(second + 1))};
    if (mistake.gradient.empty() || mistake.formula.empty() || mistake.why.empty())
      throw chainrule::IoError(
          fmt::format("{}:{}: this is not 'gradient | formula | what it confuses'", path, number));
    mistakes.push_back(std::move(mistake));
  }
  return mistakes;
}

}  // namespace exercises
