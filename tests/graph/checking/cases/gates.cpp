// Gated linear unit, swish, GELU with label smoothing, squeeze-excitation, affine coupling flow,
// restricted Boltzmann machine.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out glu(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9), d = 3, k = pick(c, 3, 4);
  Tensor X = c.P("X", {N, d}, c.scale), Wt = c.P("W", {d, k}, 0.6 * inv(c)),
         V = c.P("V", {d, k}, 0.6 * inv(c));
  Tensor b = c.P("b", {k}, 0.3), e = c.P("e", {k}, c.is("saturated") ? 35 : 0.3), u = c.P("u", {k}),
         y = c.D("y", {N});
  Tensor a = (matmul(X, Wt) + b).named("a"), r = (matmul(X, V) + e).named("r"),
         s = sigmoid(r).named("s"), h = (a * s).named("h"), q = matmul(h, u).named("q");
  o.loss = 0.5 * mean(square(q - y));
  const double n = double(N);
  Tensor dq = m == 13 ? (q - y) * n : (q - y) / n;
  o("dq", q, dq), o("du", u, m == 12 ? matmul(a.T(), dq) : matmul(h.T(), dq));
  Tensor dh = outer(dq, u);
  o("dh", h, dh);
  Tensor da = m == 1 ? dh * a : m == 10 ? dh : dh * s;
  Tensor dr = m == 2 || m == 9 ? dh * dsig(c, r, s)
              : m == 3         ? dh * a * (1.0 - square(s))
              : m == 6         ? dh * a * s
              : m == 11        ? dh * a * dsig(c, a, sigmoid(a))
                               : dh * a * dsig(c, r, s);
  o("da", a, da), o("dr", r, dr);
  o("dW", Wt, matmul(X.T(), da)), o("dV", V, m == 5 ? matmul(X.T(), da) : matmul(X.T(), dr));
  o("db", b, sum(da, 0)), o("de", e, m == 8 ? -sum(dr, 0) : sum(dr, 0));
  o("dX", X,
    m == 4    ? matmul(da, Wt.T())
    : m == 7  ? matmul(da, Wt) + matmul(dr, V.T())
    : m == 14 ? matmul(da, Wt.T()) + matmul(dr, Wt.T())
              : matmul(da, Wt.T()) + matmul(dr, V.T()));
  return o;
}

Out swish(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), d = pick(c, 3, 5), k = pick(c, 4, 3);
  Tensor X = c.D("X", {N, d}, c.scale), Wt = c.P("W", {d, k}, 0.7 * inv(c)), b = c.P("b", {k}, 0.3),
         be = c.par("beta", full({}, c.is("saturated") ? 60 : 1.4, f64));
  Tensor u = c.P("u", {k}), y = c.D("y", {N});
  Tensor z = (matmul(X, Wt) + b).named("z"), v = (be * z).named("v"), s = sigmoid(v).named("s"),
         h = (z * s).named("h"), q = matmul(h, u).named("q");
  if (c.is("zero")) y = c.dat("y", q);
  o.loss = 0.5 * mean(square(q - y));
  Tensor dq = m == 8 ? 2.0 * (q - y) / double(N) : (q - y) / double(N), dh = outer(dq, u);
  o("dq", q, dq), o("dh", h, dh);
  Tensor sl = dsig(c, v, s);
  Tensor dz = m == 1              ? dh * be * z * sl
              : m == 2 || m == 10 ? dh * s
              : m == 3            ? dh * (s + z * sl)
              : m == 6            ? dh * (s - be * z * sl)
              : m == 11           ? dh * (s + be * sl)
                                  : dh * (s + be * z * sl);
  o("dz", z, dz);
  o("dbeta", be,
    m == 4   ? sum(dh * z * sl)
    : m == 5 ? sum(dh * z * z * dsig(c, z, sigmoid(z)))
    : m == 9 ? mean(dh * z * z * sl)
             : sum(dh * z * z * sl));
  o("dW", Wt, m == 7 ? matmul(X.T(), dh) : matmul(X.T(), dz)), o("db", b, sum(dz, 0));
  return o;
}

