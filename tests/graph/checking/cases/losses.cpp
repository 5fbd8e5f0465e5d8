// Focal loss, quantile regression over a hidden layer, DeepSets with three poolings, graph
// convolution, expectiles.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out focal(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 10), d = pick(c, 3, 5);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, 0.7 * inv(c)), b = c.P("b", {}, 0.3),
         y = c.dat("y", labels(c, "l", N) * 2.0 - 1.0);
  const double n = double(N), ga = 3;
  Tensor f = (matmul(X, w) + b).named("f"), u = (y * f).named("u"), p = sigmoid(u).named("p");
  o.loss = -mean(pow(1.0 - p, ga) * log(p));
  Tensor e = pow(1.0 - p, ga), A = ga * e * p * log(p), B = pow(1.0 - p, ga + 1);
  Tensor du = m == 1 || m == 9 ? -B / n
              : m == 2         ? (e * p * log(p) - B) / n
              : m == 3         ? (A + B) / n
              : m == 5         ? (A - e) / n
              : m == 6         ? (ga * e * p - B) / n
              : m == 7         ? A - B
              : m == 8         ? (ga * pow(p, ga) * p * log(p) - B) / n
              : m == 10        ? (ga * pow(1.0 - p, ga - 1) * p * log(p) - B) / n
              : m == 11        ? (B - A) / n
                               : (A - B) / n;
  o("du", u, du);
  Tensor df = m == 4 ? du : y * du;
  o("df", f, df), o("dw", w, m == 12 ? matmul(X.T(), du) : matmul(X.T(), df)),
      o("db", b, m == 13 ? mean(df) : sum(df));
  return o;
}

Out quantile(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 7, 12), d = pick(c, 3, 4), k = pick(c, 4, 3);
  Tensor X = c.D("X", {N, d}, c.scale), V = c.P("V", {d, k}, 0.7 * inv(c)), w = c.P("w", {k}),
         b = c.P("b", {}, 0.2), y = c.D("y", {N}, 1.5);
  const double n = double(N), ta = 0.8;
  Tensor z = matmul(X, V).named("z"), h = tanh(z).named("h"), f = (matmul(h, w) + b).named("f");
  if (c.is("kink")) y = c.dat("y", f + y * labels(c, "l", N));  // a third of the residuals is 0
  Tensor r = (y - f).named("r");
  o.loss = mean(maximum(ta * r, (ta - 1) * r));
  Tensor dr = m == 1    ? where(r > 0.0, full_like(r, 1 - ta), full_like(r, -ta)) / n
              : m == 2  ? where(r > 0.0, full_like(r, ta), full_like(r, 1 - ta)) / n
              : m == 4  ? where(r > 0.0, full_like(r, ta), full_like(r, ta - 1))
              : m == 7  ? sign(r) / n
              : m == 10 ? where(r < 0.0, full_like(r, ta), full_like(r, ta - 1)) / n
              : m == 11 ? where(r > 0.0, full_like(r, ta), full_like(r, 0.0)) / n
                        : where(r > 0.0, full_like(r, ta), full_like(r, ta - 1)) / n;
  o("dr", r, dr);
  Tensor df = m == 5 ? dr : -dr;
  o("df", f, df), o("dw", w, m == 3 ? matmul(z.T(), df) : matmul(h.T(), df)),
      o("db", b, m == 6 ? mean(df) : sum(df));
  Tensor dh = outer(df, w);
  o("dh", h, dh);
  Tensor dz = m == 8    ? dh
              : m == 9  ? dh * (1.0 - h)
              : m == 12 ? dh * h * (1.0 - h)
                        : dh * dtanh(c, z, h);
  o("dz", z, dz), o("dV", V, matmul(X.T(), dz));
  return o;
}

