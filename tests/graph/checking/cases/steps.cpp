// Weibull survival with censoring, TD(0) with a detached target, unrolled gradient descent, sparse
// dictionary, exponential smoothing.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out weibull(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9), d = pick(c, 3, 4);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, 0.5 * inv(c)), b = c.P("b", {}, 0.3),
         ka = c.par("kappa", full({}, 0.4, f64)), l = c.D("l", {N}, 0.6), ev = labels(c, "E", N);
  const double n = double(N);
  Tensor q = (matmul(X, w) + b).named("q"), k = exp(ka).named("k"), s = (l - q).named("s"),
         v = exp(k * s).named("v");
  o.loss = -mean(ev * (log(k) + k * s) - v);
  Tensor ds = m == 1    ? k * v / n
              : m == 2  ? k * (ev - v) / n
              : m == 3  ? (v - ev) / n
              : m == 6  ? k * (v - ev)
              : m == 7  ? k * (ev * v - ev) / n
              : m == 9  ? k * (v - 1.0) / n
              : m == 11 ? k * (v + ev) / n
                        : k * (v - ev) / n;
  o("ds", s, ds);
  Tensor dk = m == 4    ? sum(s * v - ev * s) / n
              : m == 5  ? sum(s * v - ev / k) / n
              : m == 8  ? sum(v - ev * s - ev / k) / n
              : m == 12 ? sum(s * v - ev * s + ev / k) / n
                        : sum(s * v - ev * s - ev / k) / n;
  o("dk", k, dk), o("dkappa", ka, m == 10 ? dk : dk * k);
  Tensor dq = m == 13 ? ds : -ds;
  o("dq", q, dq), o("dw", w, matmul(X.T(), dq)), o("db", b, m == 14 ? mean(dq) : sum(dq));
  return o;
}

Out td(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), d = pick(c, 3, 4), k = pick(c, 4, 3);
  Tensor S = c.D("S", {N, d}, c.scale), S2 = c.D("S2", {N, d}, c.scale),
         Wt = c.P("W", {d, k}, 0.7 * inv(c)), u = c.P("u", {k}), r = c.D("r", {N});
  const double n = double(N), ga = 0.9;
  if (c.is("saturated")) Wt = c.par("W", Wt * 25.0);
  Tensor z = matmul(S, Wt).named("z"), h = tanh(z).named("h"), v = matmul(h, u).named("v");
  Tensor h2, v2;
  {
    NoGrad off;
    h2 = tanh(matmul(S2, Wt));
    v2 = matmul(h2, u);
  }
  h2 = c.dat("h2", h2), v2 = c.dat("v2", v2);
  Tensor y = (r + ga * v2).named("y");
  if (c.is("zero")) y = c.dat("y", v);
  o.loss = 0.5 * mean(square(v - y));
  Tensor dv = m == 1   ? (y - v) / n
              : m == 4 ? (v - r) / n
              : m == 6 ? v - y
              : m == 8 ? (v - (r + v2)) / n
              : m == 9 ? 2.0 * (v - y) / n
                       : (v - y) / n;
  o("dv", v, dv);
  o("du", u,
    m == 2    ? matmul(h.T(), dv) - ga * matmul(h2.T(), dv)
    : m == 3  ? matmul(h2.T(), dv)
    : m == 11 ? matmul(z.T(), dv)
              : matmul(h.T(), dv));
  Tensor dh = outer(dv, u);
  o("dh", h, dh);
  Tensor dz = m == 5               ? dh * (1.0 - square(h2))
              : m == 12            ? dh * (1.0 + square(h))
              : m == 10 || m == 13 ? dh
                                   : dh * dtanh(c, z, h);
  o("dz", z, dz), o("dW", Wt, m == 7 ? matmul(S2.T(), dz) : matmul(S.T(), dz));
  return o;
}