Out gelu(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), d = 4, k = pick(c, 4, 6), K = 3;
  const double eps = 0.2, n = double(N), r2 = std::sqrt(2.0),
               ph = 1 / std::sqrt(2 * std::numbers::pi);
  Tensor X = c.D("X", {N, d}, c.scale), W1 = c.P("W1", {d, k}, 0.6 * inv(c)),
         b1 = c.P("b1", {k}, 0.3), W2 = c.P("W2", {k, K}, 0.8),
         b2 = c.P("b2", {K}, c.is("saturated") ? 30 : 0.3);
  Tensor Y = c.onehot("Y", N, K, false), Q = ((1 - eps) * Y + eps / K).named("Q");
  Tensor z1 = (matmul(X, W1) + b1).named("z1"), g = (0.5 * (1.0 + erf(z1 / r2))).named("g"),
         h1 = (z1 * g).named("h1");
  Tensor z2 = (matmul(h1, W2) + b2).named("z2"), p = softmax(z2, 1).named("p");
  o.loss = -sum(Q * log(p)) / n;
  Tensor dz2 = m == 1 || m == 10 ? (p - Y) / n
               : m == 4          ? p - Q
               : m == 8          ? (Q - p) / n
               : m == 11         ? (p - (1 - eps) * Y) / n
                                 : (p - Q) / n;
  o("dz2", z2, dz2);
  o("dW2", W2, m == 5 ? matmul(z1.T(), dz2) : matmul(h1.T(), dz2)),
      o("db2", b2, m == 12 ? mean(dz2, 0) : sum(dz2, 0));
  Tensor dh1 = matmul(dz2, W2.T());
  o("dh1", h1, dh1);
  Tensor phi = ph * exp(-0.5 * square(z1));
  Tensor dz1 = m == 2    ? dh1 * g
               : m == 3  ? dh1 * z1 * phi
               : m == 6  ? dh1 * (g + z1 * exp(-0.5 * square(z1)))
               : m == 7  ? dh1 * (g + phi)
               : m == 9  ? dh1 * (g + z1 * ph * exp(-0.5 * square(h1)))
               : m == 13 ? dh1 * (g - z1 * phi)
                         : dh1 * (g + z1 * phi);
  o("dz1", z1, dz1), o("dW1", W1, matmul(X.T(), dz1)), o("db1", b1, sum(dz1, 0));
  return o;
}

Out squeeze(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 4, 6), C = 3, r = pick(c, 3, 2);
  Tensor X = c.P("X", {n, C}, c.scale), W1 = c.P("W1", {r, C}, 0.8 * inv(c)),
         W2 = c.P("W2", {C, r}, 0.8), b = c.P("b", {r}, 1),
         e = c.P("e", {C}, c.is("saturated") ? 30 : 0.3);
  if (c.is("kink")) W1 = c.par("W1", zeros({r, C})), b = c.par("b", zeros({r}));
  Tensor T = c.D("T", {n, C}, c.scale);
  const double N = double(n);
  Tensor s = mean(X, 0).named("s"), z1 = (matmul(W1, s) + b).named("z1"), h = relu(z1).named("h"),
         z2 = (matmul(W2, h) + e).named("z2"), g = sigmoid(z2).named("g"), Y = (X * g).named("Y");
  o.loss = 0.5 * sum(square(Y - T)) / N;
  Tensor dY = m == 9 ? Y - T : m == 11 ? -(Y - T) / N : (Y - T) / N;
  o("dY", Y, dY);
  Tensor dg = m == 4 ? sum(dY, 0) : m == 12 ? mean(dY * X, 0) : sum(dY * X, 0);
  o("dg", g, dg);
  Tensor dz2 = m == 5 ? dg * g : m == 13 ? dg * (1.0 - square(g)) : dg * dsig(c, z2, g);
  o("dz2", z2, dz2);
  o("dW2", W2, outer(dz2, h)), o("de", e, dz2);
  Tensor dh = m == 6 ? matmul(W2, dz2) : m == 14 ? matmul(W1.T(), dz2) : matmul(W2.T(), dz2);
  o("dh", h, dh);
  Tensor dz1 = m == 8 ? dh : dh * c.num(z1 > 0.0);
  o("dz1", z1, dz1);
  o("dW1", W1, m == 7 ? outer(dz1, h) : m == 15 ? outer(s, dz1) : outer(dz1, s)), o("db", b, dz1);
  Tensor ds = matmul(W1.T(), dz1);
  o("ds", s, ds);
  o("dX", X,
    m == 1 || m == 10 ? dY * g
    : m == 2          ? ds / N + 0.0 * X
    : m == 3          ? dY * g + ds
                      : dY * g + ds / N);
  return o;
}