Out deepsets(const Ctx& c, int m) {
  Out o;
  const std::int64_t S = pick(c, 4, 6), n = pick(c, 3, 5), d = pick(c, 2, 4), k = 3;
  Tensor X = c.D("X", {S, n, d}, c.scale);
  if (c.is("kink")) X = c.dat("X", concat({X, X}, 1));  // each element twice
  const std::int64_t n2 = X.size(1);
  Tensor Wt = c.P("W", {d, k}, 0.6 * inv(c)), b = c.P("b", {k}, 0.3), u = c.P("u", {k}),
         v = c.P("v", {k}), w = c.P("w", {k}), y = c.D("y", {S});
  Tensor z = (matmul(X, Wt) + b).named("z"), h = tanh(z).named("h"), ps = sum(h, 1).named("p1"),
         pm = mean(h, 1).named("p2"), px = max(h, 1).named("p3");
  Tensor f = (matmul(ps, u) + matmul(pm, v) + matmul(px, w)).named("f");
  o.loss = 0.5 * mean(square(f - y));
  Tensor df = m == 7 ? (y - f) / double(S) : m == 9 ? f - y : (f - y) / double(S);
  o("df", f, df), o("du", u, matmul(ps.T(), df)),
      o("dv", v, m == 8 ? matmul(ps.T(), df) : matmul(pm.T(), df)), o("dw", w, matmul(px.T(), df));
  Tensor d1 = m == 12 ? outer(df, v) : outer(df, u), d2 = outer(df, v), d3 = outer(df, w);
  o("dp1", ps, d1), o("dp2", pm, d2), o("dp3", px, d3);
  Tensor top = c.is("kink") ? one_hot(argmax(h, 1), n2, c.dt) : Tensor();  // (S, k, n)
  Tensor M = c.is("kink") ? transpose(top, 1, 2) : c.num(h == max(h, 1, true));
  auto up = [](const Tensor& t) { return unsqueeze(t, 1); };
  Tensor none = 0.0 * h, A = up(d1) + none, B = up(d2) / double(n2), C = up(d3) * M;
  Tensor dh = m == 1              ? A + up(d2) + C
              : m == 2            ? A + B + up(d3)
              : m == 3 || m == 10 ? A + B
              : m == 4            ? B + C
              : m == 11           ? A + C
              : m == 13           ? A + B - C
              : m == 14           ? A + B + C / double(n2)
                                  : A + B + C;
  o("dh", h, dh);
  Tensor dz = m == 5 ? dh * (1.0 - h) : m == 15 ? dh : dh * dtanh(c, z, h);
  o("dz", z, dz);
  o("db", b, m == 6 ? mean(dz, {0, 1}) : sum(dz, {0, 1}));
  o("dW", Wt, matmul(reshape(X, {S * n2, d}).T(), reshape(dz, {S * n2, k})));
  return o;
}

Out graph(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 6, 9), d = 3, k = pick(c, 3, 4), K = 3;
  const double nl = n == 6 ? 4 : 6;
  Tensor X = c.D("X", {n, d}, c.scale), W1 = c.P("W1", {d, k}, inv(c)), W2 = c.P("W2", {k, K}),
         Y = c.onehot("Y", n, K, false);
  Tensor A = c.dat("A", c.unif({n, n}, 0, 1) * c.bern("B", {n, n}) / 2.0 + eye(n, c.dt) * 0.5);
  std::vector<double> l(n);
  for (std::int64_t i = 0; i < n; ++i) l[i] = double(i) < nl;
  Tensor M = c.dat("M", from_vector(l, {n, 1}));
  if (c.is("kink"))
    X = c.dat("X", X * M),
    A = c.dat("A", A * M * M.T() + eye(n, c.dt) * (1.0 - M));  // z1 = 0 for some
  Tensor a1 = matmul(A, X).named("a1"), z1 = matmul(a1, W1).named("z1"), h = relu(z1).named("h");
  Tensor a2 = matmul(A, h).named("a2"), z2 = matmul(a2, W2).named("z2"),
         p = softmax(z2, 1).named("p");
  o.loss = -sum(M * Y * log(p)) / nl;
  Tensor dz2 = m == 4    ? (p - Y) / nl
               : m == 6  ? M * (p - Y) / double(n)
               : m == 9  ? M * (Y - p) / nl
               : m == 10 ? M * (p - Y)
               : m == 11 ? M * p / nl
                         : M * (p - Y) / nl;
  o("dz2", z2, dz2), o("dW2", W2, m == 7 ? matmul(h.T(), dz2) : matmul(a2.T(), dz2));
  Tensor da2 = m == 12 ? matmul(dz2, W2) : matmul(dz2, W2.T());
  o("da2", a2, da2);
  Tensor dh = m == 1 || m == 8 ? matmul(A, da2) : m == 2 ? da2 : matmul(A.T(), da2);
  o("dh", h, dh);
  Tensor dz1 = m == 5 ? dh : m == 13 ? dh * h : dh * c.num(z1 > 0.0);
  o("dz1", z1, dz1), o("dW1", W1,
                       m == 3    ? matmul(X.T(), dz1)
                       : m == 14 ? matmul(a2.T(), dz1)
                                 : matmul(a1.T(), dz1));
  return o;
}

