#include <doctest/doctest.h>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

// Kinds of mistakes, each in a model of its own: what is said, and what must not be said.
TEST_SUITE_BEGIN("graph");

TEST_CASE("diagnose: a factor or term that is a sum keeps its parentheses") {
  const Tensor s = parameter({}, "s", 1), k = parameter({}, "k", 5), g = parameter({}, "g", 2),
               v = normal({4}, "v", 3), y = normal({4}, "y", 4);
  const Tensor w = (g * v / (k + square(s))).named("w"), loss = 0.5 * sum(square(w - y));
  const std::string text = said(loss, {{"dw", w, w - y}, {"dg", g, sum((w - y) * v)}});
  CAPTURE(text);
  CHECK(has(text, "factor"));
  CHECK(!has(text, "1 / k + s²"));
}

TEST_CASE("diagnose: a condition that is left out, at kinks and elsewhere") {
  const Tensor a = tensor({0.4, 2.5, -3.0, 0.2, -0.7}, f64).named("a").requires_grad_();
  const Tensor z = (0.9 * a).named("z"), g = tensor({0.2, -0.5, 0.6, 0.9, 1.1}, f64).named("g");
  const Tensor loss = sum(g * clamp(z, -2.0, 2.0));
  for (const Tensor& by_hand : {g + 0 * z, (g * 1.0).detach()})
    CHECK(said(loss, {{"dz", z, by_hand}})
              .starts_with("the condition z ≥ −2 ∧ z ≤ 2 is left out: this is g; "));
  const Tensor bound = tensor({2.0, 0.5, -2.0, 0.0, 3.0}, f64).named("t").requires_grad_();
  const Tensor y = (1.0 * bound).named("y");
  CHECK(has(said(sum(g * clamp(y, -2.0, 2.0)), {{"dy", y, g + 0 * y}}),
            "the condition y ≥ −2 ∧ y ≤ 2 is left out"));
}

TEST_CASE(
    "diagnose: functions that neither the program nor the right formula has are not missing") {
  // Labels of ±1, of which relu(y) = (y + 1) / 2 by chance.
  const Tensor X = normal({6, 2}, "X", 1), w = parameter({2}, "w", 2),
               y = tensor({1.0, 1.0, -1.0, 1.0, -1.0, -1.0}, f64).named("y");
  const Tensor z = matmul(X, w).named("z");
  const std::string labels = said(mean(softplus(-y * z)), {{"dz", z, (sigmoid(z) - y) / 6.0}});
  CHECK(
      labels.starts_with("labels of −1 and 1 in the place of 0 and 1: y stands in the place of "));
  CHECK(!has(labels, "relu"));
  // |r| where sign r belongs, and all r > 0.
  const Tensor t = normal({5}, "t", 3), m = (parameter({5}, "m", 4) + 0.0).named("n");
  const Tensor target = (m.detach() - square(t) - 0.1).detach().named("y");
  CHECK(said(mean(abs(m - target)), {{"dn", m, abs(m - target) / 5.0}})
            .starts_with("abs in the place of sign: "));
}

TEST_CASE("diagnose: another column is not another axis, and blocks may be exchanged") {
  const Tensor X = normal({5, 3}, "X", 1), G = parameter({3, 3}, "G", 2),
               A = parameter({3}, "A", 3), B = parameter({3}, "B", 4), C = parameter({3}, "C", 5),
               y = normal({5}, "y", 6);
  const Tensor P = softmax(matmul(X, G), 1).named("P");
  const Tensor o =
      (P(all, 0) * matmul(X, A) + P(all, 1) * matmul(X, B) + P(all, 2) * matmul(X, C)).named("o");
  const Tensor loss = 0.5 * sum(square(o - y)), r = o - y;
  const std::string column = said(loss, {{"do", o, r}, {"dB", B, matmul(X.T(), r * P(all, 2))}});
  CAPTURE(column);
  CHECK(!has(column, "axis"));
  CHECK(has(column, "dC"));
  // Two gates in one product, in the wrong order; and a filter that is turned round.
  const Tensor W = parameter({3, 4}, "W", 7), Z = matmul(X, W).named("Z");
  const Tensor i = sigmoid(Z(all, slice(0, 2))).named("i"),
               g = tanh(Z(all, slice(2, 4))).named("g");
  const Tensor c = normal({5, 2}, "c", 8);
  const Tensor di = c * g * i * (1 - i), dg = c * i * (1 - g * g);
  CHECK(
      has(said(sum(c * i * g), {{"dZ", Z, concat({dg, di}, 1)}}), "are exchanged: the order in "));
  const Tensor x = normal({8}, "x", 9), f = parameter({3}, "f", 10), u = normal({6}, "u", 11);
  const auto part = [&](std::int64_t k) { return x[slice(k, k + 6)]; };
  const Tensor h = (f[0] * part(0) + f[1] * part(1) + f[2] * part(2)).named("h");
  const Tensor dh = h - u;
  const Tensor turned = stack({dot(dh, part(2)), dot(dh, part(1)), dot(dh, part(0))});
  for (const Tensor& by_hand : {turned, turned.detach()})
    CHECK(said(0.5 * sum(square(h - u)), {{"dh", h, dh}, {"df", f, by_hand}})
              .starts_with("in the reverse order; "));
}