Out flow(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 4, 7), d = pick(c, 3, 2);
  Tensor x1 = c.D("x1", {N, d}, c.scale), x2 = c.D("x2", {N, d}, c.scale);
  Tensor Wt = c.P("W", {d, d}, 0.5 * inv(c)), V = c.P("V", {d, d}, 0.5),
         A = c.P("A", {d, d}, 0.5 * inv(c)), B = c.P("B", {d, d}, 0.5);
  const double n = double(N);
  Tensor u = matmul(x1, Wt).named("u"), s = tanh(u).named("s"),
         z2 = (x2 * exp(s) + matmul(x1, V)).named("z2");
  Tensor v = matmul(z2, A).named("v"), r = tanh(v).named("r"),
         z1 = (x1 * exp(r) + matmul(z2, B)).named("z1");
  o.loss = (0.5 * sum(square(z1)) + 0.5 * sum(square(z2)) - sum(s) - sum(r)) / n;
  Tensor dz1 = m == 10 ? 2.0 * z1 / n : z1 / n;
  o("dz1", z1, dz1), o("dB", B, m == 12 ? matmul(dz1.T(), z2) : matmul(z2.T(), dz1));
  Tensor g = dz1 * x1 * exp(r), dr = m == 1    ? g
                                     : m == 2  ? g + 1 / n
                                     : m == 7  ? g - 1.0
                                     : m == 13 ? dz1 * x1 * r - 1 / n
                                               : g - 1 / n;
  o("dr", r, dr);
  Tensor dv = m == 14 ? dr : dr * dtanh(c, v, r);
  o("dv", v, dv), o("dA", A, m == 8 ? matmul(x1.T(), dv) : matmul(z2.T(), dv));
  Tensor pa = matmul(dz1, B.T()), pb = matmul(dv, A.T());
  Tensor dz2 = m == 3 ? pa + pb : m == 4 ? z2 / n + pb : m == 9 ? z2 / n + pa : z2 / n + pa + pb;
  o("dz2", z2, dz2), o("dV", V, matmul(x1.T(), dz2));
  Tensor ds = m == 5    ? dz2 * x2 - 1 / n
              : m == 6  ? dz2 * x1 * exp(s) - 1 / n
              : m == 11 ? dz2 * x2 * exp(s)
                        : dz2 * x2 * exp(s) - 1 / n;
  o("ds", s, ds);
  Tensor du = ds * dtanh(c, u, s);
  o("du", u, du), o("dW", Wt, matmul(x1.T(), du));
  return o;
}

