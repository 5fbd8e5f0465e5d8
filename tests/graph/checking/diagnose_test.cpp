#include <chainrule/graph/checking/diagnose.hpp>

#include <doctest/doctest.h>

#include <cmath>

#include <chainrule/chainrule.hpp>
#include <chainrule/tests/graph/checking/diagnosed.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

TEST_CASE("diagnose: a number is said with all that it may come from") {
  const Tensor x = parameter({4}, "x", 1), y = normal({4}, "y", 2);
  const Tensor z = (2 * x).named("z"), f = tanh(z).named("f"), h = (x + 0.25 * f).named("h");
  const Tensor loss = 0.5 * sum(square(h - y)), dh = h - y;
  const std::string number = said(loss, {{"dh", h, dh}, {"dz", z, dh * (1 - f * f)}});
  CAPTURE(number);
  CHECK(number.starts_with("too large by a factor of 4 (1/0.25, by a number of the program; or "));
  CHECK(has(number, "the extent of axis 0 of x (4,)"));
  // 0.3 for 0.7.
  const Tensor mixed = (0.3 * x + 0.7 * f).named("m");
  const Tensor dm = mixed - y;
  CHECK(has(said(0.5 * sum(square(mixed - y)), {{"dm", mixed, dm}, {"df", f, 0.3 * dm}}),
            "0.3 (a number of the program) stands in the place of 0.7 (a number of the program)"));
}

TEST_CASE("diagnose: every name that is said is the program's or defined, and nothing twice") {
  const Tensor X = normal({6, 3}, "X", 1), W = parameter({3, 4}, "W", 2),
               gamma = parameter({4}, "γ", 3), c = normal({6, 4}, "c", 4);
  const Tensor z = matmul(X, W).named("z"), mu = mean(z, {0}).named("μ"),
               s = sqrt(mean(square(z - mu), {0}) + 1e-5).named("s"), u = ((z - mu) / s).named("u");
  const Tensor du = c * gamma, m1 = mean(du, {0});
  const std::string text = said(sum(c * (gamma * u)), {{"du", u, du}, {"dz", z, (du - m1) / s}});
  CAPTURE(text);
  REQUIRE(has(text, "the chain rule gives dt1 + dt2 + dμ / 6; where "));
  CHECK(has(text, "dt1 = "));
  CHECK(has(text, "dt2 = "));
  CHECK(text.find("= z − μ") == text.rfind("= z − μ"));
}

TEST_CASE("diagnose: a mask that fits by chance is not said, but the condition that was meant") {
  const Tensor X = normal({5, 3}, "X", 1), V = parameter({3, 3}, "V", 2),
               W = parameter({3, 3}, "W", 3), u = parameter({3}, "u", 4), y = normal({5}, "y", 5);
  const Tensor z1 = matmul(X, V).named("z1"), z2 = matmul(X, W).named("z2");
  const Tensor h = maximum(z1, z2).named("h"), q = matmul(h, u).named("q");
  const Tensor loss = 0.5 * mean(square(q - y)), dh = outer((q - y) / 5, u);
  const auto with = [&](const Tensor& mask) {
    return said(loss, {{"dh", h, dh}, {"dz1", z1, dh * to(mask, f64)}});
  };
  CHECK(with(z1 < z2).starts_with("the condition is the wrong way round: this is "));
  CHECK(with(z1 > 0.0).starts_with("the mask is wrong: it goes by z1, and [z1 > z2] belongs"));
}

TEST_CASE("diagnose: a term that is missing goes before half of it with another sign") {
  // Ridge regression with a kernel: the λ term is in the gradient twice, as half of it each.
  const Tensor A = normal({5, 5}, "A", 1), a = parameter({5}, "a", 2), y = normal({5}, "y", 3);
  const Tensor K = matmul(A, A.T()).detach().named("K"), f = matmul(K, a).named("f"), r = f - y;
  const Tensor loss = 0.5 * sum(square(f - y)) + 0.2 * dot(a, f);
  const std::string text = said(loss, {{"da", a, matmul(K, r)}});
  CAPTURE(text);
  CHECK(text.starts_with("the term "));
  CHECK(has(text, " is missing; the chain rule gives "));
}

