#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Mistakes as bare numbers, in models of their own, and as formulas where these are not easier.
TEST_SUITE_BEGIN("graph");

namespace {

// The same as it was recorded, and as numbers.
std::vector<Tensor> both(const Tensor& by_hand) { return {by_hand, by_hand.detach()}; }

bool says(const Tensor& loss, std::initializer_list<Formula> formulas, const char* part) {
  const std::string text = said(loss, formulas);
  const bool is_said = has(text, part);
  if (!is_said) MESSAGE("said: " << text);
  return is_said;
}

}  // namespace

TEST_CASE("diagnose: axes and transposes in bare numbers") {
  const Tensor Z = parameter({4, 4}, "Z", 1), v = normal({4}, "v", 2);
  const Tensor S = (Z * 1.0).named("S"), Y = eye(4, f64).named("Y");
  const Tensor of_log = -sum(log_softmax(S, 1) * Y);
  CHECK(says(of_log, {{"dS", S, (softmax(S, 0) - Y).detach()}},
             "over the wrong axis: softmax₁(S) is taken over the other one"));
  const Tensor P = softmax(S, 1).named("P"), G = normal({4, 4}, "G", 3);
  const Tensor wrong = P * (G - sum(P * G, 0, true));
  CHECK(says(sum(P * G), {{"dP", P, G + 0 * P}, {"dS", S, wrong.detach()}},
             "over the wrong axis: Σ₀(P ⊗ G) stands in the place of Σ₁(P ⊗ G)"));
  const Tensor a = parameter({4}, "a", 4), M = normal({4, 4}, "M", 5);
  const Tensor h = tanh(matmul(M, a)).named("h"), q = matmul(M, h).named("q");
  const Tensor loss = sum(v * q) + sum(square(h));
  CHECK(says(loss, {{"dh", h, (matmul(M, v) + 2.0 * h).detach()}}, "transpose"));
}

TEST_CASE("diagnose: slopes that are taken of something else") {
  const Tensor c = parameter({5}, "c", 1), o = normal({5}, "o", 2), y = normal({5}, "y", 3);
  const Tensor h = (o * tanh(c)).named("h"), loss = 0.5 * sum(square(h - y)) + 0.1 * sum(square(c));
  const Tensor dh = h - y;
  CHECK(says(loss, {{"dh", h, dh}, {"dc", c, (dh * o * (1 - h * h) + 0.2 * c).detach()}},
             "in tanh'(c), h stands in the place of tanh(c)"));
  const Tensor z = (c * 1.0).named("z"), r = relu(z).named("r");
  const Tensor dr = r - y;
  for (const Tensor& by_hand : both(relu(dr)))
    CHECK(says(0.5 * sum(square(r - y)), {{"dr", r, dr}, {"dz", z, by_hand}},
               "the factor relu'(z) belongs there"));
  // A function of several steps in the place of its derivative.
  const Tensor d = (0.7 * c).named("d");
  const Tensor normal_cdf = 0.5 * (1 + erf(d / std::sqrt(2.0)));
  for (const Tensor& by_hand : both(o * normal_cdf))
    CHECK(says(sum(o * normal_cdf), {{"dd", d, by_hand}}, "in the place of its derivative"));
  // eᶻ − 1 in the place of its derivative.
  const Tensor e = where(z > 0.0, z, expm1(minimum(z, 0.0))).named("E");
  CHECK(says(sum(e * o), {{"dz", z, o * where(z > 0.0, ones_like(z), e)}}, "term 1"));
}

TEST_CASE("diagnose: what is exchanged or stands elsewhere") {
  const Tensor X = parameter({3, 4}, "X", 1), W = normal({4, 4}, "W", 2),
               V = normal({4, 4}, "V", 3), T = normal({3, 4}, "T", 4);
  const Tensor A = tanh(matmul(X, W)).named("A"), B = sigmoid(matmul(X, V)).named("B");
  const Tensor loss = 0.5 * sum(square(A * B - T)), r = A * B - T;
  const Tensor a = r * B * (1 - A * A), b = r * A * B * (1 - B);
  for (const Tensor& by_hand : both(matmul(a, V.T()) + matmul(b, W.T())))
    CHECK(says(loss, {{"dX", X, by_hand}}, "are exchanged"));
  const Tensor Q = (X * 1.0).named("Q");
  const Tensor i = sigmoid(Q(all, slice(0, 2))).named("i"),
               f = sigmoid(Q(all, slice(2, 4))).named("f");
  const Tensor u = normal({3, 2}, "u", 5), w = normal({3, 2}, "w", 6);
  const Tensor Qi = u * i * (1 - i), Qf = w * f * (1 - f);
  CHECK(says(sum(u * i) + sum(w * f), {{"dQ", Q, concat({Qf, Qi}, 1).detach()}}, "are exchanged"));
  const Tensor x = normal({9}, "x", 7), k = parameter({3}, "k", 8), t = normal({7}, "t", 9);
  const auto part = [&](std::int64_t at) { return x[slice(at, at + 7)]; };
  const Tensor z = (k[0] * part(0) + k[1] * part(1) + k[2] * part(2)).named("z"), dz = z - t;
  for (const Tensor& by_hand : both(stack({dot(dz, part(0)), dot(dz, part(1)), dot(dz, part(1))})))
    CHECK(says(0.5 * sum(square(z - t)), {{"dz", z, dz}, {"dk", k, by_hand}},
               "x[1:8] stands in the place of x[2:9]"));
}