TEST_CASE("diagnose: a term that comes to a tensor is missing, not another tensor in its place") {
  const Tensor X = normal({5, 2}, "X", 1), a = parameter({2}, "a", 2), b = parameter({}, "b", 3);
  const Tensor M = tensor({0.0, -1e9, 0.0, 0.0, 0.0}, f64).named("M"), y = normal({2}, "y", 4);
  const Tensor s = (matmul(X, a) + b + M).named("s"), p = softmax(s, 0).named("p");
  const Tensor q = matmul(p, X).named("q"), dp = matmul(X, q - y);
  const Tensor unmasked = softmax(matmul(X, a) + b, 0);
  const std::string text =
      said(0.5 * sum(square(q - y)),
           {{"dq", q, q - y}, {"dp", p, dp}, {"ds", s, unmasked * (dp - dot(unmasked, dp))}});
  CAPTURE(text);
  CHECK(text.starts_with("the term M is missing at "));
  // A number in the place of a tensor, once.
  const Tensor n = tensor({0.0, 3.0, 1.0, 2.0}, f64).named("n"), k = tensor(1.7, f64).named("k");
  const Tensor e = parameter({4}, "e", 5), mu = exp(e).named("μ");
  const Tensor loss = sum((n + k) * log(mu + k) - n * e);
  CHECK(has(said(loss, {{"de", e, (n + k) * k / (mu + k) - n}}), "k stands in the place of μ"));
}

TEST_CASE("diagnose: beside large elements a sign of a small one is found, in f32") {
  for (const DType dtype : {f32, f64}) {
    const auto as = [&](std::initializer_list<std::initializer_list<double>> x) {
      return to(tensor(x, f64), dtype);
    };
    const Tensor X = as({{2e5, 0.02, 0.7}, {-1e5, 0.01, -0.4}, {3e5, -0.03, 0.9}}).named("X");
    const Tensor w = to(tensor({2e-6, -0.4, 0.5}, f64), dtype).named("w").requires_grad_();
    const Tensor t = to(tensor({0.0, 1.0, 1.0}, f64), dtype).named("t");
    const Tensor z = matmul(X, w).named("z"), dz = (sigmoid(z) - t) / 3.0;
    const Tensor g = matmul(X.T(), dz);
    CAPTURE(name_of(dtype));
    const std::string text =
        said(mean(softplus(z) - t * z), {{"dz", z, dz}, {"dw", w, stack({g[0], -g[1], g[2]})}});
    CAPTURE(text);
    CHECK(has(text, "sign"));
    CHECK(!has(text, "swapped"));
    CHECK(said(mean(softplus(z) - t * z),
               {{"dz", z, dz}, {"dw", w, g * to(tensor({1.0, -1.0, 1.0}, f64), dtype)}})
              .starts_with("the factor c1 does not belong there"));
  }
}