TEST_CASE("diagnose: one tensor in the place of another goes before two terms with numbers") {
  const Tensor m0 = parameter({3}, "m0", 1), al = parameter({3}, "al", 2);
  const Tensor Y = normal({4, 3}, "Y", 3);
  std::vector<Tensor> m{m0}, e;
  Tensor loss;
  for (int t = 0; t < 4; ++t) {
    e.push_back((Y[t] - m[t]).named(fmt::format("e{}", t)));
    loss = t == 0 ? sum(square(e[t])) : loss + sum(square(e[t]));
    if (t < 3) m.push_back((m[t] + al * e[t]).named(fmt::format("m{}", t + 1)));
  }
  loss = 0.5 * loss / 4;
  const Tensor dm3 = -e[3] / 4;
  const auto with = [&](const Tensor& dm2) {
    return said(loss, {{"dm3", m[3], dm3}, {"dm2", m[2], dm2}});
  };
  CHECK(with((1 - al) * dm3 - e[3] / 4).starts_with("e3 stands in the place of e2: "));
  CHECK(with(al * dm3 - e[2] / 4).starts_with("al stands in the place of 1 minus it; "));
}

TEST_CASE("diagnose: signs and numbers inside of a function") {
  const Tensor z = parameter({6}, "z", 1);
  const Tensor q = (0.5 * (1 + erf(z / std::sqrt(2.0)))).named("q");
  const double front = 1 / std::sqrt(2 * std::acos(-1.0));
  const std::string half =
      said(sum(square(q)), {{"dq", q, 2 * q}, {"dz", z, 2 * q * front * exp(-square(z))}});
  CAPTURE(half);
  CHECK(half.starts_with("−z² is too large by a factor of 2"));
  const Tensor s = parameter({6}, "s", 2), y = normal({6}, "y", 3);
  const Tensor a = (y * exp(-s)).named("a");
  const std::string sign = said(sum(square(a)), {{"dy", s, -2 * a * y * exp(s)}});
  CHECK(sign.starts_with("the sign of s is wrong, in exp(s); "));
  // What can be said as a square is.
  const std::string squared = said(sum(y * exp(-2 * s)), {{"ds", s, -2 * y * exp(-s)}});
  CHECK(squared.starts_with("exp(−s) has to be squared; "));
}

TEST_CASE("diagnose: two parts are compared without what they have in common") {
  const Tensor X = normal({6, 5}, "X", 1), W1 = parameter({7, 5}, "W1", 2),
               W2 = parameter({4, 7}, "W2", 3), W3 = parameter({3, 4}, "W3", 4);
  const Tensor b1 = parameter({7}, "b1", 5), b2 = parameter({4}, "b2", 6),
               Y = normal({6, 3}, "Y", 7);
  const Tensor H1 = linear(X, W1, b1, Activation::tanh).named("H1"),
               H2 = linear(H1, W2, b2, Activation::sigmoid).named("H2"),
               Z = matmul(H2, W3.T()).named("Z");
  const Tensor loss = 0.5 * sum(square(Z - Y)), dZ = Z - Y, dH2 = matmul(dZ, W3);
  const Tensor dH1 = matmul(dH2 * H2 * (1 - H2), W2);
  CHECK(said(loss, {{"dH2", H2, dH2}, {"dW2", W2, matmul((dH2 * (1 - H2 * H2)).T(), H1)}})
            .starts_with("1 − H2 ⊗ H2, which is tanh', stands in the place of H2 ⊗ (1 − H2), which "
                         "is σ'; "));
  // Only the last formula is handed in.
  CHECK(said(loss, {{"dW1", W1, matmul((dH1 * H1 * (1 - H1)).T(), X)}})
            .starts_with("H1 ⊗ (1 − H1), which is σ', stands in the place of 1 − (H1)², which is "
                         "tanh'; "));
  CHECK(said(loss, {{"dW1", W1, matmul((matmul(dH2, W2) * (1 - H1 * H1)).T(), X)}})
            .starts_with("the mistake is above, at dH1: the factor H2 ⊗ (1 − H2) is missing at "));
}