Out rbm(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), D = pick(c, 4, 6), H = pick(c, 3, 4);
  Tensor v = c.D("v", {N, D}, c.scale),
         k = c.is("zero") ? c.dat("k", v) : c.D("k", {N, D}, c.scale);
  Tensor Wt = c.P("W", {D, H}, 0.7 * inv(c)), b = c.P("b", {D}),
         e = c.P("e", {H}, c.is("saturated") ? 30 : 0.4);
  const double n = double(N);
  Tensor zv = (matmul(v, Wt) + e).named("zv"), zk = (matmul(k, Wt) + e).named("zk");
  Tensor Fv = -matmul(v, b) - sum(softplus(zv), 1), Fk = -matmul(k, b) - sum(softplus(zk), 1);
  o.loss = mean(Fv) - mean(Fk);
  Tensor dzv = m == 2   ? sigmoid(zv) / n
               : m == 7 ? -softplus(zv) / n
               : m == 9 ? -sigmoid(zv)
                        : -sigmoid(zv) / n;
  Tensor dzk = m == 5    ? sigmoid(zk) * (1.0 - sigmoid(zk)) / n
               : m == 10 ? sigmoid(zv) / n
                         : sigmoid(zk) / n;
  o("dzv", zv, dzv), o("dzk", zk, dzk);
  o("dW", Wt,
    m == 1    ? matmul(v.T(), dzv)
    : m == 6  ? matmul(v.T(), dzv) + matmul(v.T(), dzk)
    : m == 11 ? matmul(v.T(), dzv) - matmul(k.T(), dzk)
              : matmul(v.T(), dzv) + matmul(k.T(), dzk));
  o("de", e,
    m == 3    ? sum(dzv, 0) - sum(dzk, 0)
    : m == 12 ? sum(dzv, 0)
              : sum(dzv, 0) + sum(dzk, 0));
  o("db", b,
    m == 4    ? sum(k, 0) - sum(v, 0)
    : m == 8  ? mean(v, 0) - mean(k, 0)
    : m == 13 ? -mean(v, 0)
              : mean(k, 0) - mean(v, 0));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1(
    {"gated linear unit",
     glu,
     usual(S4, {"saturated"}),
     {{1, "a for s", WHICH, "da"},
      {10, "s missing", MISSF, "da"},
      {2, "a missing", MISSF + WHICH, "dr"},
      {3, "tanh' for σ'", FUNC + POWER, "dr"},
      {6, "1 − s missing", MISSF + SLOPE, "dr"},
      {11, "σ' at a", SLOPE + WHICH, "dr"},
      {4, "path through the gate missing", PATH, "dX"},
      {7, "W not transposed", TRANS, "dX"},
      {14, "W for V", WHICH, "dX"},
      {5, "da for dr", WHICH, "dV"},
      {12, "a for h", WHICH, "du"},
      {8, "sign of de", SIGNS, "de"},
      {13, "times N",
       NUMBER + W{"factor of 25", "1/N", "N²", "batch", "mean", "twice", "25", "⊘ 5", "/ 5"}, "dq"},
      {9, "a missing", MISSF + WHICH, "dV", {"dV"}},
      {7, "W not transposed", TRANS, "dX", {}, true},
      {4, "path through the gate missing", PATH, "dX", {}, true}}});
const Registered r2({"swish",
                     swish,
                     usual(S4, {"saturated", "zero"}),
                     {{1, "s missing", TERM, "dz"},
                      {2, "z's slope missing", TERM, "dz"},
                      {3, "β missing", MISSF + times("1.4", "0.714286") + W{"beta&missing"}, "dz"},
                      {6, "sign of the slope's term", SIGNS, "dz"},
                      {11, "z missing", MISSF, "dz"},
                      {4, "z for z²", POWER, "dbeta"},
                      {5, "σ' at z", SLOPE + WHICH, "dbeta"},
                      {9, "mean for sum", MEANSUM + times("20", "0.05"), "dbeta"},
                      {7, "dh for dz", WHICH + SLOPE + FACTOR, "dW"},
                      {8, "½ forgotten", HALF, "dq"},
                      {10, "z's slope missing", TERM + SLOPE, "dW", {"dW"}},
                      {6, "sign of the slope's term", SIGNS, "dz", {}, true}}});
