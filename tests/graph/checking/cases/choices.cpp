// Bradley–Terry, ordinal regression, probit, CRF, logistic PCA.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out bradley_terry(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 4, 7), d = 3, M = pick(c, 5, 9);
  Tensor X = c.D("X", {n, d}, c.scale),
         w = c.is("zero") ? c.par("w", zeros({d})) : c.P("w", {d}, 0.5 * inv(c));
  Tensor h = c.par("h", full({}, c.is("saturated") ? 35.0 : c.is("zero") ? 0.0 : 0.3, f64));
  Tensor i = randint(0, n, {M}, c.g), j = remainder_free(i, n);
  if (c.is("zero")) {
    Tensor a = concat({i, j}), b = concat({j, i});
    i = a, j = b;
  }
  const std::int64_t K = i.size(0);
  const double lambda = 0.05;
  Tensor A = one_hot(i, n, c.dt).named("A"), B = one_hot(j, n, c.dt).named("B");
  Tensor s = matmul(X, w).named("s"), dd_ = (take(s, i) - take(s, j) + h).named("d");
  o.loss = -mean(log_sigmoid(dd_)) + lambda * sum(square(w));
  Tensor dd = m == 1   ? sigmoid(-dd_) / double(K)
              : m == 2 ? -sigmoid(-dd_)
              : m == 3 ? -sigmoid(dd_) / double(K)
                       : -sigmoid(-dd_) / double(K);
  o("dd", dd_, dd);
  o("dh", h, m == 7 ? mean(dd) : sum(dd));
  Tensor ds = m == 4   ? matmul(A.T(), dd)
              : m == 8 ? matmul((A + B).T(), dd)
                       : matmul((A - B).T(), dd);
  o("ds", s, ds);
  o("dw", w,
    m == 5   ? matmul(X.T(), ds) + lambda * w
    : m == 6 ? matmul(X.T(), ds)
    : m == 9 ? matmul(X.T(), ds) - 2 * lambda * w
             : matmul(X.T(), ds) + 2 * lambda * w);
  return o;
}

Out ordinal(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 11), d = pick(c, 3, 4);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, 0.6 * inv(c)),
         Y = c.onehot("Y", N, 3, false);
  Tensor c1 = c.par("c1", full({}, -0.4, f64)), e = c.par("e", full({}, 0.3, f64));
  Tensor y1 = Y(cr::all, 0).named("y1"), y2 = Y(cr::all, 1).named("y2"),
         y3 = Y(cr::all, 2).named("y3");
  Tensor f = matmul(X, w).named("f"), c2 = (c1 + exp(e)).named("c2");
  Tensor u1 = (c1 - f).named("u1"), u2 = (c2 - f).named("u2");
  Tensor F1 = sigmoid(u1).named("F1"), F2 = sigmoid(u2).named("F2"), p2 = (F2 - F1).named("p2"),
         p3 = (1.0 - F2).named("p3");
  o.loss = -mean(y1 * log(F1) + y2 * log(p2) + y3 * log(p3));
  const double n = double(N);
  Tensor dF1 = m == 1   ? -(y1 / F1 + y2 / p2) / n
               : m == 2 ? -(y1 / F1) / n
                        : -(y1 / F1 - y2 / p2) / n;
  Tensor dF2 = m == 8 ? -(y2 / p2 - y3 / p2) / n : -(y2 / p2 - y3 / p3) / n;
  o("dF1", F1, dF1), o("dF2", F2, dF2);
  Tensor du1 = dF1 * F1 * (1.0 - F1), du2 = m == 7 ? dF2 * F1 * (1.0 - F1) : dF2 * F2 * (1.0 - F2);
  o("du1", u1, du1), o("du2", u2, du2);
  Tensor df = m == 3 || m == 9 ? -du1 : m == 4 ? du1 + du2 : -(du1 + du2);
  o("df", f, df);
  Tensor dc2 = m == 11 ? mean(du2) : sum(du2);
  o("dc2", c2, dc2);
  o("de", e, m == 5 ? dc2 : dc2 * exp(e));
  o("dc1", c1, m == 6 ? sum(du1) : sum(du1) + dc2);
  o("dw", w, matmul(X.T(), df));
  return o;
}