TEST_CASE("diagnose: steps of a recursion, of which one thing is wrong in each") {
  // A leaky integrator: s(t) = (1 − a) s(t − 1) + a u(t).
  const Tensor r = parameter({}, "r", 1), a = sigmoid(r).named("a");
  const double u[] = {0.8, -0.3, 0.5, 1.2};
  std::vector<Tensor> s{(a * u[0]).named("s0")};
  for (int t = 1; t < 4; ++t)
    s.push_back((a * u[t] + (1 - a) * s.back()).named("s" + std::to_string(t)));
  const Tensor loss = square(s[3] - 0.2) + square(s[1]);
  const Tensor d3 = 2 * (s[3] - 0.2), d2 = (1 - a) * d3, d1 = 2 * s[1] + (1 - a) * d2,
               d0 = (1 - a) * d1;
  const auto of_a = [&](const Tensor& by_hand) {
    return said(loss, {{"ds3", s[3], d3},
                       {"ds2", s[2], d2},
                       {"ds1", s[1], d1},
                       {"ds0", s[0], d0},
                       {"da", a, by_hand}});
  };
  const std::string half = of_a(d3 * u[3] + d2 * u[2] + d1 * u[1] + d0 * u[0]);
  CAPTURE(half);
  CHECK(has(half, "is missing, and its like in every step"));
  const std::string late =
      of_a(d3 * (u[3] - s[3]) + d2 * (u[2] - s[2]) + d1 * (u[1] - s[1]) + d0 * u[0]);
  CAPTURE(late);
  CHECK(late.starts_with("s1 stands in the place of s0, in every step"));
  // A recurrent net whose first state is 0: the step that comes in at the other end.
  const Tensor U = parameter({3, 3}, "U", 2), x = normal({4, 3}, "x", 3), v = normal({3}, "v", 4);
  std::vector<Tensor> z, h;
  Tensor last = zeros({3}, f64);
  std::vector<Tensor> before;
  for (int t = 0; t < 4; ++t) {
    before.push_back(last);
    z.push_back((matmul(U, last) + x[t]).named("z" + std::to_string(t + 1)));
    h.push_back(tanh(z[t]).named("h" + std::to_string(t + 1)));
    last = h[t];
  }
  std::vector<Tensor> dz(4);
  Tensor dh = v, dU;
  for (int t = 3; t >= 0; --t) {
    dz[t] = dh * (1 - square(h[t]));
    dh = matmul(U.T(), dz[t]);
    const Tensor one = outer(dz[t], h[t]);
    dU = dU.defined() ? dU + one : one;
  }
  const std::string shifted = said(dot(v, h[3]), {{"dz4", z[3], dz[3]},
                                                  {"dz3", z[2], dz[2]},
                                                  {"dz2", z[1], dz[1]},
                                                  {"dz1", z[0], dz[0]},
                                                  {"dU", U, dU}});
  CAPTURE(shifted);
  CHECK(has(shifted, "the index is shifted"));
  CHECK(has(shifted, "as h4 in the place of h3"));
}

TEST_CASE("diagnose: sentences of paths that are missing are whole, for bare numbers too") {
  // v(t) = ω + 0.2 e² + β v(t − 1), and dβ alone, without the path through v3 in dv2.
  const Tensor w = parameter({}, "ω", 1), b = tensor(0.6, f64).named("β").requires_grad_();
  const double e[] = {0.4, -0.9, 0.6, 1.1};
  std::vector<Tensor> v{exp(w).named("v0")};
  for (int t = 1; t < 4; ++t)
    v.push_back((exp(w) + 0.2 * e[t - 1] * e[t - 1] + b * v.back()).named("v" + std::to_string(t)));
  Tensor loss = 0.5 * (log(v[0]) + e[0] * e[0] / v[0]);
  for (int t = 1; t < 4; ++t) loss = loss + 0.5 * (log(v[t]) + e[t] * e[t] / v[t]);
  const auto own = [&](int t) { return 0.5 / v[t] - 0.5 * e[t] * e[t] / square(v[t]); };
  const Tensor d3 = own(3), d2 = own(2), d1 = own(1) + b * d2;
  const Tensor by_hand = d1 * v[0] + d2 * v[1] + d3 * v[2];
  for (const Tensor& formula : {by_hand, by_hand.detach()}) {
    const std::string text = said(loss, {{"dβ", b, formula}});
    CAPTURE(text);
    CHECK(has(text, "is missing"));
    CHECK(!has(text, ", as ;"));
    CHECK(!text.ends_with("as "));
  }
}

TEST_CASE("diagnose: what another tensor's gradient is, a diagonal alone, relu of a gradient") {
  const Tensor X = normal({5, 3}, "X", 1), W = parameter({3, 4}, "W", 2),
               V = parameter({4, 3}, "V", 3);
  const Tensor Z = matmul(X, W).named("Z"), H = relu(Z).named("H"), O = matmul(H, V).named("O"),
               P = softmax(O, 1).named("P");
  const Tensor Y =
      one_hot(from_vector(std::vector<std::int64_t>{0, 2, 1, 2, 0}), 3, f64).named("Y");
  const Tensor loss = -sum(Y * log(P)) / 5.0, dO = (P - Y) / 5.0, dH = matmul(dO, V.T());
  CHECK(said(loss, {{"dO", O, -Y / P / 5.0}}).starts_with("this is dP, the gradient for P; "));
  CHECK(said(loss, {{"dO", O, -Y * (1 - P) / 5.0}}).starts_with("the sum is missing: "));
  CHECK(said(loss, {{"dO", O, dO}, {"dH", H, dH}, {"dZ", Z, relu(dH)}})
            .starts_with("relu is taken of dH: the factor relu'(Z) belongs there; "));
}

