// What it takes to derive, to check what a person derived, and to draw: for a deep perceptron, a
// long recurrent net and a transformer block of primitive operations.

#include <chainrule/chainrule.hpp>

#include <string>
#include <vector>

#include <chainrule/bench/measure.hpp>

namespace {

using namespace chainrule;

constexpr double most_seconds = 2;

struct Model {
  std::string name;
  Tensor loss;
  std::vector<Formula> by_hand;
};

Tensor parameter(const Shape& shape, Generator& generator, const std::string& name,
                 double scale = 0.5) {
  return (randn(shape, generator, f64) * scale).named(name).requires_grad_();
}

std::string numbered(const char* name, int number) { return name + std::to_string(number); }

Model perceptron(int layers) {
  Generator generator(1);
  Model model{std::to_string(layers) + "-layer perceptron", {}, {}};
  const Tensor x = randn({32, 16}, generator, f64).named("x");
  const Tensor y = one_hot(randint(0, 8, {32}, generator), 8, f64).named("y");
  std::vector<Tensor> W, b, z, h{x};
  for (int i = 1; i <= layers; ++i) {
    const std::int64_t outputs = i == layers ? 8 : 16;
    W.push_back(parameter({outputs, 16}, generator, numbered("W", i)));
    b.push_back(parameter({outputs}, generator, numbered("b", i)));
    z.push_back((matmul(h.back(), W.back().T()) + b.back()).named(numbered("z", i)));
    if (i < layers) h.push_back(tanh(z.back()).named(numbered("h", i)));
  }
  const Tensor p = softmax(z.back(), 1).named("p");
  model.loss = -sum(y * log(p)) / 32.0;
  Tensor dz = (p - y) / 32.0;
  for (auto i = static_cast<std::size_t>(layers); i-- > 0;) {
    const std::string number = std::to_string(i + 1);
    model.by_hand.push_back({"dz" + number, z[i], dz});
    model.by_hand.push_back({"dW" + number, W[i], matmul(dz.T(), h[i])});
    model.by_hand.push_back({"db" + number, b[i], sum(dz, 0)});
    if (i > 0) dz = matmul(dz, W[i]) * (1.0 - square(h[i]));
  }
  return model;
}

Model recurrent(int steps) {
  Generator generator(2);
  Model model{std::to_string(steps) + "-step recurrent net", {}, {}};
  const Tensor W = parameter({8, 8}, generator, "W", 0.3);
  const Tensor U = parameter({8, 4}, generator, "U");
  const Tensor b = parameter({8}, generator, "b");
  std::vector<Tensor> x, h{zeros({8}, f64).named("h0")};
  for (int t = 1; t <= steps; ++t) {
    x.push_back(randn({4}, generator, f64).named(numbered("x", t)));
    h.push_back(tanh(matmul(W, h.back()) + matmul(U, x.back()) + b).named(numbered("h", t)));
  }
  const Tensor y = randn({8}, generator, f64).named("y");
  model.loss = 0.5 * sum(square(h.back() - y));
  Tensor dh = h.back() - y, dW = zeros({8, 8}, f64), dU = zeros({8, 4}, f64), db = zeros({8}, f64);
  for (auto t = static_cast<std::size_t>(steps); t > 0; --t) {
    const Tensor dz = dh * (1.0 - square(h[t]));
    dW = dW + outer(dz, h[t - 1]);
    dU = dU + outer(dz, x[t - 1]);
    db = db + dz;
    dh = matmul(W.T(), dz);
  }
  model.by_hand = {{"dW", W, dW}, {"dU", U, dU}, {"db", b, db}};
  return model;
}

// One head, two residuals, layer norms and a feed-forward part, of primitive operations.
Model transformer_block() {
  constexpr std::int64_t length = 16, width = 32, inner = 64;
  Generator generator(3);
  Model model{"transformer block", {}, {}};
  const Tensor X = randn({length, width}, generator, f64).named("X");
  const Tensor T = randn({length, width}, generator, f64).named("T");
  const auto weight = [&](const char* name, std::int64_t from, std::int64_t to) {
    return parameter({from, to}, generator, name, 0.2);
  };
  const Tensor WQ = weight("WQ", width, width), WK = weight("WK", width, width),
               WV = weight("WV", width, width), WO = weight("WO", width, width),
               W1 = weight("W1", width, inner), W2 = weight("W2", inner, width);
  struct Normed {
    Tensor u, s;
  };
  const auto normalize = [](const Tensor& x, const char* name) {
    const Tensor c = x - mean(x, 1, true);
    const Tensor s = sqrt(mean(square(c), 1, true) + 1e-5);
    return Normed{(c / s).named(name), s};
  };
  const auto norm_back = [](const Normed& norm, const Tensor& du) {
    return (du - mean(du, 1, true) - norm.u * mean(du * norm.u, 1, true)) / norm.s;
  };
  const double root = std::sqrt(static_cast<double>(width));
  const Normed first = normalize(X, "A");
  const Tensor Q = matmul(first.u, WQ).named("Q"), K = matmul(first.u, WK).named("K"),
               V = matmul(first.u, WV).named("V");
  const Tensor P = softmax(matmul(Q, K.T()) / root, 1).named("P");
  const Tensor H = matmul(P, V).named("H");
  const Tensor Y = (X + matmul(H, WO)).named("Y");
  const Normed second = normalize(Y, "B");
  const Tensor F = relu(matmul(second.u, W1)).named("F");
  const Tensor Z = (Y + matmul(F, W2)).named("Z");
  model.loss = 0.5 * mean(square(Z - T));

  const Tensor dZ = (Z - T) / static_cast<double>(length * width);
  const Tensor dF = matmul(dZ, W2.T()), dG = dF * to(F > 0.0, f64);
  const Tensor dY = dZ + norm_back(second, matmul(dG, W1.T()));
  const Tensor dH = matmul(dY, WO.T()), dP = matmul(dH, V.T());
  const Tensor dS = P * (dP - sum(dP * P, 1, true)) / root;
  const Tensor dQ = matmul(dS, K), dK = matmul(dS.T(), Q), dV = matmul(P.T(), dH);
  model.by_hand = {{"dZ", Z, dZ},
                   {"dW2", W2, matmul(F.T(), dZ)},
                   {"dW1", W1, matmul(second.u.T(), dG)},
                   {"dY", Y, dY},
                   {"dWO", WO, matmul(H.T(), dY)},
                   {"dP", P, dP},
                   {"dQ", Q, dQ},
                   {"dK", K, dK},
                   {"dV", V, dV},
                   {"dWQ", WQ, matmul(first.u.T(), dQ)},
                   {"dWK", WK, matmul(first.u.T(), dK)},
                   {"dWV", WV, matmul(first.u.T(), dV)}};
  return model;
}

double seconds_of(auto&& f) {
  std::vector<double> times;
  for (int i = 0; i < 3; ++i) times.push_back(bench::time_of(1, f));
  return bench::spread(times).median;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  set_num_threads(1);
  for (const Model& model : {perceptron(50), recurrent(200), transformer_block()}) {
    bench::require(check_derivation(model.loss, model.by_hand).ok(),
                   "derivation: a formula by hand of the " + model.name + " is wrong");
    const auto figure = [&](const std::string& what, auto&& f) {
      report.figure(model.name + ": " + what, seconds_of(f), "s", most_seconds);
    };
    figure("derive() and its text",
           [&] { bench::keep(derive(model.loss).text({.layers_once = true})); });
    figure("check_derivation() of " + std::to_string(model.by_hand.size()) + " formulas",
           [&] { bench::keep(check_derivation(model.loss, model.by_hand)); });
    figure("graph_html()", [&] { bench::keep(graph_html(model.loss)); });
  }
}