Out probit(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 12), d = pick(c, 3, 5);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, 0.5 * inv(c)), b = c.P("b", {}, 0.3),
         y = labels(c, "y", N);
  const double n = double(N), r2 = std::sqrt(2.0), k = 1 / std::sqrt(2 * std::numbers::pi);
  Tensor z = (matmul(X, w) + b).named("z"), q = (0.5 * (1.0 + erf(z / r2))).named("q");
  o.loss = -mean(y * log(q) + (1.0 - y) * log(1.0 - q));
  Tensor dq = m == 4   ? -(y / q + (1.0 - y) / (1.0 - q)) / n
              : m == 5 ? -(y / q - (1.0 - y) / (1.0 - q))
              : m == 8 ? -(y / q) / n
                       : -(y / q - (1.0 - y) / (1.0 - q)) / n;
  o("dq", q, dq);
  Tensor dz = m == 1   ? dq * k * exp(-square(z))
              : m == 2 ? dq * exp(-0.5 * square(z))
              : m == 3 ? dq * q * (1.0 - q)
              : m == 9 ? dq * k * exp(0.5 * square(z))
                       : dq * k * exp(-0.5 * square(z));
  o("dz", z, dz);
  o("dw", w, m == 7 ? matmul(X.T(), dq) : matmul(X.T(), dz));
  o("db", b, m == 6 ? mean(dz) : sum(dz));
  return o;
}

Out crf(const Ctx& c, int m) {
  Out o;
  const std::int64_t T = pick(c, 4, 6), K = 3, d = 4;
  Tensor X = c.D("X", {T, d}, c.scale),
         Wt = c.P("W", {d, K}, (c.is("saturated") ? 30 : 0.5) * inv(c));
  Tensor A = c.P("A", {K, K}, 0.7), Y = c.onehot("Y", T, K, false), C;
  {
    NoGrad off;
    C = matmul(Y[slice(0, T - 1)].T(), Y[slice(1, T)]).named("C");
  }
  Tensor B = A;
  if (c.is("mask")) B = A + c.dat("M", -1e9 * one_hot(tensor({1, 2, 0}), 3, f64));
  Tensor E = matmul(X, Wt).named("E");
  std::vector<Tensor> a{E[0].named("a0")};
  for (std::int64_t t = 1; t < T; ++t)
    a.push_back((logsumexp(col(a.back()) + B, 0) + E[t]).named(nm("a", t)));
  o.loss = logsumexp(a.back()) - sum(Y * E) - sum(C * A);
  std::vector<Tensor> da(T);
  da[T - 1] = m == 7 ? exp(a[T - 1]) : softmax(a[T - 1], 0);
  o(nm("da", T - 1).c_str(), a[T - 1], da[T - 1]);
  Tensor dA;
  for (std::int64_t t = T - 1; t > 0; --t) {
    Tensor P = softmax(col(a[t - 1]) + B, m == 2 ? 1 : 0);
    da[t - 1] = m == 5 ? matmul(P.T(), da[t]) : m == 9 ? sum(P, 1) : matmul(P, da[t]);
    o(nm("da", t - 1).c_str(), a[t - 1], da[t - 1]);
    Tensor g = P * row(m == 6 ? da[t - 1] : da[t]);
    if (m == 3 && t == 1) continue;
    dA = dA.defined() ? dA + g : g;
  }
  o("dA", A, m == 1 ? dA : m == 10 ? dA + C : dA - C);
  Tensor S = stack(da), dE = m == 4 ? S + Y : m == 8 ? S : S - Y;
  o("dE", E, dE);
  o("dW", Wt, matmul(X.T(), dE));
  return o;
}

Out logistic_pca(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9), D = pick(c, 4, 6), r = 2;
  Tensor X = c.bern("X", {N, D}), U = c.P("U", {N, r}, c.scale), V = c.P("V", {D, r}, 1 / c.scale),
         mu = c.P("mu", {D}, c.is("saturated") ? 30 : 0.3);
  const double n = double(N), lambda = 0.1 / (c.scale * c.scale);
  Tensor Th = (matmul(U, V.T()) + mu).named("Q");
  o.loss = (sum(softplus(Th) - X * Th) + 0.5 * lambda * sum(square(U))) / n;
  Tensor s = sigmoid(Th);
  Tensor dTh = m == 1   ? (X - s) / n
               : m == 5 ? (softplus(Th) - X) / n
               : m == 8 ? s - X
               : m == 9 ? s / n
                        : (s - X) / n;
  o("dQ", Th, dTh);
  Tensor d0 = matmul(dTh, V);
  o("dU", U,
    m == 4   ? d0 + U / n
    : m == 6 ? d0
    : m == 7 ? d0 + 2.0 * lambda * U / n
             : d0 + lambda * U / n);
  o("dV", V, m == 3 ? matmul(U.T(), dTh) : matmul(dTh.T(), U));
  o("dmu", mu, m == 2 ? sum(dTh, 1) : m == 10 ? mean(dTh, 0) : sum(dTh, 0));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1({"bradley-terry",
                     bradley_terry,
                     usual(S4, {"saturated", "zero"}),
                     {{1, "sign of dd", SIGNS, "dd"},
                      {2, "1/M missing", batch(5), "dd"},
                      {3, "σ(d) for σ(−d)", W{"argument", "function"} + STANDS + SIGNS, "dd"},
                      {4, "loser's part missing", PATH, "ds"},
                      {8, "loser's sign", SIGNS + W{"A + B&A − B"}, "ds"},
                      {5, "λw for 2λw", HALF, "dw"},
                      {6, "ridge missing", TERM, "dw"},
                      {9, "ridge's sign", SIGNS, "dw"},
                      {7, "mean for sum in dh", MEANSUM + times("5", "0.2"), "dh"},
                      {4, "loser's part missing", PATH, "dw", {"dw"}},
                      {6, "ridge missing", TERM, "dw", {}, true},
                      {1, "sign of dd", SIGNS, "dd", {}, true}}});