TEST_CASE("diagnose: a factor that is one tensor, and a sum over the wrong axis, further up") {
  const Tensor P = parameter({5, 2}, "P", 1), Q = parameter({4, 2}, "Q", 2),
               R = normal({5, 4}, "R", 3), M = normal({5, 4}, "M", 4);
  const Tensor F = matmul(P, Q.T()).named("F");
  CHECK(said(0.5 * sum(M * square(F - R)) + 0.1 * sum(square(Q)),
             {{"dQ", Q, matmul((F - R).T(), P) + 0.2 * Q}})
            .starts_with("the factor M is missing at F − R; "));
  const Tensor X = normal({7, 4}, "X", 5), W = parameter({4, 3}, "W", 6);
  const Tensor labels = from_vector(std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0});
  const Tensor Z = matmul(X, W).named("Z"), Y = one_hot(labels, 3, f64).named("Y");
  CHECK(said(cross_entropy(Z, labels) + 0.05 * sum(square(W)),
             {{"dW", W, matmul(X.T(), (softmax(Z, 0) - Y) / 7) + 0.1 * W}})
            .starts_with("softmax₀(Z) is over the wrong axis; "));
}

TEST_CASE("diagnose: tensors that were confused are said with what one has to do with the other") {
  const Tensor x = parameter({6}, "x", 1), y = normal({6}, "y", 2);
  const Tensor v = square(x).named("v"), s = sqrt(v + 1e-3).named("s"), q = (y / s).named("q");
  CHECK(said(sum(square(q)), {{"dq", q, 2 * q}, {"ds", s, -2 * q * q / v}})
            .starts_with("v stands in the place of s: of the wrong layer, time or kind, as s is "
                         "√(v + 0.001): this is "));
}

TEST_CASE("diagnose: a gradient in the place of one that it is a factor of") {
  const Tensor X = normal({6, 4}, "X", 1), W = parameter({4, 3}, "W", 2),
               y = normal({6, 3}, "y", 3);
  const Tensor z = matmul(X, W).named("z"), h = tanh(z).named("h"), g = (h * y).named("g");
  const Tensor dg = 2 * g;
  CHECK(said(sum(square(g)), {{"dg", g, dg}, {"dz", z, dg * (1 - h * h)}})
            .starts_with("dg stands in the place of dh: the factor y is missing: this is "));
}

TEST_CASE("diagnose: the slope of the step between two gradients is what is missing") {
  const Tensor X = normal({6, 4}, "X", 1), W = parameter({4, 3}, "W", 2),
               y = normal({6, 3}, "y", 3);
  const Tensor z = matmul(X, W).named("z"), h = relu(z).named("h"), dh = h - y;
  CHECK(said(0.5 * sum(square(h - y)),
             {{"dh", h, dh}, {"dz", z, dh * to(z > 0.0, f64)}, {"dW", W, matmul(X.T(), dh)}})
            .starts_with("dh stands in the place of dz: relu' is missing: this is "));
}

TEST_CASE("diagnose: a term that is missing inside of a tensor without a name") {
  // Logistic growth: r x (1 − x / K) has x in two places.
  const Tensor x = parameter({4}, "x", 1), r = parameter({4}, "r", 2), K = parameter({4}, "K", 3);
  const Tensor u = (r * x * (1 - x / K)).named("u"), du = 2 * u;
  const std::string text = said(sum(square(u)), {{"du", u, du}, {"dx", x, du * r}});
  CAPTURE(text);
  CHECK(text.starts_with("the term "));
  CHECK(has(text, " is missing; "));
}

TEST_CASE("diagnose: a mask that is reversed, the square of a tensor, and another axis") {
  const Tensor x = parameter({6}, "x", 11), A = normal({6}, "A", 2), c = normal({6}, "c", 3);
  const Tensor p = minimum(x * A, clamp(x, -0.2, 0.2) * A).named("p");
  const Tensor use =
      to(logical_or(logical_and(A > 0.0, x < 0.2), logical_and(A<0.0, x> - 0.5)), f64);
  CHECK(has(said(sum(square(p)), {{"dp", p, 2 * p}, {"dx", x, 2 * p * A * (1 - use)}}),
            " is reversed: 1 minus it belongs there; "));
  // Bare numbers, where two other tensors in the comparisons happen to give the same masks.
  CHECK(!has(said(sum(c * p), {{"dx", x, c * A * (1 - use)}}), "of the wrong layers or steps"));
  const Tensor g = parameter({}, "g", 4), q = square(x / g).named("q");
  CHECK(said(sum(square(q)), {{"dq", q, 2 * q}, {"dx", x, 4 * q * x}})
            .starts_with("the factor 1 / g² is missing at "));
  const Tensor Z = parameter({5, 3}, "Z", 5),
               Y = one_hot(from_vector(std::vector<std::int64_t>{0, 1, 2, 0, 1}), 3, f64)
                       .named("Y");
  CHECK(said(-sum(Y * log_softmax(Z, 1)) / 5, {{"dZ", Z, (softmax(Z, 0) - Y) / 5}})
            .starts_with("softmax₀(Z) is over the wrong axis; "));
}