TEST_CASE("diagnose: one term has a factor that belongs to none, or a named ratio is missing") {
  const Tensor d = tensor({1.0, 0.0, 1.0, 1.0, 0.0}, f64).named("δ"), x = parameter({5}, "x", 1);
  const Tensor u = (1.3 * x).named("u"), loss = sum(exp(u) - d * u);
  CHECK(said(loss, {{"du", u, d * (exp(u) - 1)}})
            .starts_with("the factor δ does not belong there; "));
  // Three resistors in parallel: dR/da = (R / a)².
  const auto ohm = [](const char* name, double value) {
    return tensor(value, f64).named(name).requires_grad_();
  };
  const Tensor a = ohm("a", 1.3), b = ohm("b", 2.1), c = ohm("c", 0.8);
  const Tensor R = (1 / (1 / a + 1 / b + 1 / c)).named("R"), dR = 2 * (R - 0.3);
  CHECK(said(square(R - 0.3), {{"dR", R, dR}, {"da", a, dR * R / a}})
            .starts_with("the factor R / a is missing at "));
  const Tensor k = tensor(0.7, f64).named("k").requires_grad_(), t = normal({4}, "t", 2);
  const Tensor E = exp(-k * t).named("E"), g = normal({4}, "g", 3);
  CHECK(has(said(sum(g * E), {{"dE", E, g}, {"dk", k, -k * sum(g * E)}}),
            "k stands in the place of t"));
}

TEST_CASE("diagnose: what does not explain a small element beside large ones is not said") {
  const Tensor X =
      tensor({{3e5, 0.01, 1.0}, {-2e5, 0.02, 0.4}, {1e5, -0.013, -0.7}}, f64).named("X");
  const Tensor w = tensor({1e-6, 80.0, 0.3}, f64).named("w").requires_grad_();
  const Tensor y = tensor({1.0, 1.0, 0.0}, f64).named("y");
  const Tensor z = matmul(X, w).named("z"), loss = mean(softplus(z) - y * z);
  const Tensor dz = (sigmoid(z) - y) / 3.0, dw = matmul(X.T(), dz);
  const Tensor forgotten = stack({dw[0], 0.0 * dw[1], dw[2]}).detach(),
               turned = stack({dw[0], -dw[1], dw[2]}).detach();
  for (const Tensor& by_hand : {forgotten, turned})
    CHECK(said(loss, {{"dz", z, dz}, {"dw", w, by_hand}})
              .starts_with("right but for the element (1,), "));
}

TEST_CASE("diagnose: beside a large element a small one counts for its own size with a tolerance") {
  const Tensor x = tensor({3e9, 0.01, 0.4}, f64).named("x");
  const Tensor w = tensor({1e-10, 2.0, -0.3}, f64).named("w").requires_grad_();
  const Tensor z = dot(x, w).named("z"), loss = softplus(z), dw = sigmoid(z) * x;
  const Tensor turned = stack({-dw[0], dw[1], dw[2]}).detach();
  for (const double tolerance : {0.0, 1e-3}) {
    CAPTURE(tolerance);
    const DerivationReport report =
        check_derivation(loss, {{"dw", w, turned}}, {.tolerance = tolerance});
    REQUIRE(report.first_wrong());
    const std::string text = report.first_wrong()->diagnosis;
    CAPTURE(text);
    CHECK(text.starts_with("right but for the element (0,), "));
  }
}

TEST_CASE("diagnose: of bare numbers a clip that is left out is not one the wrong way round") {
  const Tensor a = tensor({0.4, 2.5, 1.9, 1.2, 0.7}, f64).named("a").requires_grad_();
  const Tensor z = (1.1 * a).named("z"), g = tensor({0.2, -0.5, 0.6, 0.9, 1.1}, f64).named("g");
  const Tensor loss = sum(g * clamp(z, -2.0, 2.0)), dz = g * to(z <= 2.0, f64);
  const std::string here = said(loss, {{"dz", z, g * 1.0}});
  CAPTURE(here);
  CHECK(has(here, "is left out"));
  const std::string above = said(loss, {{"da", a, (1.1 * g).detach()}});
  CAPTURE(above);
  CHECK(!has(above, "the wrong way round"));
  CHECK(check_derivation(loss, {{"dz", z, dz}, {"da", a, 1.1 * dz}}).ok());
}