Out expectile(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 11), d = pick(c, 3, 5);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, inv(c)), b = c.P("b", {}),
         y = c.D("y", {N});
  const double n = double(N), ta = 0.9;
  Tensor f = (matmul(X, w) + b).named("f");
  if (c.is("kink")) y = c.dat("y", f + y * labels(c, "l", N));
  if (c.is("zero")) y = c.dat("y", f);
  Tensor r = (y - f).named("r"),
         v = where(r >= 0.0, full_like(r, ta), full_like(r, 1 - ta)).named("v");
  o.loss = mean(v * square(r));
  Tensor dr = m == 1   ? v * r / n
              : m == 2 ? 2.0 * r / n
              : m == 3 ? 2.0 * (1.0 - v) * r / n
              : m == 4 ? 2.0 * v * r
              : m == 5 ? 2.0 * v * abs(r) / n
              : m == 9 ? 2.0 * v * v * r / n
                       : 2.0 * v * r / n;
  o("dr", r, dr);
  Tensor df = m == 6 ? dr : -dr;
  o("df", f, df), o("dw", w, m == 7 ? matmul(X.T(), dr) : matmul(X.T(), df)),
      o("db", b, m == 8 ? mean(df) : sum(df));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1({"focal loss",
                     focal,
                     usual(S4),
                     {{1, "the modulation's derivative missing", TERM, "du"},
                      {2, "γ missing", FACTOR + times("3", "0.333333") + W{"3&missing"}, "du"},
                      {3, "sign of the second term", SIGNS, "du"},
                      {11, "sign of du", SIGNS, "du"},
                      {5, "exponent γ for γ + 1", POWER, "du"},
                      {6, "log p missing", MISSF, "du"},
                      {7, "1/N missing", batch(6), "du"},
                      {8, "p for 1 − p", WHICH + FUNC + W{"base"}, "du"},
                      {10, "exponent γ − 1 for γ", POWER, "du"},
                      {4, "y missing", MISSF + W{"y ⊗&missing", "y&missing"}, "df"},
                      {12, "du for df", WHICH + MISSF, "dw"},
                      {13, "mean for sum", MEANSUM + times("6", "0.166667"), "db"},
                      {9, "the modulation's derivative missing", TERM, "dw", {"dw"}},
                      {2, "γ missing", FACTOR + times("3", "0.333333"), "du", {}, true}}});
const Registered r2({"quantile",
                     quantile,
                     usual(S4, {"kink"}),
                     {{1, "τ and 1 − τ exchanged",
                       NUMBER + STANDS + W{"swapped", "exchanged", "0.8&0.2", "branch"}, "dr"},
                      {2, "sign of the lower branch", SIGNS + W{"branch"}, "dr"},
                      {10, "condition the wrong way round",
                       MASK + SIGNS + W{"swapped", "exchanged", "branch"}, "dr"},
                      {11, "lower branch missing", TERM + STANDS + W{"branch", "0.2&missing"},
                       "dr"},
                      {7, "sign r for the two slopes", FUNC + NUMBER + W{"0.8&0.2"}, "dr"},
                      {4, "1/N missing", batch(7), "dr"},
                      {5, "sign of df", SIGNS, "df"},
                      {6, "mean for sum", MEANSUM + times("7", "0.142857"), "db"},
                      {3, "z for h", WHICH, "dw"},
                      {8, "tanh' missing", SLOPE + MISSF, "dz"},
                      {9, "square missing", POWER, "dz"},
                      {12, "σ' for tanh'", FUNC, "dz"},
                      {8, "tanh' missing", SLOPE + MISSF + WHICH, "dV", {"dV"}},
                      {5, "sign of df", SIGNS, "df", {}, true}},
                     {"kink"}});