TEST_CASE("diagnose: the same mistake in each term of a sum over steps") {
  const Tensor b = parameter({}, "b", 1);
  std::vector<Tensor> x{parameter({}, "x0", 2)}, y{parameter({}, "y0", 3)};
  for (int t = 1; t <= 3; ++t) {
    const Tensor xy = x.back() * y.back();
    x.push_back((x.back() - 0.2 * b * xy).named(fmt::format("x{}", t)));
    y.push_back((y.back() + 0.1 * xy).named(fmt::format("y{}", t)));
  }
  const Tensor dx3 = x[3], dy3 = y[3];
  const auto with = [&](auto factor) {
    Tensor dx = dx3, dy = dy3, db;
    std::vector<Formula> formulas{{"dx3", x[3], dx}, {"dy3", y[3], dy}};
    for (int t = 3; t >= 1; --t) {
      const Tensor term = -0.2 * dx * factor(t - 1);
      db = db.defined() ? db + term : term;
      const Tensor earlier = dx * (1 - 0.2 * b * y[t - 1]) + 0.1 * dy * y[t - 1];
      dy = dy * (1 + 0.1 * x[t - 1]) - 0.2 * b * dx * x[t - 1];
      dx = earlier;
      formulas.push_back({fmt::format("dx{}", t - 1), x[t - 1], dx});
      formulas.push_back({fmt::format("dy{}", t - 1), y[t - 1], dy});
    }
    formulas.push_back({"db", b, db});
    const DerivationReport report =
        check_derivation(0.5 * square(x[3]) + 0.5 * square(y[3]), formulas);
    return report.first_wrong() ? report.first_wrong()->diagnosis : "nothing";
  };
  CHECK(with([&](int t) { return x[t] * y[t]; }) == "nothing");
  CHECK(with([&](int t) { return x[t]; }).starts_with("the factor y2 is missing, in every step; "));
  CHECK(with([&](int t) {
          return y[t] * y[t];
        }).starts_with("y2 stands in the place of x2, in every step; "));
}

TEST_CASE("diagnose: numbers that are rounded to f32") {
  const Tensor z = to(normal({5, 3}, "z", 1), f32).named("z").requires_grad_();
  const Tensor Y = to(normal({5, 3}, "Y", 2), f32).named("Y");
  const Tensor p = sigmoid(z / 2.5).named("p"), q = sigmoid(z).named("q");
  const Tensor loss = 0.7 * sum(square(p - Y)) + 0.3 * sum(square(q - Y));
  const Tensor soft = 0.7 * 2 / 2.5 * (p - Y) * p * (1 - p), hard = 0.6 * (q - Y) * q * (1 - q);
  CHECK(said(loss, {{"dz", z, soft + hard}}) == "nothing");
  const std::string factor = said(loss, {{"dz", z, 2.5 * soft + hard}});
  CAPTURE(factor);
  CHECK(factor.starts_with("a factor that is a number is missing: "));
  const std::string sign = said(loss, {{"dz", z, soft - hard}});
  CAPTURE(sign);
  CHECK(has(sign, "sign"));
  CHECK(!has(sign, "factor of 1"));
}