TEST_CASE("diagnose: of the last formula alone, recorded, no less is said than of its numbers") {
  // A minimal gated unit over two steps, where the gate is forgotten in the last one.
  const Tensor Wf = parameter({3, 2}, "Wf", 1), Uf = parameter({3, 3}, "Uf", 2),
               Wh = parameter({3, 2}, "Wh", 3), Uh = parameter({3, 3}, "Uh", 4),
               h0 = parameter({3}, "h0", 5);
  const Tensor x[] = {normal({2}, "x1", 6), normal({2}, "x2", 7)}, y = normal({3}, "y", 8);
  Tensor h = h0, before[2], f[2], c[2];
  for (int t = 0; t < 2; ++t) {
    const std::string k = std::to_string(t + 1);
    before[t] = h;
    f[t] = sigmoid((matmul(Wf, x[t]) + matmul(Uf, h)).named("a" + k)).named("f" + k);
    const Tensor g = (f[t] * h).named("g" + k);
    c[t] = tanh((matmul(Wh, x[t]) + matmul(Uh, g)).named("b" + k)).named("c" + k);
    h = ((1 - f[t]) * h + f[t] * c[t]).named("h" + k);
  }
  const Tensor dh2 = h - y, db2 = dh2 * (1 - square(c[1])), dg2 = matmul(Uh.T(), db2);
  const auto to_gate = [&](const Tensor& dh, const Tensor& dg, int t) {
    return (dh * (c[t] - before[t]) + dg * before[t]) * f[t] * (1 - f[t]);
  };
  const Tensor da2 = to_gate(dh2, dg2, 1);
  const Tensor dh1 = dh2 * (1 - f[1]) + dg2 * f[1] + matmul(Uf.T(), da2);
  const Tensor dg1 = matmul(Uh.T(), dh1 * f[0] * (1 - square(c[0])));
  const Tensor dUf = outer(to_gate(dh1, dg1, 0), h0) + outer(da2, before[1]);
  const std::string bare = said(0.5 * sum(square(h - y)), {{"dUf", Uf, dUf.detach()}});
  CHECK(has(bare, "f2"));
  CHECK(has(said(0.5 * sum(square(h - y)), {{"dUf", Uf, dUf}}), "f2"));
}

TEST_CASE("diagnose: a mean that was written in the place of a sum, whatever else has its size") {
  // 2 is an extent, a ratio of numbers of the program, and that of a square.
  const Tensor X = normal({6, 4}, "X", 1), w = parameter({4}, "w", 2), y = normal({6, 2}, "y", 4),
               V = parameter({4, 2}, "V", 3);
  const Tensor R = (matmul(X, V) + unsqueeze(matmul(X, w), 1) - y).named("R");
  const Tensor loss = sum(square(R)) / 12.0 + 0.2 * sum(square(w)) + 0.1 * sum(square(V));
  const Tensor dR = R / 6.0;
  CHECK(said(loss, {{"dR", R, dR}, {"dw", w, matmul(X.T(), mean(dR, 1)) + 0.4 * w}})
            .starts_with("a mean in the place of a sum: mean₁(dR); "));
  CHECK(check_derivation(loss, {{"dw", w, matmul(X.T(), 2.0 * mean(dR, 1)) + 0.4 * w}}).ok());
}

TEST_CASE("diagnose: where a function is missing, it is no function of 1") {
  const Tensor x = parameter({64}, "x", 1), y = normal({64}, "y", 2), o = (1.1 * x).named("o");
  CHECK(said(mean(abs(o - y)), {{"do", o, (ones({64}, f64) + 0 * o) / 64.0}})
            .starts_with("a factor is missing: this is 0.015625; "));
}

TEST_CASE("diagnose: an inverse that makes up for a factor is no slope of relu") {
  const Tensor q = parameter({4, 3}, "q", 1), loss = 0.5 * sum(square(relu(q)));
  const Tensor mask = to(q > 0.0, f64);
  CHECK(said(loss, {{"dq", q, mask}}).starts_with("a factor is missing: this is relu'(q); "));
  CHECK(!has(said(0.5 * sum(square(relu(q).named("h"))), {{"dq", q, mask}}), "inverse"));
}

TEST_CASE("diagnose: a factor that is an extent may be a number of the program as well") {
  const Tensor y = normal({6}, "y", 1), w = parameter({6}, "w", 2), u = (w - y).named("u");
  const Tensor du =
      2.0 * u / (1.0 + square(u) / 6.0) / 6.0;  // of degrees of freedom, or of the mean
  const std::string both = said(mean(log1p(square(u) / 6.0)), {{"du", u, du}});
  CHECK(has(both, "a number of the program; or the extent of axis 0 of"));
  // What only a sum is divided by means the extent.
  const std::string one = said(sum(square(u)) / 6.0, {{"du", u, 2.0 * u}});
  CHECK(has(one, "which is the extent of axis 0 of"));
  CHECK(!has(one, "a number of the program"));
}

TEST_SUITE_END();