Out unrolled(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), d = pick(c, 3, 4);
  Tensor X = c.D("X", {N, d}, c.scale), Z = c.D("Z", {N, d}, c.scale), y = c.D("y", {N}),
         t = c.D("t", {N});
  Tensor w0 = c.P("w0", {d}, 1 / c.scale),
         eta = c.par("eta", full({}, 0.3 / (c.scale * c.scale), f64));
  const double n = double(N);
  Tensor g0 = (matmul(X.T(), matmul(X, w0) - y) / n).named("g0"), w1 = (w0 - eta * g0).named("w1");
  Tensor g1 = (matmul(X.T(), matmul(X, w1) - y) / n).named("g1"), w2 = (w1 - eta * g1).named("w2");
  Tensor e = (matmul(Z, w2) - t).named("e");
  o.loss = 0.5 * sum(square(e)) / n;
  Tensor de = m == 13 ? 2.0 * e / n : e / n;
  o("de", e, de);
  Tensor dw2 = m == 8 ? matmul(X.T(), de) : matmul(Z.T(), de);
  o("dw2", w2, dw2);
  Tensor dg1 = m == 5 ? -dw2 : m == 6 ? eta * dw2 : -(eta * dw2);
  o("dg1", g1, dg1);
  auto H = [&](const Tensor& x, double k) { return matmul(X.T(), matmul(X, x)) / k; };
  Tensor dw1 = m == 1 || m == 9 ? dw2
               : m == 2         ? H(dg1, n)
               : m == 7         ? dw2 + H(dg1, 1)
               : m == 12        ? dw2 - H(dg1, n)
               : m == 14        ? dw2 + matmul(X.T(), matmul(Z, dg1)) / n
                                : dw2 + H(dg1, n);
  o("dw1", w1, dw1);
  Tensor dg0 = m == 15 ? -(eta * dw2) : -(eta * dw1);
  o("dg0", g0, dg0);
  o("dw0", w0, m == 11 ? dw1 : dw1 + H(dg0, n));
  o("deta", eta,
    m == 3    ? -sum(dw2 * g1)
    : m == 4  ? -sum(dw2 * g0) - sum(dw1 * g0)
    : m == 10 ? sum(dw2 * g1) + sum(dw1 * g0)
              : -sum(dw2 * g1) - sum(dw1 * g0));
  return o;
}

Out dictionary(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = 4, d = pick(c, 4, 6), k = pick(c, 4, 5);
  Tensor X = c.D("X", {d, N}, c.scale), D = c.P("D", {d, k}), A = c.P("A", {k, N}, c.scale);
  if (c.is("kink")) A = c.par("A", A * c.bern("B", {k, N}));
  const double n = double(N), la = 0.3 * c.scale;
  Tensor R = (matmul(D, A) - X).named("R");
  o.loss = (0.5 * sum(square(R)) + la * sum(abs(A))) / n;
  Tensor sg = c.is("kink") ? c.num(A >= 0.0) * 2.0 - 1.0 : sign(A);
  Tensor dR = m == 5 ? -R / n : m == 7 ? 2.0 * R / n : m == 9 ? R : R / n;
  o("dR", R, dR);
  o("dD", D, m == 4 ? matmul(dR, A) : m == 8 ? matmul(dR, D.T()) : matmul(dR, A.T()));
  Tensor g = matmul(D.T(), dR);
  o("dA", A,
    m == 1    ? g
    : m == 2  ? g + la * abs(A) / n
    : m == 3  ? matmul(D, dR) + la * sg / n
    : m == 6  ? g + la * sg
    : m == 10 ? g - la * sg / n
    : m == 11 ? g + la * A / n
    : m == 12 ? g + sg / n
    : m == 13 ? g + 2 * la * sg / n
              : g + la * sg / n);
  return o;
}

