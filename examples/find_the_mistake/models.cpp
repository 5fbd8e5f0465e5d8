#include <chainrule/examples/find_the_mistake/models.hpp>

#include <fmt/format.h>

#include <cmath>

#include <chainrule/chainrule.hpp>

namespace mistakes {

using cr::Formula;
using cr::Tensor;

namespace {

std::string name(const char* of, int layer) { return fmt::format("{}{}", of, layer); }

// Numbers of a size that keeps activations away from where they are flat.
Tensor weights(std::int64_t rows, std::int64_t columns, cr::Generator& random) {
  return cr::randn({rows, columns}, random, cr::f64) / std::sqrt(static_cast<double>(columns));
}

Tensor parameter(std::string_view of, const Tensor& value) {
  return value.named(of).requires_grad_();
}

Tensor one_hot_columns(std::int64_t classes, std::int64_t samples, cr::Generator& random) {
  return cr::contiguous(
      cr::one_hot(cr::randint(0, classes, {samples}, random), classes, cr::f64).T());
}

Tensor sigmoid_slope(const Tensor& z) { return cr::sigmoid(z) * (1 - cr::sigmoid(z)); }

}  // namespace

Perceptron::Perceptron(const std::vector<std::int64_t>& units, std::int64_t samples,
                       std::uint64_t seed, Ending ending, Hidden hidden)
    : ending(ending), hidden(hidden), samples(samples) {
  cr::Generator random(seed);
  const int last = static_cast<int>(units.size()) - 1;
  x = cr::randn({units[0], samples}, random, cr::f64).named("x");
  if (ending == Ending::softmax)
    y = one_hot_columns(units.back(), samples, random).named("y");
  else if (ending == Ending::two_classes)
    y = cr::to(cr::uniform(0, 1, {units.back(), samples}, random, cr::f64) > 0.5, cr::f64)
            .named("y");
  else
    y = cr::randn({units.back(), samples}, random, cr::f64).named("y");
  h.push_back(x);
  for (int l = 1; l <= last; ++l) {
    W.push_back(parameter(name("W", l), weights(units[l], units[l - 1], random)));
    b.push_back(parameter(name("b", l), cr::randn({units[l], 1}, random, cr::f64) * 0.5));
    z.push_back((matmul(W[l], h[l - 1]) + b[l]).named(name("z", l)));
    if (l == last) break;
    const Tensor active = hidden == Hidden::sigmoid ? cr::sigmoid(z[l])
                          : hidden == Hidden::tanh  ? cr::tanh(z[l])
                                                    : cr::relu(z[l]);
    h.push_back(active.named(name("h", l)));
  }
  const auto N = static_cast<double>(samples);
  if (ending == Ending::softmax) {
    p = cr::softmax(z[last], 0).named("p");
    loss = -cr::sum(y * log(p)) / N;
  } else if (ending == Ending::squared) {
    p = z[last];
    loss = cr::sum(cr::square(z[last] - y)) / (2 * N);
  } else {
    p = cr::sigmoid(z[last]).named("p");
    loss = -cr::sum(y * log(p) + (1 - y) * log(1 - p)) / N;
  }
}

Tensor Perceptron::slope(const Tensor& at) const {
  if (hidden == Hidden::sigmoid) return sigmoid_slope(at);
  if (hidden == Hidden::tanh) return 1 - cr::square(cr::tanh(at));
  return cr::to(at > 0, cr::f64);
}

std::vector<Formula> Perceptron::chain(const Change& change) const {
  const cr::NoGrad guard;
  std::vector<Formula> formulas;
  Gradients so_far;
  const auto add = [&](std::string gradient, const Tensor& of, Tensor value) {
    if (change) value = change(gradient, value, so_far);
    so_far[gradient] = value;
    formulas.push_back({std::move(gradient), of, value});
    return value;
  };
  Tensor dz = (p - y) / static_cast<double>(samples);
  for (int l = layers();; --l) {
    dz = add(name("dz", l), z[l], dz);
    (void)add(name("dW", l), W[l], matmul(dz, h[l - 1].T()));
    (void)add(name("db", l), b[l], cr::sum(dz, 1, true));
    if (l == 1) return formulas;
    const Tensor dh = add(name("dh", l - 1), h[l - 1], matmul(W[l].T(), dz));
    dz = dh * slope(z[l - 1]);
  }
}

namespace {

Derived perceptron(const std::vector<std::int64_t>& units, std::int64_t samples, std::uint64_t seed,
                   Ending ending, Hidden hidden) {
  const Perceptron net(units, samples, seed, ending, hidden);
  static constexpr const char* endings[] = {"softmax", "squared", "two classes"};
  static constexpr const char* hiddens[] = {"sigmoid", "tanh", "relu"};
  return {
      fmt::format("perceptron, {} layers, {}, {}, {} samples", net.layers(),
                  hiddens[static_cast<int>(hidden)], endings[static_cast<int>(ending)], samples),
      net.loss, net.chain()};
}

// loss = Σ (X w − y)² / 2N + λ Σ w² / 2; samples in rows.
Derived ridge(std::int64_t samples, double penalty, std::uint64_t seed) {
  cr::Generator random(seed);
  const auto N = static_cast<double>(samples);
  const Tensor X = cr::randn({samples, 4}, random, cr::f64).named("X");
  const Tensor y = cr::randn({samples, 1}, random, cr::f64).named("y");
  const Tensor w = parameter("w", cr::randn({4, 1}, random, cr::f64));
  const Tensor e = (matmul(X, w) - y).named("e");
  Tensor loss = cr::sum(cr::square(e)) / (2 * N);
  if (penalty > 0) loss = loss + cr::sum(cr::square(w)) * (penalty / 2);
  const cr::NoGrad guard;
  return {penalty > 0 ? "linear regression with an L2 penalty" : "linear regression",
          loss,
          {{"de", e, e / N}, {"dw", w, matmul(X.T(), e) / N + penalty * w}}};
}

// Samples in rows, and the loss of the library from labels.
Derived softmax_regression(std::int64_t samples, std::uint64_t seed) {
  cr::Generator random(seed);
  const auto N = static_cast<double>(samples);
  const Tensor X = cr::randn({samples, 5}, random, cr::f64).named("X");
  const Tensor labels = cr::randint(0, 3, {samples}, random);
  const Tensor W = parameter("W", weights(3, 5, random));
  const Tensor b = parameter("b", cr::randn({3}, random, cr::f64));
  const Tensor z = cr::linear(X, W, b).named("z");
  const Tensor loss = cr::cross_entropy(z, labels);
  const cr::NoGrad guard;
  const Tensor dz = (cr::softmax(z) - cr::one_hot(labels, 3, cr::f64)) / N;
  return {"softmax regression, samples in rows",
          loss,
          {{"dz", z, dz}, {"dW", W, matmul(dz.T(), X)}, {"db", b, cr::sum(dz, 0)}}};
}

// x̂ = Wᵀ σ(W x): the weights stand in two places.
Derived autoencoder(std::int64_t samples, std::uint64_t seed) {
  cr::Generator random(seed);
  const auto N = static_cast<double>(samples);
  const Tensor x = cr::randn({5, samples}, random, cr::f64).named("x");
  const Tensor W = parameter("W", weights(3, 5, random));
  const Tensor z = matmul(W, x).named("z");
  const Tensor h = cr::sigmoid(z).named("h");
  const Tensor r = matmul(W.T(), h).named("r");
  const Tensor loss = cr::sum(cr::square(r - x)) / N;
  const cr::NoGrad guard;
  const Tensor dr = 2.0 * (r - x) / N;
  const Tensor dh = matmul(W, dr);
  const Tensor dz = dh * sigmoid_slope(z);
  return {"autoencoder with shared weights",
          loss,
          {{"dr", r, dr},
           {"dh", h, dh},
           {"dz", z, dz},
           {"dW", W, matmul(h, dr.T()) + matmul(dz, x.T())}}};
}

// O = softmax(Q Kᵀ / √d) V, with half the squared distance from T; positions in rows.
Derived attention(std::int64_t positions, std::uint64_t seed) {
  cr::Generator random(seed);
  const std::int64_t d = 4;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const Tensor X = cr::randn({positions, 5}, random, cr::f64).named("X");
  const Tensor T = cr::randn({positions, d}, random, cr::f64).named("T");
  const Tensor Wq = parameter("Wq", weights(5, d, random));
  const Tensor Wk = parameter("Wk", weights(5, d, random));
  const Tensor Wv = parameter("Wv", weights(5, d, random));
  const Tensor Q = matmul(X, Wq).named("Q"), K = matmul(X, Wk).named("K"),
               V = matmul(X, Wv).named("V");
  const Tensor S = (matmul(Q, K.T()) * scale).named("S");
  const Tensor A = cr::softmax(S, 1).named("A");
  const Tensor O = matmul(A, V).named("O");
  const Tensor loss = cr::sum(cr::square(O - T)) / 2.0;
  const cr::NoGrad guard;
  const Tensor dO = O - T;
  const Tensor dA = matmul(dO, V.T()), dV = matmul(A.T(), dO);
  const Tensor dS = A * (dA - cr::sum(A * dA, 1, true));
  const Tensor dQ = matmul(dS, K) * scale, dK = matmul(dS.T(), Q) * scale;
  return {"attention head",
          loss,
          {{"dO", O, dO},
           {"dA", A, dA},
           {"dV", V, dV},
           {"dS", S, dS},
           {"dQ", Q, dQ},
           {"dK", K, dK},
           {"dWq", Wq, matmul(X.T(), dQ)},
           {"dWk", Wk, matmul(X.T(), dK)},
           {"dWv", Wv, matmul(X.T(), dV)}}};
}

// Layer normalisation written out: u = (a − μ) / s with s = √(σ² + ε), out = γ ⊗ u + β; samples in
// rows of n features (J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016).
Derived layer_normalisation(std::int64_t samples, std::uint64_t seed) {
  cr::Generator random(seed);
  const std::int64_t n = 5;
  const Tensor X = cr::randn({samples, n}, random, cr::f64).named("X");
  const Tensor T = cr::randn({samples, n}, random, cr::f64).named("T");
  const Tensor W = parameter("W", weights(n, n, random));
  const Tensor gamma = parameter("γ", 1 + 0.3 * cr::randn({n}, random, cr::f64));
  const Tensor beta = parameter("β", cr::randn({n}, random, cr::f64));
  const Tensor a = matmul(X, W).named("a");
  const Tensor centred = a - cr::mean(a, 1, true);
  const Tensor s = cr::sqrt(cr::mean(cr::square(centred), 1, true) + 1e-5).named("s");
  const Tensor u = (centred / s).named("u");
  const Tensor out = (gamma * u + beta).named("o");
  const Tensor loss = cr::sum(cr::square(out - T)) / 2.0;
  const cr::NoGrad guard;
  const Tensor d_out = out - T;
  const Tensor du = d_out * gamma;
  const Tensor da = (du - cr::mean(du, 1, true) - u * cr::mean(du * u, 1, true)) / s;
  return {"layer normalisation written out",
          loss,
          {{"do", out, d_out},
           {"dγ", gamma, cr::sum(d_out * u, 0)},
           {"dβ", beta, cr::sum(d_out, 0)},
           {"du", u, du},
           {"da", a, da},
           {"dW", W, matmul(X.T(), da)}}};
}

// h_t = tanh(U x_t + V h_{t−1} + b) over some steps: the same weights in each.
Derived recurrent(int steps, std::int64_t samples, std::uint64_t seed) {
  cr::Generator random(seed);
  const Tensor U = parameter("U", weights(4, 3, random)), V = parameter("V", weights(4, 4, random));
  const Tensor b = parameter("b", cr::randn({4, 1}, random, cr::f64) * 0.5);
  const Tensor y = cr::randn({4, samples}, random, cr::f64).named("y");
  std::vector<Tensor> x{{}}, z{{}}, h{cr::zeros({4, samples}, cr::f64).named("h0")};
  for (int t = 1; t <= steps; ++t) {
    x.push_back(cr::randn({3, samples}, random, cr::f64).named(name("x", t)));
    z.push_back((matmul(U, x[t]) + matmul(V, h[t - 1]) + b).named(name("z", t)));
    h.push_back(cr::tanh(z[t]).named(name("h", t)));
  }
  const Tensor loss = cr::sum(cr::square(h[steps] - y)) / 2.0;
  const cr::NoGrad guard;
  std::vector<Formula> formulas;
  Tensor dh = h[steps] - y;
  Tensor dU = cr::zeros_like(U.detach()), dV = cr::zeros_like(V.detach()),
         db = cr::zeros_like(b.detach());
  for (int t = steps; t >= 1; --t) {
    formulas.push_back({name("dh", t), h[t], dh});
    const Tensor dz = dh * (1 - cr::square(h[t]));
    formulas.push_back({name("dz", t), z[t], dz});
    dU = dU + matmul(dz, x[t].T());
    dV = dV + matmul(dz, h[t - 1].T());
    db = db + cr::sum(dz, 1, true);
    dh = matmul(V.T(), dz);
  }
  formulas.push_back({"dU", U, dU});
  formulas.push_back({"dV", V, dV});
  formulas.push_back({"db", b, db});
  return {fmt::format("recurrent network, {} steps", steps), loss, formulas};
}

}  // namespace

std::vector<Derived> right_derivations() {
  std::vector<Derived> all;
  std::uint64_t seed = 1;
  for (const Ending ending : {Ending::softmax, Ending::squared, Ending::two_classes})
    for (const Hidden hidden : {Hidden::sigmoid, Hidden::tanh, Hidden::relu})
      for (const std::int64_t samples : {1, 6})
        all.push_back(perceptron({5, 4, 3}, samples, seed++, ending, hidden));
  for (const int layers : {1, 3, 4, 5, 6})
    for (const std::int64_t samples : {1, 8}) {
      std::vector<std::int64_t> units{6};
      for (int l = 1; l < layers; ++l) units.push_back(5);
      units.push_back(3);
      all.push_back(perceptron(units, samples, seed++, Ending::softmax, Hidden::sigmoid));
    }
  for (const std::int64_t samples : {1, 7, 20}) {
    all.push_back(ridge(samples, 0, seed++));
    all.push_back(ridge(samples, 0.3, seed++));
    all.push_back(softmax_regression(samples, seed++));
    all.push_back(autoencoder(samples, seed++));
    all.push_back(layer_normalisation(samples, seed++));
  }
  for (const std::int64_t positions : {2, 3, 6}) all.push_back(attention(positions, seed++));
  for (const int steps : {1, 2, 3, 5}) all.push_back(recurrent(steps, 1 + steps % 2 * 3, seed++));
  return all;
}

}  // namespace mistakes