const Registered r3({"deep sets",
                     deepsets,
                     usual(S4, {"kink"}),
                     {{1, "1/n of the mean missing", batch(3), "dh"},
                      {2, "mask of the maximum missing", MASK + W{"factor", "max'", "argmax"},
                       "dh"},
                      {3, "path through max missing", PATH, "dh"},
                      {4, "path through the sum missing", PATH, "dh"},
                      {11, "path through the mean missing", PATH, "dh"},
                      {13, "sign of the part through max", SIGNS, "dh"},
                      {14, "max divided by n", batch(3) + EXTRA, "dh"},
                      {5, "square missing", POWER, "dz"},
                      {15, "tanh' missing", SLOPE + MISSF, "dz"},
                      {6, "mean for sum", MEANSUM + times("12", "0.0833333"), "db"},
                      {7, "sign of df", SIGNS, "df"},
                      {9, "1/S missing", batch(4), "df"},
                      {8, "p1 for p2", WHICH + times("3", "0.333333"), "dv"},
                      {12, "v for u", WHICH, "dp1"},
                      {10, "path through max missing", PATH, "dW", {"dW"}},
                      {11, "path through the mean missing", PATH, "dh", {}, true}},
                     {"kink"}});
const Registered r4({"graph convolution",
                     graph,
                     usual(S4, {"kink"}),
                     {{1, "A not transposed", TRANS, "dh"},
                      {2, "A missing", MISSF + W{"Aᵀ&missing", "(A)ᵀ&missing"}, "dh"},
                      {12, "W2 not transposed", TRANS, "da2"},
                      {3, "X for a1", WHICH + W{"factor", "A&missing"}, "dW1"},
                      {14, "a2 for a1", WHICH, "dW1"},
                      {7, "h for a2", WHICH + W{"factor", "A&missing"}, "dW2"},
                      {4, "mask of the labelled missing", MISSF + W{"M&missing", "mask"}, "dz2"},
                      {6, "n for the number of labelled", batch(4) + times("1.5", "0.666667"),
                       "dz2"},
                      {10, "1/n missing", batch(4), "dz2"},
                      {9, "sign of dz2", SIGNS, "dz2"},
                      {11, "Y missing", TERM, "dz2"},
                      {5, "relu's mask missing", MASK + W{"factor", "relu'"}, "dz1"},
                      {13, "h for its slope", MASK + FUNC + SLOPE + WHICH + W{"relu'"}, "dz1"},
                      {8, "A not transposed", TRANS, "dW1", {"dW1"}},
                      {1, "A not transposed", TRANS, "dh", {}, true}}});
const Registered r5({"expectile",
                     expectile,
                     usual(S4, {"kink", "zero"}),
                     {{1, "2 missing", HALF, "dr"},
                      {2, "weight missing", MISSF + W{"v&missing"}, "dr"},
                      {3, "1 − v for v", WHICH + MASK, "dr"},
                      {4, "1/N missing", batch(6), "dr"},
                      {5, "|r| for r", SIGNS + FUNC + W{"abs&place", "absolute"}, "dr"},
                      {9, "v²", POWER + EXTRA, "dr"},
                      {6, "sign of df", SIGNS, "df"},
                      {7, "dr for df", SIGNS + WHICH, "dw"},
                      {8, "mean for sum", MEANSUM + times("6", "0.166667"), "db"},
                      {3, "1 − v for v", WHICH + MASK, "dw", {"dw"}},
                      {2, "weight missing", MISSF, "dr", {}, true}}});
}  // namespace