const Registered r3({"gelu, smoothed labels",
                     gelu,
                     usual(S4, {"saturated"}),
                     {{1, "Y for the smoothed Q", WHICH + TERM, "dz2"},
                      {11, "ε/K missing", TERM + WHICH, "dz2"},
                      {4, "1/N missing", batch(5), "dz2"},
                      {8, "sign of dz2", SIGNS, "dz2"},
                      {5, "z1 for h1", WHICH, "dW2"},
                      {12, "mean for sum", MEANSUM + times("5", "0.2"), "db2"},
                      {2, "zφ missing", TERM, "dz1"},
                      {3, "Φ missing", TERM, "dz1"},
                      {6, "1/√(2π) missing",
                       times("2.50663", "0.398942") + W{"factor", "0.398942&missing"}, "dz1"},
                      {7, "z missing", MISSF + WHICH, "dz1"},
                      {9, "φ at h1", SLOPE + WHICH, "dz1"},
                      {13, "sign of zφ", SIGNS, "dz1"},
                      {10, "Y for the smoothed Q", WHICH, "dW1", {"dW1"}},
                      {2, "zφ missing", TERM, "dz1", {}, true}}});
const Registered r4({"squeeze-excitation",
                     squeeze,
                     usual(S4, {"saturated", "kink"}),
                     {{1, "path through the gate missing", PATH, "dX"},
                      {2, "direct path missing", PATH, "dX"},
                      {3, "1/n of the mean missing", batch(4), "dX"},
                      {4, "X missing", MISSF, "dg"},
                      {12, "mean for sum", MEANSUM + times("4", "0.25"), "dg"},
                      {5, "1 − g missing", MISSF + SLOPE, "dz2"},
                      {13, "tanh' for σ'", FUNC + POWER, "dz2"},
                      {6, "W2 not transposed", TRANS, "dh"},
                      {14, "W1 for W2", WHICH, "dh"},
                      {8, "relu's mask missing", MASK + W{"factor"}, "dz1"},
                      {7, "h for s", WHICH, "dW1"},
                      {15, "outer product the wrong way round", TRANS, "dW1"},
                      {9, "1/n missing", batch(4), "dY"},
                      {11, "sign of dY", SIGNS, "dY"},
                      {10, "path through the gate missing", PATH, "dX", {"dX"}},
                      {15, "outer product the wrong way round", TRANS, "dW1", {}, true}}});
const Registered r5({"coupling flow",
                     flow,
                     usual(S4),
                     {{1, "log-determinant missing", TERM, "dr"},
                      {2, "log-determinant's sign", SIGNS, "dr"},
                      {7, "log-determinant without 1/N", batch(4), "dr"},
                      {13, "r for exp r", FUNC + WHICH, "dr"},
                      {14, "tanh' missing", SLOPE + FACTOR, "dv"},
                      {8, "x1 for z2", WHICH, "dA"},
                      {12, "dB transposed", TRANS, "dB"},
                      {3, "prior's path missing", PATH, "dz2"},
                      {4, "path through B missing", PATH, "dz2"},
                      {5, "exp s missing", MISSF, "ds"},
                      {6, "x1 for x2", WHICH, "ds"},
                      {11, "log-determinant missing", TERM, "ds"},
                      {10, "½ forgotten", HALF, "dz1"},
                      {9, "path through A missing", PATH, "dV", {"dV"}},
                      {4, "path through B missing", PATH, "dz2", {}, true},
                      {2, "log-determinant's sign", SIGNS, "dr", {}, true}}});
const Registered r6({"restricted boltzmann machine",
                     rbm,
                     usual(S4, {"saturated", "zero"}),
                     {{1, "negative phase missing", PATH, "dW"},
                      {11, "sign of the negative phase", SIGNS, "dW"},
                      {6, "v for k", WHICH, "dW"},
                      {2, "sign of dzv", SIGNS, "dzv"},
                      {7, "softplus for σ", FUNC, "dzv"},
                      {9, "1/N missing", batch(5), "dzv"},
                      {5, "σ' for σ", FUNC + EXTRA, "dzk"},
                      {10, "zv for zk", WHICH, "dzk"},
                      {3, "sign of the negative phase", SIGNS, "de"},
                      {12, "negative phase missing", PATH, "de"},
                      {4, "sum for mean", batch(5) + MEANSUM, "db"},
                      {8, "sign of db", SIGNS, "db"},
                      {13, "negative phase missing", TERM, "db"},
                      {7, "softplus for σ", FUNC, "dW", {"dW"}},
                      {3, "sign of the negative phase", SIGNS, "de", {}, true}}});
}  // namespace