TEST_CASE("diagnose: tensors that are computed with a mistake, or updated before") {
  const Tensor Q = parameter({4, 3}, "Q", 1), K = normal({4, 3}, "K", 2),
               V = parameter({4, 2}, "V", 3), Y = normal({4, 2}, "Y", 4);
  const Tensor M = tensor({{0.0, -1e9, -1e9, -1e9},
                           {0.0, 0.0, -1e9, -1e9},
                           {0.0, 0.0, 0.0, -1e9},
                           {0.0, 0.0, 0.0, 0.0}},
                          f64)
                       .named("M");
  const Tensor S = (matmul(Q, K.T()) / 2.0 + M).named("S"), P = softmax(S, 1).named("P");
  const Tensor O = matmul(P, V).named("O"), loss = 0.5 * sum(square(O - Y)), dO = O - Y;
  const Tensor unmasked = softmax(matmul(Q, K.T()) / 2.0, 1);
  for (const Tensor& by_hand : both(matmul(unmasked.T(), dO)))
    CHECK(says(loss, {{"dO", O, dO}, {"dV", V, by_hand}}, "the term M is missing"));
  const Tensor W = parameter({2, 3}, "W", 5), H = parameter({3, 6}, "H", 6),
               T = normal({2, 6}, "T", 7);
  const Tensor R = (matmul(W, H) - T).named("R"), dW = matmul(R, H.T());
  const std::string updated =
      said(0.5 * sum(square(R)),
           {{"dR", R, R}, {"dW", W, dW}, {"dH", H, matmul((W - 0.05 * dW).T(), R).detach()}});
  CHECK(updated.starts_with("W was updated before: W − dW / 20 stands in its place; "));
  // Not of another layer, where a product is too much.
  const Tensor twice = matmul(W.T(), matmul(W, matmul(W.T(), R)));
  CHECK(says(0.5 * sum(square(R)), {{"dR", R, R}, {"dH", H, twice}},
             "Wᵀ·W·Wᵀ·R stands in the place of Wᵀ·R"));
}

TEST_CASE("diagnose: a factor or a term too many in bare numbers") {
  const Tensor X = normal({6, 2}, "X", 1), w = parameter({2}, "w", 2), b = parameter({}, "b", 3),
               y = normal({6}, "y", 4);
  const Tensor z = (matmul(X, w) + b).named("z"), m = exp(z).named("m"), loss = sum(m - y * z);
  CHECK(says(loss, {{"dz", z, ((m - y) * m).detach()}}, "the factor m does not belong there"));
  CHECK(says(loss, {{"dz", z, (m * m - y).detach()}}, "the factor m stands there twice"));
  CHECK(says(loss, {{"dz", z, (1 - y / m).detach()}}, "the factor m is missing; "));
  const Tensor r = (z - y).named("r");
  const Tensor ridge = mean(square(r)) + 0.4 * sum(square(w));
  const Tensor dr = 2.0 * r / 6.0;
  CHECK(says(ridge, {{"dr", r, dr}, {"db", b, (sum(dr) + 0.8 * b).detach()}},
             "the term 0.8 b does not belong there"));
  const Tensor labels = tensor({1.0, -1.0, -1.0, 1.0, 1.0, -1.0}, f64).named("y");
  CHECK(said(mean(softplus(-labels * z)), {{"dz", z, ((sigmoid(z) - labels) / 6.0).detach()}})
            .starts_with("labels of −1 and 1 in the place of 0 and 1: "));
}