const Registered r2({"ordinal",
                     ordinal,
                     usual(S4),
                     {{1, "sign of y2 term", SIGNS, "dF1"},
                      {2, "y2 term missing", TERM, "dF1"},
                      {3, "path u2 missing in df", PATH, "df"},
                      {4, "sign of df", SIGNS, "df"},
                      {5, "exp(e) missing", MISSF, "de"},
                      {6, "path through c2 missing", PATH, "dc1"},
                      {7, "σ' at u1", SLOPE + WHICH, "du2"},
                      {8, "p2 for p3", WHICH, "dF2"},
                      {11, "mean for sum in dc2", MEANSUM + times("6", "0.166667"), "dc2"},
                      {9, "path u2 missing", PATH, "dw", {"dw"}},
                      {6, "path through c2 missing", PATH, "dc1", {}, true},
                      {7, "σ' at u1", SLOPE + WHICH, "du2", {}, true}}});
const Registered r3(
    {"probit",
     probit,
     usual(S4),
     {{1, "½ missing in the exponent", HALF + W{"exponent", "inside", "power"}, "dz"},
      {2, "1/√(2π) missing",
       times("2.50663", "0.398942") + W{"factor", "0.398942&missing", "2.50663"}, "dz"},
      {3, "logistic σ' for φ", FUNC + SLOPE + W{"factor"}, "dz"},
      {9, "sign in the exponent", SIGNS, "dz"},
      {4, "sign of the (1−y) term", SIGNS, "dq"},
      {8, "(1−y) term missing", TERM, "dq"},
      {5, "1/N missing", batch(5), "dq"},
      {6, "mean for sum in db", MEANSUM + times("5", "0.2"), "db"},
      {7, "dq for dz in dw", WHICH + SLOPE + FACTOR, "dw"},
      {7, "φ forgotten", WHICH + SLOPE + FACTOR, "dw", {"dw"}},
      {5, "1/N missing", batch(5), "dq", {}, true}}});
const Registered r4(
    {"crf",
     crf,
     usual(S4, {"mask", "saturated"}),
     {{1, "counts missing in dA", TERM, "dA"},
      {10, "sign of the counts", SIGNS, "dA"},
      {2, "softmax over the wrong axis", AXIS, "da2"},
      {3, "a step missing in dA", STEP, "dA"},
      {4, "sign of Y", SIGNS, "dE"},
      {5, "P transposed", TRANS, "da2"},
      {6, "da shifted in dA", TIME + WHICH, "dA"},
      {7, "softmax not normalised",
       W{"normal", "Σ&missing", "sum&missing", "function", "factor", "denominator"} + STANDS,
       "da3"},
      {9, "da carried over is missing", MISSF + W{"carried", "da3&missing"} + PATH, "da2"},
      {8, "Y missing", TERM, "dW", {"dW"}},
      {8, "Y missing", TERM, "dE", {}, true},
      {10, "sign of the counts", SIGNS, "dA", {}, true}}});
const Registered r5({"logistic pca",
                     logistic_pca,
                     usual(S4, {"saturated"}),
                     {{1, "sign of dQ", SIGNS, "dQ"},
                      {2, "sum over the wrong axis", AXIS, "dmu"},
                      {3, "dV transposed", TRANS, "dV"},
                      {4, "λ missing",
                       FACTOR + times("10", "0.1") + W{"0.1&missing", "0.02&missing"}, "dU"},
                      {5, "softplus for its derivative", FUNC, "dQ"},
                      {6, "ridge missing", TERM, "dU"},
                      {7, "2λ for λ", HALF, "dU"},
                      {8, "1/N missing", batch(5), "dQ"},
                      {9, "X missing", TERM, "dQ"},
                      {10, "mean for sum", MEANSUM + times("5", "0.2"), "dmu"},
                      {9, "X missing", TERM, "dV", {"dV"}},
                      {7, "2λ for λ", HALF, "dU", {}, true}}});
}  // namespace