TEST_CASE("diagnose: of a shifted index one of the tensors is named") {
  const Tensor W = parameter({4, 4}, "W", 1), h0 = parameter({4}, "h0", 2), y = normal({4}, "y", 3);
  std::vector<Tensor> z{{}}, h{h0};
  for (int t = 1; t <= 3; ++t) {
    z.push_back(matmul(W, h.back()).named(fmt::format("z{}", t)));
    h.push_back(tanh(z.back()).named(fmt::format("h{}", t)));
  }
  const Tensor loss = 0.5 * sum(square(h[3] - y));
  Tensor dh = h[3] - y, dW;
  for (int t = 3; t >= 1; --t) {
    const Tensor dz = dh * (1 - square(h[t])), term = outer(dz, h[t]);
    dW = dW.defined() ? dW + term : term;
    dh = matmul(W.T(), dz);
  }
  const std::string text = said(loss, {{"dW", W, dW}});
  CAPTURE(text);
  CHECK(has(text,
            "the index is shifted: tensors of the time step or layer before or behind stand "
            "there, as h3 in the place of h2; "));
}

TEST_CASE("diagnose: factors that are missing are named before another layer is") {
  const Tensor W1 = parameter({4, 4}, "W1", 1), W2 = parameter({4, 4}, "W2", 2),
               s = parameter({}, "s", 3), x = normal({4, 1}, "x", 4), y = normal({4, 1}, "y", 5);
  const Tensor z1 = matmul(W1, x).named("z1"), u = (s * z1).named("u"), h = sigmoid(u).named("h");
  const Tensor z2 = matmul(W2, h).named("z2"), loss = 0.5 * sum(square(z2 - y));
  const Tensor dh = matmul(W2.T(), z2 - y), du = dh * h * (1 - h);
  CHECK(has(said(loss, {{"dW1", W1, matmul(du, x.T())}}), "the factor s is missing"));
  CHECK(has(said(loss, {{"dW1", W1, matmul(dh, x.T())}}), "the factors s and σ'(u) are missing"));
  CHECK(has(said(loss, {{"ds", s, sum(du * u)}}), "the factor s is too much"));
  // Of bare numbers what is as large.
  CHECK(has(said(loss, {{"dW1", W1, matmul(du, x.T()).detach()}}), "s)"));
  const std::string above = said(loss, {{"dW1", W1, matmul(s * dh, x.T()).detach()}});
  CHECK(above.starts_with("the mistake is above, at du: σ' is missing"));
}

TEST_CASE("diagnose: a number with a name is called by it") {
  const Tensor z = parameter({3, 4}, "z", 1), tau = tensor(2.0, f64).named("τ");
  const Tensor y = softmax(normal({3, 4}, "q", 2), 0).detach().named("y");
  const Tensor p = softmax(z / tau, 0).named("p"), loss = -sum(y * log(p));
  CHECK(said(loss, {{"dz", z, (p - y) * tau}}).starts_with("τ multiplies where it has to divide"));
  CHECK(said(loss, {{"dz", z, ((p - y) * tau).detach()}})
            .starts_with("too large by a factor of 4 (τ²; or the extent of axis 1 of "));
  CHECK(said(loss, {{"dz", z, (p - y) / tau / tau}}).starts_with("too small by a factor of 2 (τ"));
}

TEST_CASE("diagnose: a factor that is 1 today is found behind a mask, in f32 too") {
  for (const DType dtype : {f32, f64}) {
    const auto as = [&](const Tensor& t) { return to(t.detach(), dtype); };
    const Tensor W1 = as(normal({6, 6}, "", 1)).named("W1").requires_grad_();
    const Tensor W2 = as(normal({6, 6}, "", 2)).named("W2").requires_grad_();
    const Tensor gamma = full({}, 1.0, dtype).named("γ").requires_grad_();
    const Tensor x = as(normal({6, 8}, "", 3)).named("x"), y = as(normal({6, 8}, "", 4)).named("y");
    const Tensor a = matmul(W1, x).named("a"), h = relu(a).named("h");
    const Tensor o = (x + gamma * matmul(W2, h)).named("o"), loss = mean(square(o - y));
    const Tensor e = (o - y) / 24.0, mask = to(a > 0.0, dtype);
    CAPTURE(name_of(dtype));
    CHECK(check_derivation(loss, {{"da", a, matmul(W2.T(), gamma * e) * mask}}).ok());
    CHECK(has(said(loss, {{"da", a, matmul(W2.T(), e) * mask}}), "the factor γ is missing"));
  }
}

TEST_SUITE_END();