Out smoothing(const Ctx& c, int m) {
  Out o;
  const std::int64_t T = pick(c, 4, 7), k = 3;
  Tensor Y = c.D("Y", {T, k}, c.scale), m0 = c.P("m0", {k}, c.scale),
         th = c.is("saturated") ? c.par("th", full({k}, 30.0, f64)) : c.P("th", {k}, 0.8);
  Tensor al = sigmoid(th).named("al");
  std::vector<Tensor> s{m0}, e, y, ds(T);
  for (std::int64_t t = 0; t < T; ++t) {
    y.push_back(Y[t].named(nm("y", t)));
    e.push_back((y[t] - s[t]).named(nm("e", t)));
    if (t + 1 < T) s.push_back((s[t] + al * e[t]).named(nm("m", t + 1)));
  }
  Tensor L = sum(square(e[0]));
  for (std::int64_t t = 1; t < T; ++t) L = L + sum(square(e[t]));
  o.loss = 0.5 * L / double(T);
  const double n = double(T);
  Tensor da;
  ds[T - 1] = m == 6    ? e[T - 1] / n
              : m == 9  ? -e[T - 1]
              : m == 13 ? -2.0 * e[T - 1] / n
                        : -e[T - 1] / n;
  o(nm("dm", T - 1).c_str(), s[T - 1], ds[T - 1]);
  for (std::int64_t t = T - 2; t >= 0; --t) {
    ds[t] = m == 1 || m == 8 ? -e[t] / n
            : m == 2         ? (1.0 - al) * ds[t + 1]
            : m == 3         ? al * ds[t + 1] - e[t] / n
            : m == 10        ? ds[t + 1] - e[t] / n
            : m == 11        ? (1.0 - al) * ds[t + 1] - e[t + 1] / n
            : m == 14        ? (1.0 + al) * ds[t + 1] - e[t] / n
                             : (1.0 - al) * ds[t + 1] - e[t] / n;
    o(nm("dm", t).c_str(), s[t], ds[t]);
    if (m == 7 && t == 0) continue;
    Tensor g = ds[t + 1] * (m == 5 ? e[t + 1] : m == 12 ? y[t] : e[t]);
    da = da.defined() ? da + g : g;
  }
  o("dal", al, da);
  o("dth", th, m == 4 ? da : m == 15 ? da * al : da * dsig(c, th, al));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1({"weibull",
                     weibull,
                     usual(S4),
                     {{1, "term of the events missing", TERM, "ds"},
                      {9, "events for all", MISSF + WHICH + W{"E&missing"}, "ds"},
                      {11, "sign of the events", SIGNS, "ds"},
                      {7, "E also at v", EXTRA, "ds"},
                      {2, "sign of ds", SIGNS, "ds"},
                      {3, "k missing", MISSF, "ds"},
                      {6, "1/N missing", batch(5), "ds"},
                      {4, "1/k term missing", TERM, "dk"},
                      {12, "sign of the 1/k term", SIGNS, "dk"},
                      {5, "E s term missing", TERM, "dk"},
                      {8, "s missing", MISSF, "dk"},
                      {10, "k missing", MISSF + times("1.49182", "0.67032") + W{"k&missing"},
                       "dkappa"},
                      {13, "sign of dq", SIGNS, "dq"},
                      {14, "mean for sum", MEANSUM + times("5", "0.2"), "db"},
                      {1, "term of the events missing", TERM, "dw", {"dw"}},
                      {5, "E s term missing", TERM, "dk", {}, true}}});
const Registered r2({"td(0)",
                     td,
                     usual(S4, {"saturated", "zero"}),
                     {{1, "sign of dv", SIGNS, "dv"},
                      {4, "γv' missing", TERM + WHICH + W{"v2&missing"}, "dv"},
                      {8, "γ missing", FACTOR + NUMBER + W{"0.9&missing"} + WHICH, "dv"},
                      {6, "1/N missing", batch(5), "dv"},
                      {9, "½ forgotten", HALF, "dv"},
                      {2, "gradient through the target", EXTRA + W{"detach", "constant", "target"},
                       "du"},
                      {3, "h2 for h", WHICH, "du"},
                      {11, "z for h", WHICH, "du"},
                      {5, "slope at h2", SLOPE + WHICH, "dz"},
                      {12, "sign in 1 − h²", SIGNS, "dz"},
                      {13, "tanh' missing", SLOPE + MISSF, "dz"},
                      {7, "S2 for S", WHICH, "dW"},
                      {10, "tanh' missing", SLOPE + MISSF + WHICH, "dW", {"dW"}},
                      {7, "S2 for S", WHICH, "dW", {}, true}}});
const Registered r3({"unrolled descent",
                     unrolled,
                     usual(S4),
                     {{1, "curvature's path missing", PATH, "dw1"},
                      {2, "direct path missing", PATH, "dw1"},
                      {7, "1/N missing", batch(5), "dw1"},
                      {12, "sign of the curvature", SIGNS, "dw1"},
                      {14, "Z for X", WHICH, "dw1"},
                      {11, "curvature's path missing", PATH, "dw0"},
                      {3, "first step missing", STEP, "deta"},
                      {4, "g0 for g1", TIME + WHICH, "deta"},
                      {10, "sign of dη", SIGNS, "deta"},
                      {5, "η missing", MISSF + times("3.33333", "0.3") + W{"eta&missing"}, "dg1"},
                      {6, "sign of dg1", SIGNS, "dg1"},
                      {15, "dw2 for dw1", TIME + WHICH, "dg0"},
                      {8, "X for Z", WHICH, "dw2"},
                      {13, "½ forgotten", HALF, "de"},
                      {9, "curvature's path missing", PATH, "dw0", {"dw0"}},
                      {3, "first step missing", STEP, "deta", {}, true}}});
const Registered r4({"dictionary",
                     dictionary,
                     usual(S4, {"kink"}),
                     {{1, "λ term missing", TERM, "dA"},
                      {2, "|A| for sign A", FUNC, "dA"},
                      {11, "A for sign A", FUNC, "dA"},
                      {10, "sign of the λ term", SIGNS, "dA"},
                      {12, "λ missing", FACTOR + times("3.33333", "0.3") + W{"0.3&missing"}, "dA"},
                      {13, "2λ", HALF, "dA"},
                      {6, "1/N missing at λ", batch(4), "dA"},
                      {3, "D not transposed", TRANS, "dA"},
                      {4, "A not transposed", TRANS, "dD"},
                      {8, "D for A", WHICH, "dD"},
                      {5, "sign of dR", SIGNS, "dR"},
                      {7, "½ forgotten", HALF, "dR"},
                      {9, "1/N missing", batch(4), "dR"},
                      {5, "sign of dR", SIGNS, "dD", {"dD"}},
                      {10, "sign of the λ term", SIGNS, "dA", {}, true}},
                     {"kink"}});
const Registered r5({"smoothing",
                     smoothing,
                     usual(S4, {"saturated"}),
                     {{1, "carried gradient missing", PATH, "dm2"},
                      {2, "error's own term missing", TERM, "dm2"},
                      {3, "α for 1 − α",
                       STANDS + W{"factor", "1 − al&instead", "1 − al&rather", "1 − al&place",
                                  "1&missing", "tensor"},
                       "dm2"},
                      {10, "1 − α missing", MISSF, "dm2"},
                      {14, "1 + α for 1 − α", SIGNS, "dm2"},
                      {11, "eₜ₊₁ for eₜ", TIME + WHICH, "dm2"},
                      {6, "sign of dm3", SIGNS, "dm3"},
                      {9, "1/T missing", batch(4), "dm3"},
                      {13, "½ forgotten", HALF, "dm3"},
                      {5, "eₜ₊₁ for eₜ in dα", TIME + WHICH, "dal"},
                      {12, "y for e", WHICH + TERM, "dal"},
                      {7, "a step missing", STEP, "dal"},
                      {4, "σ' missing", SLOPE + MISSF, "dth"},
                      {15, "1 − α missing", MISSF + SLOPE, "dth"},
                      {8, "carried gradient missing", PATH, "dm0", {"dm0"}},
                      {7, "a step missing", STEP, "dal", {}, true}}});
}  // namespace