TEST_CASE("diagnose: other data, in one place or in every step") {
  const Tensor e = parameter({5}, "e", 1), n = tensor({2.0, 0.0, 1.0, 4.0, 3.0}, f64).named("n");
  const Tensor k = tensor(1.5, f64).named("k"), m = exp(e).named("m");
  const Tensor counts = sum((n + k) * log(m + k) - n * e);
  const std::vector<Tensor> without_k = both(n * m / (m + k) - n);
  CHECK(says(counts, {{"de", e, without_k[0]}}, "n stands in the place of n + k: the term k is"));
  CHECK(
      says(counts, {{"de", e, without_k[1]}}, "a term is missing: n stands in the place of n + k"));
  // An autoregression over numbers: y(t) for y(t − 1).
  const Tensor phi = parameter({}, "φ", 2), theta = parameter({}, "θ", 3);
  const std::vector<double> y{0.4, -0.7, 0.9, 0.2, -0.6};
  std::vector<Tensor> r, dr(4);
  Tensor loss;
  for (std::size_t t = 1; t < y.size(); ++t) {
    Tensor next = y[t] - phi * y[t - 1];
    if (t > 1) next = next - theta * r.back();
    r.push_back(next.named("r" + std::to_string(t)));
    loss = loss.defined() ? loss + 0.5 * square(r.back()) : 0.5 * square(r.back());
  }
  dr[3] = r[3];
  for (std::size_t t = 3; t-- > 0;) dr[t] = r[t] - theta * dr[t + 1];
  Tensor dphi = -dr[0] * y[1];
  for (std::size_t t = 1; t < 4; ++t) dphi = dphi - dr[t] * y[t + 1];
  for (const Tensor& by_hand : both(dphi))
    CHECK(says(loss,
               {{"dr4", r[3], dr[3]},
                {"dr3", r[2], dr[2]},
                {"dr2", r[1], dr[1]},
                {"dr1", r[0], dr[0]},
                {"dφ", phi, by_hand}},
               "the index is shifted: "));
  // A method of four stages with the first point at all of them.
  const Tensor A = parameter({3, 3}, "A", 4), x = parameter({3}, "x", 5), to = normal({3}, "T", 6);
  const Tensor k1 = matmul(A, x).named("k1"), k2 = matmul(A, x + 0.1 * k1).named("k2"),
               k3 = matmul(A, x + 0.1 * k2).named("k3"), k4 = matmul(A, x + 0.3 * k3).named("k4");
  const Tensor u = (x + 0.05 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)).named("u"), du = u - to;
  const Tensor d4 = 0.05 * du, d3 = 0.1 * du + 0.3 * matmul(A.T(), d4),
               d2 = 0.1 * du + 0.1 * matmul(A.T(), d3), d1 = 0.05 * du + 0.1 * matmul(A.T(), d2);
  for (const Tensor& by_hand : both(outer(d1 + d2 + d3 + d4, x)))
    CHECK(says(0.5 * sum(square(u - to)),
               {{"du", u, du},
                {"dk4", k4, d4},
                {"dk3", k3, d3},
                {"dk2", k2, d2},
                {"dk1", k1, d1},
                {"dA", A, by_hand}},
               "is left out, in every step"));
}

TEST_CASE("diagnose: in which of the terms another tensor stands, or another number") {
  const Tensor a = parameter({4}, "a", 1), b = parameter({4}, "b", 2);
  const Tensor p = sqrt(sum(square(a))).named("p"), q = sqrt(sum(square(b))).named("q");
  const Tensor s = (dot(a, b) / (p * q)).named("s"), loss = square(1.0 - s), ds = -2.0 * (1.0 - s);
  CHECK(says(loss, {{"ds", s, ds}, {"da", a, (ds * (b / (p * q) - s * a / square(q))).detach()}},
             "q stands in the place of p in "));
  const Tensor mix = tensor(0.3, f64).named("α").requires_grad_(), first = parameter({}, "f", 7),
               second = normal({}, "g", 8);
  const Tensor y = (first * 1.0).named("y"), m = (mix * second + (1.0 - mix) * y).named("m");
  CHECK(says(square(m), {{"dm", m, 2.0 * m}, {"dy", y, (2.0 * m * mix).detach()}},
             "α stands in the place of 1 − α; "));
  // Two terms that are multiples of each other: the usual number is at one of them.
  const Tensor u = parameter({8}, "u", 3), t = normal({8}, "t", 4);
  const Tensor l = (u[slice(0, 6)] - 2.0 * u[slice(1, 7)] + u[slice(2, 8)]).named("l");
  const Tensor v = (u[slice(1, 7)] + 0.35 * l).named("v");
  const Tensor goal = t[slice(1, 7)], dv = v - goal, dl = 0.35 * dv;
  const Tensor none = zeros({1}, f64), two = zeros({2}, f64);
  const Tensor du = concat({dl, two}, 0) + concat({none, dv - dl, none}, 0) + concat({two, dl}, 0);
  for (const Tensor& by_hand : both(du))
    CHECK(says(0.5 * sum(square(v - goal)), {{"dv", v, dv}, {"dl", l, dl}, {"du", u, by_hand}},
               "(−2 dl) is too small by a factor of 2"));
  // The 2 of a square, and not the root of an extent that nobody took.
  const Tensor c = parameter({3, 4}, "c", 5), target = normal({3, 4}, "d", 6);
  const Tensor n = (c * 1.0).named("n");
  const std::string half =
      said(mean(square(n - target)), {{"dn", n, ((n - target) / 12.0).detach()}});
  CHECK(has(half, "the 2 of a square"));
  CHECK(!has(half, "root"));
}

TEST_SUITE_END();
